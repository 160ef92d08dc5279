// Matrix products of bfloat16 with float32 sums and one rounding at the end, for instruction sets
// with bfloat16 dot products (others compute in float32: see bfloat16.h). Includes no kernel
// headers. Nothing fails: the caller checks shapes and provides scratch.
//
// Each element of C is one chain over k in order, pair by pair, in passes of kc terms whose sums
// are added in order (or 16 interleaved chains, for a matrix by a vector that both adjoin along k).
// The order depends on shape and strides alone: the same bits for any pool, batch or partition.
// Denormal elements of A and B count as 0, and so do denormal products and sums. With u = 2⁻²⁴ and
// d = 2⁻¹²⁶, the error before the last rounding is at most (k + 2) u (|A||B| + |bias|) + (2 k + 2)
// d, of A and B so understood. The result is rounded to nearest even (2⁻⁸ relative), denormals to
// 0. No term is skipped, so 0 * Inf and NaN reach C.
#pragma once

#include <stddef.h>

#include "../core/thread_pool.h"
#include "gemm.h"
#include "gemm_bf16_table.h"

namespace tg::cpu {

// C[m,n] = A[m,k] B[k,n] + bias[n]. m, n, k >= 0; strides count elements and may be anything for A
// and B, including 0 and negative. C's rows are contiguous, c_row >= n if m > 1; C overlaps nothing
// else. bias is float32 or null.
struct GemmBf16Args {
  int64_t m, n, k;
  const uint16_t* a;
  int64_t a_row, a_col;
  const uint16_t* b;
  int64_t b_row, b_col;
  uint16_t* c;
  int64_t c_row;
  const float* bias = nullptr;
};

// Bytes of scratch for a pool of exactly this size. Depends on shape, strides and batch count only.
size_t gemm_bf16_scratch_bytes(const GemmBf16Table&, const GemmBf16Args&, int threads,
                               int64_t batch = 1);

// One product for each offset of the batch (see gemm.h). `scratch` is aligned to 64; its contents
// are neither expected nor kept.
void gemm_bf16(const GemmBf16Table&, const GemmBf16Args&, const GemmBatch&, void* scratch,
               ThreadPool&);

}  // namespace tg::cpu
