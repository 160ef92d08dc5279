// What the schema's rules are written in, for one element: Number<T> with its operators, and the
// functions that rules name. Meaning and special values are those of cpu/kernels/math.h.
//
// Errors in ULP, for every argument, are those of CUDA's library, which stands behind:
//
//              float  double                float  double                float  double
//   exp          1      1       tanh         2      1         rsqrt        2      1
//   expm1        1      1       erf          2      2         sqrt         0.5    0.5
//   log          1      1       sin, cos     2      2         pow          4      2
//   log1p        1      1       softplus     3      3         sigmoid      3      3
#pragma once

#include <math.h>
#include <stdint.h>

#include <cuda_runtime.h>

namespace tg::cuda {

#define TG_ON_DEVICE __device__ __forceinline__

// What values are calculated in: integers as unsigned ones, which wrap around.
template <class T>
struct Arithmetic {
  using type = T;
};
template <>
struct Arithmetic<int32_t> {
  using type = uint32_t;
};

// A float, double or int32. Literals convert, so that rules compute in T and not in double.
template <class T>
struct Number {
  using A = typename Arithmetic<T>::type;
  T v;

  Number() = default;
  TG_ON_DEVICE Number(double literal) : v(static_cast<T>(literal)) {}
  static TG_ON_DEVICE Number of(T value) {
    Number x;
    x.v = value;
    return x;
  }

  friend TG_ON_DEVICE Number operator+(Number a, Number b) { return wrap(A(a.v) + A(b.v)); }
  friend TG_ON_DEVICE Number operator-(Number a, Number b) { return wrap(A(a.v) - A(b.v)); }
  friend TG_ON_DEVICE Number operator*(Number a, Number b) { return wrap(A(a.v) * A(b.v)); }
  friend TG_ON_DEVICE Number operator/(Number a, Number b) { return of(a.v / b.v); }
  friend TG_ON_DEVICE Number operator-(Number a) { return wrap(-A(a.v)); }
  friend TG_ON_DEVICE bool operator<(Number a, Number b) { return a.v < b.v; }
  friend TG_ON_DEVICE bool operator>(Number a, Number b) { return a.v > b.v; }
  friend TG_ON_DEVICE bool operator<=(Number a, Number b) { return a.v <= b.v; }
  friend TG_ON_DEVICE bool operator>=(Number a, Number b) { return a.v >= b.v; }
  friend TG_ON_DEVICE bool operator==(Number a, Number b) { return a.v == b.v; }
  friend TG_ON_DEVICE bool operator!=(Number a, Number b) { return a.v != b.v; }
  friend TG_ON_DEVICE Number select(bool c, Number a, Number b) { return c ? a : b; }

 private:
  static TG_ON_DEVICE Number wrap(A value) { return of(static_cast<T>(value)); }
};

#define TG_FROM_LIBRARY(name)                                                                  \
  TG_ON_DEVICE Number<float> name(Number<float> x) { return Number<float>::of(name##f(x.v)); } \
  TG_ON_DEVICE Number<double> name(Number<double> x) { return Number<double>::of(::name(x.v)); }
TG_FROM_LIBRARY(exp)
TG_FROM_LIBRARY(expm1)
TG_FROM_LIBRARY(log1p)
TG_FROM_LIBRARY(sqrt)
TG_FROM_LIBRARY(rsqrt)
TG_FROM_LIBRARY(sin)
TG_FROM_LIBRARY(cos)
TG_FROM_LIBRARY(tanh)
TG_FROM_LIBRARY(erf)
#undef TG_FROM_LIBRARY

TG_ON_DEVICE Number<float> abs(Number<float> x) { return Number<float>::of(fabsf(x.v)); }
TG_ON_DEVICE Number<double> abs(Number<double> x) { return Number<double>::of(fabs(x.v)); }
TG_ON_DEVICE Number<int32_t> abs(Number<int32_t> x) { return select(x < 0, -x, x); }

// Denormal floats are zeros here, which functions that look at the bits do not see by themselves.
TG_ON_DEVICE float flushed(float x) { return x == 0.0f ? copysignf(0.0f, x) : x; }
TG_ON_DEVICE Number<float> log(Number<float> x) { return Number<float>::of(logf(flushed(x.v))); }
TG_ON_DEVICE Number<double> log(Number<double> x) { return Number<double>::of(::log(x.v)); }
TG_ON_DEVICE Number<float> pow(Number<float> x, Number<float> y) {
  return Number<float>::of(powf(flushed(x.v), flushed(y.v)));
}
TG_ON_DEVICE Number<double> pow(Number<double> x, Number<double> y) {
  return Number<double>::of(::pow(x.v, y.v));
}

template <class T>
TG_ON_DEVICE Number<T> square(Number<T> x) {
  return x * x;
}
// -1, 0 or 1; NaN passes.
template <class T>
TG_ON_DEVICE Number<T> sign(Number<T> x) {
  return select(x > 0, 1, select(x < 0, -1, select(x == x, 0, x)));
}
// Larger and smaller of two; NaN if either is NaN, a if they are equal.
template <class T>
TG_ON_DEVICE Number<T> maximum(Number<T> a, Number<T> b) {
  return select((b > a) | (b != b), b, a);
}
template <class T>
TG_ON_DEVICE Number<T> minimum(Number<T> a, Number<T> b) {
  return select((b < a) | (b != b), b, a);
}
// log(1 + eˣ) = max(x, 0) + log(1 + e^-|x|).
template <class T>
TG_ON_DEVICE Number<T> softplus(Number<T> x) {
  return select(x < 0, 0, x) + log1p(exp(-abs(x)));
}
// e^-|x| cannot overflow, and to the left of 0 it carries the relative accuracy of the result.
template <class T>
TG_ON_DEVICE Number<T> sigmoid(Number<T> x) {
  const Number<T> z = exp(-abs(x));
  return select(x < 0, z, 1) / (1 + z);
}

}  // namespace tg::cuda
