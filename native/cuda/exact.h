// Arithmetic in which no product is fused into the sum that takes it: every operation is rounded,
// as on the CPU, whatever the compiler's flags say. For formulas that count on it (a variance that
// is not negative because it was compared with 0 before) and results that are the CPU's bit for
// bit.
#pragma once

#include <math.h>

#include <cuda_runtime.h>

namespace tg::cuda {

__device__ __forceinline__ float product(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ double product(double a, double b) { return __dmul_rn(a, b); }

// A float or double with the CPU kernels' vocabulary (cpu/kernels/vec.h).
template <class T>
struct Exact {
  T v;

  Exact() = default;
  __device__ __forceinline__ Exact(T x) : v(x) {}
  __device__ __forceinline__ explicit operator T() const { return v; }

  friend __device__ __forceinline__ Exact operator+(Exact a, Exact b) { return a.v + b.v; }
  friend __device__ __forceinline__ Exact operator-(Exact a, Exact b) { return a.v - b.v; }
  friend __device__ __forceinline__ Exact operator*(Exact a, Exact b) { return product(a.v, b.v); }
  friend __device__ __forceinline__ Exact operator/(Exact a, Exact b) { return a.v / b.v; }
  friend __device__ __forceinline__ Exact operator-(Exact a) { return -a.v; }
  friend __device__ __forceinline__ bool operator<(Exact a, Exact b) { return a.v < b.v; }
  friend __device__ __forceinline__ bool operator>(Exact a, Exact b) { return a.v > b.v; }

  // One rounding, where it is asked for.
  friend __device__ __forceinline__ Exact fma(Exact a, Exact b, Exact c) {
    return ::fma(a.v, b.v, c.v);
  }
  friend __device__ __forceinline__ Exact sqrt(Exact a) { return ::sqrt(a.v); }
  friend __device__ __forceinline__ Exact abs(Exact a) { return ::fabs(a.v); }
  friend __device__ __forceinline__ Exact select(bool c, Exact a, Exact b) { return c ? a : b; }
  // NaN if either is NaN, a if they are equal.
  friend __device__ __forceinline__ Exact maximum(Exact a, Exact b) {
    return b.v != b.v || b.v > a.v ? b : a;
  }
  friend __device__ __forceinline__ Exact minimum(Exact a, Exact b) {
    return b.v != b.v || b.v < a.v ? b : a;
  }
};

}  // namespace tg::cuda
