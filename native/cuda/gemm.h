// Matrix products on the device: C = finish(A B), single or batched. What a caller says is here;
// the kernels are in gemm_*.cu, one way of computing each.
//
// Deterministic: the order of sums depends on the shape, the strides, the types and the device's
// multiprocessors alone. No term is skipped, so 0 * Inf and NaN reach C.
#pragma once

#include "../core/backend.h"

namespace tg::cuda {

// What becomes of an element s of A B:
//   x = alpha s (+ C, if accumulating) (+ bias[column]);  C = f(x) (+ residual),
// where f is given x as C would hold it, so that it need not matter whether f is done here. f is an
// activation, or the gradient of one, which also reads what that kept: the activation's operand or
// its result. (Both lie in memory anyway, as x or as an operand of the next product; masks of bits
// would be one more thing to write, and sigmoid or gelu have none.)
struct GemmEpilogue {
  double alpha = 1;
  bool accumulate = false;
  const void* bias = nullptr;  // [n], of type out
  // Placed like C, of type out; may be C itself, if not accumulating.
  const void* residual = nullptr;
  bool activated = false;
  Op activation = op_relu;  // f, an op of the schema (see gemm_fuses); and its attributes
  double p[2] = {};
  // Placed like C, of type out. What a gradient reads; may be C itself, if not accumulating.
  const void* kept = nullptr;
  void* before = nullptr;  // where x goes, too, if f is given; apart from all else
  // [n], of type out, where the sums of C's columns go: see gemm_sums_columns.
  void* column_sums = nullptr;
};

// The activations that products end with without a pass of their own. Each keeps one tensor.
#define TG_GEMM_ACTIVATIONS(X) \
  X(relu) X(leakyRelu) X(sigmoid) X(tanh) X(silu) X(geluErf) X(geluTanh)

inline bool gemm_fuses_gradient(Op op) {
#define TG_IS(name) op == op_##name##_dx ||
  return TG_GEMM_ACTIVATIONS(TG_IS) false;
#undef TG_IS
}
inline bool gemm_fuses(Op op) {
#define TG_IS(name) op == op_##name ||
  return TG_GEMM_ACTIVATIONS(TG_IS) gemm_fuses_gradient(op);
#undef TG_IS
}

// C[m,n] = A[m,k] B[k,n] for each of `outer` times `batch` products. Strides count elements and may
// be anything for A and B, including 0 and negative; a batch's, too. C's rows are contiguous, c_row
// >= n if m > 1, and its products do not overlap. C overlaps neither A, B nor bias. k == 0 gives
// sums of 0.
struct GemmCall {
  int64_t m, n, k, batch;
  DType in, out;  // of A and B: float32, float64, bfloat16; out is the same, or float32 of bfloat16
  const void* a;
  int64_t a_row, a_column, a_batch;
  const void* b;
  int64_t b_row, b_column, b_batch;
  void* c;
  int64_t c_row, c_batch;
  GemmEpilogue epilogue;
  void* scratch;      // as many bytes as asked for, aligned to 256; null if 0
  int64_t outer = 1;  // batches of batches, and their strides
  int64_t a_outer = 0, b_outer = 0, c_outer = 0;
  // Of float32: factors may be rounded to tf32 (10 bits behind the point; sums stay float32) where
  // that is faster.
  bool tf32 = false;
};

// Whichever way is best for the call: gemm.cu. Scratch depends on the call's pointers, too.
size_t gemm_scratch_bytes(const Device&, const GemmCall&);
Status gemm(ExecContext* ctx, const GemmCall& call);
// Whether the call may ask for column_sums. (Where C is finished by a second pass, or a line at a
// time, a reduction of C does as well.)
bool gemm_sums_columns(const Device&, const GemmCall&);

// Any call, by fused multiply-adds (gemm_simt.cu), and those with a side of at most kSkinny as one
// pass over the other operand at the memory's speed (gemm_skinny.cu). bfloat16 only if skinny.
constexpr int kSkinny = 8;
inline bool gemm_is_skinny(const GemmCall& call) { return call.m <= kSkinny || call.n <= kSkinny; }
size_t gemm_skinny_scratch_bytes(const Device&, const GemmCall&);
Status gemm_skinny(ExecContext* ctx, const GemmCall& call);
size_t gemm_simt_scratch_bytes(const Device&, const GemmCall&);
bool gemm_simt_sums_columns(const Device&, const GemmCall&);
Status gemm_simt(ExecContext* ctx, const GemmCall& call);

// bfloat16, and float32 in tf32, of any strides by warp products (gemm_mma.cuh). The cycles are a
// guess of its time.
size_t gemm_mma_scratch_bytes(const Device&, const GemmCall&);
double gemm_mma_cycles(const Device&, const GemmCall&);
bool gemm_mma_sums_columns(const Device&, const GemmCall&);
Status gemm_mma(ExecContext* ctx, const GemmCall& call);

// Warpgroup products fed by the copy engine (gemm_hopper.cu), for compute capability 9.0: of
// bfloat16 whose rows or columns are contiguous and begin at multiples of 16 bytes, of float32
// split into three bfloat16 (gemm_split.cu), with an error within that of float32 sums, and of
// float32 in tf32 (gemm_hopper_tf32.cu).
bool gemm_hopper_takes(const Device&, const GemmCall&);
size_t gemm_hopper_scratch_bytes(const Device&, const GemmCall&);
Status gemm_hopper(ExecContext* ctx, const GemmCall& call);

}  // namespace tg::cuda
