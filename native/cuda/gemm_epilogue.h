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
  // Where sums over some of C's rows go that become column sums: see gemm_columns.h; null: none.
  void* parts = nullptr;
  unsigned* arrivals = nullptr;
  // The epilogue's in the type that is computed in, so that no registers hold them.
  template <class Acc>
  struct Numbers {
    Acc alpha, p[2];
  };
  Numbers<float> single = {};
  Numbers<double> wide = {};
  template <class Acc>
  __device__ __forceinline__ const Numbers<Acc>& numbers() const {
    if constexpr (sizeof(Acc) == sizeof(float))
      return single;
    else
      return wide;
  }
};

inline GemmResult result_of(const GemmCall& call) {
  const GemmEpilogue& e = call.epilogue;
  const size_t bytes = 4 * size_of(call.out);
  const auto fits = [&](const void* p) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; };
  const bool aligned = fits(call.c) && fits(e.bias) && fits(e.residual) && fits(e.kept) &&
                       fits(e.before) && call.c_row % 4 == 0 && call.c_batch % 4 == 0 &&
                       call.c_outer % 4 == 0;
  GemmResult r{e, call.c, call.c_row, call.c_batch, call.c_outer, call.batch, call.out, aligned};
  r.wide = {e.alpha, {e.p[0], e.p[1]}};
  r.single = {static_cast<float>(e.alpha),
              {static_cast<float>(e.p[0]), static_cast<float>(e.p[1])}};
  return r;
}

// What is kept is the one operand that a gradient's rule reads, be it called x or y there.
#define TG_KEEPS_ONE(name) \
  static_assert(name##_rule::kKeeps == X || name##_rule::kKeeps == Y, "one tensor is kept");
TG_GEMM_ACTIVATIONS(TG_KEEPS_ONE)
#undef TG_KEEPS_ONE

template <class Acc>
__device__ __forceinline__ Acc activate(Op op, Acc x, Acc kept, const Acc (&p)[2]) {
  using N = Number<Acc>;
  const N p0 = N::of(p[0]), p1 = N::of(p[1]);
  switch (op) {
#define TG_CASE(name)                                \
  case op_##name:                                    \
    return name##_rule::forward(N::of(x), p0, p1).v; \
  case op_##name##_dx:                               \
    return name##_rule::dx(N::of(x), N::of(kept), N::of(kept), p0, p1).v;
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
                                          int64_t column, int count, Acc (&x)[N]) {
  const GemmEpilogue& then = r.then;
  const int64_t at = product + row * r.c_row + column;
  T* const c = static_cast<T*>(r.c) + at;
  const bool whole = (N == 1 || r.aligned) && count == N;
#pragma unroll
  for (int i = 0; i < N; ++i) x[i] = r.numbers<Acc>().alpha * x[i];
  // To memory, and as memory has it then.
  const auto put = [&](T* to) {
    Vector<T, N> result;
#pragma unroll
    for (int i = 0; i < N; ++i) result.at[i] = narrow<T>(x[i]);
#pragma unroll
    for (int i = 0; i < N; ++i) x[i] = widen(result.at[i]);
    if (!to) return;
    if (whole) return store(to, result);
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (i < count) to[i] = result.at[i];
  };
  const auto add = [&](const T* from) {
    const Vector<T, N> v = load_some<N>(from, count, whole);
#pragma unroll
    for (int i = 0; i < N; ++i) x[i] += widen(v.at[i]);
  };
  if (then.accumulate) add(c);
  if (then.bias) add(static_cast<const T*>(then.bias) + column);
  if (then.activated) {
    Vector<T, N> kept = {};
    if (then.kept) kept = load_some<N>(static_cast<const T*>(then.kept) + at, count, whole);
    put(then.before ? static_cast<T*>(then.before) + at : nullptr);
    // One after the other, for fewer registers; a loop cannot index those, so they move up.
#pragma unroll 1
    for (int i = 0; i < N; ++i) {
      const Acc y = activate(then.activation, x[0], widen(kept.at[0]), r.numbers<Acc>().p);
#pragma unroll
      for (int j = 1; j < N; ++j) x[j - 1] = x[j], kept.at[j - 1] = kept.at[j];
      x[N - 1] = y;
    }
  }
  if (then.residual) add(static_cast<const T*>(then.residual) + at);
  put(c);
}

// Writes C[row, column … column + count) of the product at `product` from its sums x, which become
// what C holds then; N is 1, or 4 and the column a multiple of it.
template <int N>
__device__ __forceinline__ void finish(const GemmResult& r, int64_t product, int64_t row,
                                       int64_t column, int count, float (&x)[N]) {
  if (r.out == DType::float32)
    finish_as<float>(r, product, row, column, count, x);
  else
    finish_as<bf16>(r, product, row, column, count, x);
}
template <int N>
__device__ __forceinline__ void finish(const GemmResult& r, int64_t product, int64_t row,
                                       int64_t column, int count, double (&x)[N]) {
  finish_as<double>(r, product, row, column, count, x);
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
