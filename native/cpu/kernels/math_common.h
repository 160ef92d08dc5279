// Elementary functions whose algorithm is the same for float and double; Constants<T>, in
// math_f32.h and math_f64.h, supplies the numbers. Includes only vec.h.
#pragma once

#include "vec.h"

namespace TG_ISA {
namespace {

// The IEEE layout of T. Adding kMagic = 1.5 · 2^kMantissa to |n| < 2^(kMantissa - 1) rounds n to an
// integer, to even on ties, and leaves it in the low bits.
template <class T>
struct Layout;
template <>
struct Layout<float> {
  static constexpr int kMantissa = 23, kBias = 127;
  static constexpr double kMagic = 0x1.8p23, kTwoMantissa = 0x1p23, kMinNormal = 0x1p-126;
  static constexpr int32_t kOne = 0x3f800000, kSqrtHalf = 0x3f3504f3, kMantissaBits = 0x7fffff;
};
template <>
struct Layout<double> {
  static constexpr int kMantissa = 52, kBias = 1023;
  static constexpr double kMagic = 0x1.8p52, kTwoMantissa = 0x1p52, kMinNormal = 0x1p-1022;
  static constexpr int64_t kOne = 0x3ff0000000000000, kSqrtHalf = 0x3fe6a09e667f3bcd,
                           kMantissaBits = 0xfffffffffffff;
};

template <class T>
struct Constants;

template <class T>
TG_INLINE V<T> infinity() {
  return V<T>(__builtin_inf());
}

template <class T>
TG_INLINE V<typename LaneInt<T>::type> bits(typename LaneInt<T>::type pattern) {
  return pattern - typename V<typename LaneInt<T>::type>::Vec{};
}

// c[0] + c[1] x + … + c[n-1] x^(n-1).
template <class T, int kTerms>
TG_INLINE V<T> polynomial(const T (&c)[kTerms], V<T> x) {
  V<T> y(c[kTerms - 1]);
#pragma GCC unroll 20
  for (int i = kTerms - 2; i >= 0; --i) y = fma(y, x, V<T>(c[i]));
  return y;
}

// x within [low, high]; NaN passes.
template <class T>
TG_INLINE V<T> limit(V<T> x, double low, double high) {
  return min_or(V<T>(high), max_or(V<T>(low), x));
}

// y ≥ 0 or NaN with the sign of x: keeps the zeros of odd functions signed.
template <class T>
TG_INLINE V<T> with_sign(V<T> y, V<T> x) {
  using I = typename LaneInt<T>::type;
  using U = typename LaneUnsigned<I>::type;
  const V<I> sign_bit = bits<T>(static_cast<I>(U{1} << (sizeof(I) * 8 - 1)));
  return bit_cast<T>(bit_cast<I>(y) | (bit_cast<I>(x) & sign_bit));
}

// 2^n for an integral n of the normal range.
template <class T>
TG_INLINE V<T> power_of_two(V<T> n) {
  using L = Layout<T>;
  using I = typename LaneInt<T>::type;
  return bit_cast<T>(bit_cast<I>(n + V<T>(L::kMagic + L::kBias)) << L::kMantissa);
}

// p · 2^n with one rounding, also where the result is denormal or overflows, for ½ ≤ p ≤ 2 and any
// integral n that a limited exponent can reach. Without vscalef in two steps, the first one exact.
TG_INLINE V<float> scale(V<float> p, V<float> n) {
#if defined(__AVX512F__)
  return _mm512_scalef_ps(p.v, n.v);
#else
  const V<float> magic(Layout<float>::kMagic), half = fma(n, V<float>(0.5), magic) - magic;
  return p * power_of_two(half) * power_of_two(n - half);
#endif
}
TG_INLINE V<double> scale(V<double> p, V<double> n) {
#if defined(__AVX512F__)
  return _mm512_scalef_pd(p.v, n.v);
#else
  const V<double> magic(Layout<double>::kMagic), half = fma(n, V<double>(0.5), magic) - magic;
  return p * power_of_two(half) * power_of_two(n - half);
#endif
}

template <class T>
TG_INLINE V<T> round_even(V<T> x) {
  const V<T> a = abs(x), two(Layout<T>::kTwoMantissa);
  return select(a < two, with_sign((a + two) - two, x), x);
}
template <class T>
TG_INLINE V<T> floor(V<T> x) {
  const V<T> r = round_even(x);
  return r - select(r > x, V<T>(1), V<T>(0));
}

// -1, 0 or 1; NaN passes; integers too.
template <class T>
TG_INLINE V<T> sign(V<T> x) {
  return select(x > V<T>(0), V<T>(1), select(x < V<T>(0), V<T>(-1), select(x == x, V<T>(0), x)));
}

template <class T>
TG_INLINE V<T> rsqrt(V<T> x) {
  return V<T>(1) / sqrt(x);
}

// x = n ln 2 + r with |r| ≤ ln 2 / 2, subtracted in two parts, of which n · kLn2High is exact.
template <class T>
struct Reduced {
  V<T> n, high, low;  // r = high - low
};
template <class T>
TG_INLINE Reduced<T> reduce_exp(V<T> x) {
  using C = Constants<T>;
  const V<T> magic(Layout<T>::kMagic);
  const V<T> n = fma(x, V<T>(C::kLog2E), magic) - magic;
  return {n, fma(n, V<T>(-C::kLn2High), x), n * V<T>(C::kLn2Low)};
}

// e^x for an x that has been limited to [kExpLow, kExpHigh].
template <class T>
TG_INLINE V<T> exp_limited(V<T> x) {
  using C = Constants<T>;
  const V<T> magic(Layout<T>::kMagic);
  const V<T> n = fma(x, V<T>(C::kLog2E), magic) - magic;
  const V<T> r = fma(n, V<T>(-C::kLn2Low), fma(n, V<T>(-C::kLn2High), x));
  const V<T> q = polynomial(C::kExp, r), one(1);
  // 1 + r + r² q: the form that rounds best with FMA, and the one that does without.
  if constexpr (kFused)
    return scale(fma(fma(q, r, one), r, one), n);
  else
    return scale((r * r * q + r) + one, n);
}

template <class T>
TG_INLINE V<T> exp(V<T> x) {
  using C = Constants<T>;
  return exp_limited(limit(x, C::kExpLow, C::kExpHigh));
}

// e^-|x|: the upper limit is not needed.
template <class T>
TG_INLINE V<T> exp_minus_abs(V<T> x) {
  return exp_limited(max_or(V<T>(Constants<T>::kExpLow), -abs(x)));
}

// 2^n (e^r - 1) + (2^n - 1); half of it at the top, where 2^n overflows before the result does.
template <class T>
TG_INLINE V<T> expm1(V<T> x) {
  using C = Constants<T>;
  const Reduced<T> r = reduce_exp(limit(x, C::kExpm1Low, C::kExpHigh));
  const V<T> s = r.high - r.low, t = fma(s * s, polynomial(C::kExpm1, s), -r.low);
  const Mask<T> top = x > V<T>(C::kExpm1Top);
  const V<T> scale = power_of_two(select(top, r.n - V<T>(1), r.n));
  const V<T> y = fma(scale, t, fma(scale, r.high, scale - V<T>(1)));
  return with_sign(select(top, y + y, y), x);
}

// x = 2^k (1 + f) with 1 + f in [√½, √2), for a positive, normal, finite x.
template <class T>
struct Parts {
  V<T> k, f;
};
template <class T>
TG_INLINE Parts<T> decompose(V<T> x) {
  using L = Layout<T>;
  using I = typename LaneInt<T>::type;
  const V<I> shifted = bit_cast<I>(x) + bits<T>(L::kOne - L::kSqrtHalf);
  const V<I> exponent = (shifted >> L::kMantissa) + bit_cast<I>(V<T>(L::kMagic - L::kBias));
  const V<I> mantissa = (shifted & bits<T>(L::kMantissaBits)) + bits<T>(L::kSqrtHalf);
  return {bit_cast<T>(exponent) - V<T>(L::kMagic), bit_cast<T>(mantissa) - V<T>(1)};
}

// k ln 2 + log(1 + f). The rounding error of k · kLn2High + f is added back, which keeps the result
// within one ULP where the two nearly cancel.
template <class T>
TG_INLINE V<T> log_parts(V<T> k, V<T> f, V<T> tail) {
  using C = Constants<T>;
  const V<T> whole = k * V<T>(C::kLn2High), high = whole + f, rest = (whole - high) + f;
  return high + (rest + fma(k, V<T>(C::kLn2Low), tail));
}

template <class T>
TG_INLINE V<T> log(V<T> x) {
  using L = Layout<T>;
  const Mask<T> tiny = x < V<T>(L::kMinNormal);
  const Parts<T> p = decompose(select(tiny, x * V<T>(L::kTwoMantissa), x));
  V<T> y = log_parts(select(tiny, p.k - V<T>(L::kMantissa), p.k), p.f, log1p_tail(p.f));
  y = select(x < infinity<T>(), y, x);
  y = select(x == V<T>(0), -infinity<T>(), y);
  return select(x < V<T>(0), V<T>(__builtin_nan("")), y);
}

// log(1 + x) with 1 + x rounded only to find k: 1 + f = 2^-k (1 + x) keeps the bits of x. With
// scaled = 2^-k x and unit = 2^-k - 1, what f loses (a bit, for x in [0.41, 0.5)) is known exactly.
template <class T>
TG_INLINE V<T> log1p_parts(V<T> k, V<T> scaled, V<T> unit) {
  const V<T> f = scaled + unit, lost = scaled - (f - unit);
  return log_parts(k, f, log1p_tail(f) + fma(-f, lost, lost));
}
template <class T>
TG_INLINE V<T> log1p(V<T> x) {
  const V<T> u = x + V<T>(1), one(1);
  const Parts<T> p = decompose(u);
  const V<T> scale = power_of_two(-p.k);
  const Mask<T> large = x > V<T>(Layout<T>::kTwoMantissa * 4);
  V<T> y = log1p_parts(p.k, select(large, p.f + one, scale * x), select(large, -one, scale - one));
  y = select(x < infinity<T>(), y, x);
  y = select(u == V<T>(0), -infinity<T>(), y);
  return with_sign(select(u < V<T>(0), V<T>(__builtin_nan("")), y), x);
}

// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|).
template <class T>
TG_INLINE V<T> softplus(V<T> x) {
  const V<T> z = exp_minus_abs(x);
  const V<T> k = decompose(z + V<T>(1)).k, scale = power_of_two(-k);
  return max_or(x, V<T>(0)) + log1p_parts(k, scale * z, scale - V<T>(1));
}

// e^-|x| cannot overflow, and to the left of 0 it carries the relative accuracy of the result.
template <class T>
TG_INLINE V<T> sigmoid(V<T> x) {
  const V<T> z = exp_minus_abs(x);
  return select(x < V<T>(0), z, V<T>(1)) / (z + V<T>(1));
}

// x + x P(x²) near 0; beyond, 1 - 2^-q(|x|) with q = -log₂(1 - erf).
template <class T>
TG_INLINE V<T> erf(V<T> x) {
  using C = Constants<T>;
  const V<T> a = min_or(V<T>(C::kErfHigh), abs(x)), magic(Layout<T>::kMagic);
  const V<T> near = fma(polynomial(C::kErf, a * a), a, a);
  const V<T> q = polynomial(C::kErfTail, a), n = (magic - q) - magic, r = -q - n;
  const V<T> p = fma(polynomial(C::kExp2, r), r, V<T>(1));
  const V<T> far = fma(-p, power_of_two(n), V<T>(1));
  return with_sign(select(a < V<T>(C::kErfNear), near, far), x);
}

}  // namespace
}  // namespace TG_ISA
