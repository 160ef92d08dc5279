// Matrix products C = finish(A B (+ C) (+ bias)) on strided operands, single and batched, over a
// thread pool. Blocking is written once here; kernels come from the ISA's GemmTable. Nothing fails:
// the caller checks shapes and provides scratch. Includes no kernel headers.
//
// Each element of C is the sum over k in order, in passes of equal length of at most kc terms (by
// fused multiply-adds where the ISA has them), one chain per pass; matrix-vector shapes use one
// chain, or a fixed number of interleaved ones. The order depends on m, n, k, the strides and the
// ISA, never on threads, batch or partition: the same bits for any pool. The error is at most
// (k + 2) u (|A||B| + |C| + |bias|). No term is skipped, so 0 * Inf and NaN reach C.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../core/thread_pool.h"
#include "gemm_table.h"

namespace tg::cpu {

// What a caller does to C while it is hot in L1 or L2: an activation, a residual, a scale, a mask.
// fn(arg, c, row, col, n) gets c[0 .. n), the finished elements (row, col) .. (row, col + n - 1) of
// C: all terms summed, the old C and the bias added. In a batch, rows count on: row = product * m +
// the row in that product. Every element is handed over once, in pieces of rows whose cut and order
// depend on the blocking and on the threads. So what becomes of an element must depend only on
// itself and its place. fn runs on any thread of the pool, several at once; it may change c and
// read what nobody else writes, must not take long locks, fail, or touch other elements of C.
template <class T>
struct GemmFinish {
  void (*fn)(const void* arg, T* c, int64_t row, int64_t col, int64_t n) = nullptr;  // may be null
  const void* arg = nullptr;
};

// C[m,n] = A[m,k] B[k,n]. m, n, k >= 0; strides count elements. A's and B's may be anything,
// including 0 and negative (transposes are strides). C's rows are contiguous, c_row >= n if m > 1.
// C overlaps neither A, B nor bias. No element outside the operands is read or written. k == 0
// gives zeros (or C, if accumulating), plus the bias; finish is called then, too.
template <class T>
struct GemmArgs {
  int64_t m, n, k;
  const T* a;
  int64_t a_row, a_col;
  const T* b;
  int64_t b_row, b_col;
  T* c;
  int64_t c_row;
  bool accumulate = false;
  Epilogue<T> epilogue = {};
  GemmFinish<T> finish = {};
};

// `count` products of one shape; each operand's element offset per product, or null for no offset
// (a broadcast operand; c must then be null only if count is 1). Products' Cs do not overlap.
struct GemmBatch {
  int64_t count = 1;
  const int64_t* a = nullptr;
  const int64_t* b = nullptr;
  const int64_t* c = nullptr;
};

constexpr size_t kGemmScratchAlign = 64;

// Bytes of scratch that gemm and gemm_batched use with a pool of exactly this size; may be 0.
// Depends on the shape, the strides and the batch count, not on pointers or offsets.
size_t gemm_scratch_bytes(const GemmTable&, const GemmArgs<float>&, int threads, int64_t batch = 1);
size_t gemm_scratch_bytes(const GemmTable&, const GemmArgs<double>&, int threads,
                          int64_t batch = 1);

// `scratch`: at least gemm_scratch_bytes(table, args, pool.size()) bytes aligned to 64, in use
// until the call returns; null if 0. Contents are neither expected nor kept.
void gemm(const GemmTable&, const GemmArgs<float>&, void* scratch, ThreadPool&);
void gemm(const GemmTable&, const GemmArgs<double>&, void* scratch, ThreadPool&);

void gemm_batched(const GemmTable&, const GemmArgs<float>&, const GemmBatch&, void* scratch,
                  ThreadPool&);
void gemm_batched(const GemmTable&, const GemmArgs<double>&, const GemmBatch&, void* scratch,
                  ThreadPool&);

}  // namespace tg::cpu
