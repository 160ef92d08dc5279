// What becomes of finished sums: scale, old C, bias, activation, residual, rounding; and the second
// pass over sums whose terms several blocks have shared.
#pragma once

#include "gemm_place.h"
#include "rules.h"
#include "vector.h"

namespace tg::cuda {

// GemmCall's right-hand side, as kernels are told of it.
struct GemmResult {
  GemmEpilogue then;
  void* c;
  int64_t c_row, c_batch, c_outer, batch;
  DType out;
  bool aligned;  // four neighbours from a column that is a multiple of 4 are one access
};

inline GemmResult result_of(const GemmCall& call) {
  const GemmEpilogue& e = call.epilogue;
  const size_t bytes = 4 * size_of(call.out);
  const auto fits = [&](const void* p) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; };
  const bool aligned = fits(call.c) && fits(e.bias) && fits(e.residual) && call.c_row % 4 == 0 &&
                       call.c_batch % 4 == 0 && call.c_outer % 4 == 0;
  return {e, call.c, call.c_row, call.c_batch, call.c_outer, call.batch, call.out, aligned};
}

template <class Acc>
__device__ __forceinline__ Acc activate(const GemmEpilogue& then, Acc x) {
  using N = Number<Acc>;
  const N p0 = N::of(static_cast<Acc>(then.p[0])), p1 = N::of(static_cast<Acc>(then.p[1]));
  switch (then.activation) {
#define TG_CASE(name) \
  case op_##name:     \
    return name##_rule::forward(N::of(x), p0, p1).v;
    TG_GEMM_ACTIVATIONS(TG_CASE)
#undef TG_CASE
    default:
      return x;
  }
}

// `count` of N neighbours; at once if they are `whole`.
template <int N, class T>
__device__ __forceinline__ Vector<T, N> load_some(const T* from, int count, bool whole) {
  Vector<T, N> v = {};
  if (whole) return load<N>(from);
#pragma unroll
  for (int i = 0; i < N; ++i)
    if (i < count) v.at[i] = from[i];
  return v;
}

template <class T, int N, class Acc>
__device__ __forceinline__ void finish_as(const GemmResult& r, int64_t product, int64_t row,
                                          int64_t column, int count, const Acc (&sums)[N]) {
  const GemmEpilogue& then = r.then;
  const int64_t at = product + row * r.c_row + column;
  T* const c = static_cast<T*>(r.c) + at;
  const bool whole = (N == 1 || r.aligned) && count == N;
  Acc x[N];
#pragma unroll
  for (int i = 0; i < N; ++i) x[i] = static_cast<Acc>(then.alpha) * sums[i];
  const auto add = [&](const T* from) {
    const Vector<T, N> v = load_some<N>(from, count, whole);
#pragma unroll
    for (int i = 0; i < N; ++i) x[i] += widen(v.at[i]);
  };
  if (then.accumulate) add(c);
  if (then.bias) add(static_cast<const T*>(then.bias) + column);
  if (then.activated) {
#pragma unroll
    for (int i = 0; i < N; ++i) x[i] = activate(then, widen(narrow<T>(x[i])));
  }
  if (then.residual) add(static_cast<const T*>(then.residual) + at);
  Vector<T, N> result;
#pragma unroll
  for (int i = 0; i < N; ++i) result.at[i] = narrow<T>(x[i]);
  if (whole) {
    store(c, result);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (i < count) c[i] = result.at[i];
  }
}

// Writes C[row, column … column + count) of the product at `product` from its sums; N is 1, or 4
// and the column a multiple of it.
template <int N>
__device__ __forceinline__ void finish(const GemmResult& r, int64_t product, int64_t row,
                                       int64_t column, int count, const float (&sums)[N]) {
  if (r.out == DType::float32)
    finish_as<float>(r, product, row, column, count, sums);
  else
    finish_as<bf16>(r, product, row, column, count, sums);
}
template <int N>
__device__ __forceinline__ void finish(const GemmResult& r, int64_t product, int64_t row,
                                       int64_t column, int count, const double (&sums)[N]) {
  finish_as<double>(r, product, row, column, count, sums);
}

// Partial sums of `splits` blocks, [splits][products][m][n], in float, or double for float64.
inline size_t partial_bytes(const GemmCall& call, int64_t splits) {
  if (splits < 2) return 0;
  const size_t wide = call.in == DType::float64 ? sizeof(double) : sizeof(float);
  return static_cast<size_t>(splits * call.outer * call.batch * call.m * call.n) * wide;
}
// Adds them in order, and finishes C: gemm_partials.cu.
Status finish_partials(ExecContext* ctx, const GemmCall& call, int64_t splits);

}  // namespace tg::cuda
