// The float half of the elementary functions: coefficients, and what differs from double: log's
// polynomial, tanh, sin and cos, and pow, which is evaluated in double and rounded once. Includes
// only math_common.h.
#pragma once

#include "math_common.h"

namespace TG_ISA {
namespace {

// Minimax fits; the comment gives the range and the largest weighted error.
template <>
struct Constants<float> {
  static constexpr double kLog2E = 0x1.715476p0;
  // 15 bits after the point: n · kLn2High is exact for the |n| ≤ 150 that occur.
  static constexpr double kLn2High = 0x1.62e4p-1, kLn2Low = 0x1.7f7d1cp-20;
  // Beyond these, e^x is 0 or infinite, e^x - 1 is -1, 1 - erf(x) is below half an ULP of 1.
  static constexpr double kExpLow = -104, kExpHigh = 89, kExpm1Low = -18, kExpm1Top = 60;
  static constexpr double kErfNear = 0.875, kErfHigh = 3.95;
  // (e^r - 1 - r) / r², |r| ≤ 0.353: 2^-28 of e^r.
  static constexpr float kExp[] = {0x1.fffffcp-2f, 0x1.555482p-3f, 0x1.55588ep-5f, 0x1.12455ap-7f,
                                   0x1.6a84d8p-10f};
  // (e^r - 1 - r) / r², |r| ≤ 0.353: 2^-26 of e^r - 1.
  static constexpr float kExpm1[] = {0x1p-1f, 0x1.5554a2p-3f, 0x1.5554d4p-5f, 0x1.12330cp-7f,
                                     0x1.6d65aap-10f};
  // (2^r - 1) / r, |r| ≤ 0.51: 2^-28.
  static constexpr float kExp2[] = {0x1.62e43p-1f,  0x1.ebfbep-3f,   0x1.c6af5cp-5f,
                                    0x1.3b2a34p-7f, 0x1.5f1d1cp-10f, 0x1.443bcep-13f};
  // (log(1 + f) - f + f²/2) / f³, 1 + f in [√½, √2]: 2^-27 of the logarithm.
  static constexpr float kLog[] = {0x1.55554ap-2f, -0x1.00022p-2f, 0x1.99a598p-3f, -0x1.54785p-3f,
                                   0x1.226e8ep-3f, -0x1.0ce49p-3f, 0x1.07d0aep-3f, -0x1.41d26ap-4f};
  // (tanh(x) / x - 1) / x² in x², |x| ≤ 0.625: 2^-27.8 of tanh.
  static constexpr float kTanh[] = {-0x1.555534p-2f, 0x1.11076p-3f, -0x1.b84358p-5f, 0x1.5251e6p-6f,
                                    -0x1.769a84p-8f};
  // erf(x) / x - 1 in x², |x| ≤ 0.875: 2^-25.9 of erf.
  static constexpr float kErf[] = {0x1.06eba6p-3f,  -0x1.812702p-2f, 0x1.ce2036p-4f,
                                   -0x1.b6ea28p-6f, 0x1.499eeep-8f,  -0x1.44a954p-11f};
  // -log₂(1 - erf(x)), x in [0.875, 3.95]: 2^-28.5 of 1.
  static constexpr float kErfTail[] = {0x1.b66986p-13f, 0x1.a08feep0f,   0x1.d665cap-1f,
                                       0x1.34020ep-3f,  -0x1.087bccp-5f, 0x1.235684p-8f,
                                       -0x1.2e4ca6p-12f};
  // π/2 in three parts; |r| ≤ π/4: (sin(r) / r - 1) / r², 2^-27.8 of sin, and
  // (cos(r) - 1 + r²/2) / r⁴, 2^-33 of cos, in r².
  static constexpr double kHalfPi[] = {0x1.921fb6p0, -0x1.777a5cp-25, -0x1.ee59dap-50};
  static constexpr float kSin[] = {-0x1.555544p-3f, 0x1.1106e2p-7f, -0x1.992abp-13f};
  static constexpr float kCos[] = {0x1.55554ap-5f, -0x1.6c0c26p-10f, 0x1.99e71ep-16f};
  // For sin and cos without FMA, evaluated in double: (sin(r) / r - 1) / r² and (cos(r) - 1 + r²/2)
  // / r⁴ in r², |r| ≤ π/4: 2^-37.
  static constexpr double kWideSin[] = {-0x1.5555554c07dcap-3, 0x1.111108150dbefp-7,
                                        -0x1.a00f356a62c26p-13, 0x1.6cbf72a5e652bp-19};
  static constexpr double kWideCos[] = {0x1.5555554ed52c4p-5, -0x1.6c16b814d624ap-10,
                                        0x1.a010c843b844ap-16, -0x1.24188b9edce92p-22};
};

// log(1 + f) - f.
TG_INLINE V<float> log1p_tail(V<float> f) {
  return f * f * fma(f, polynomial(Constants<float>::kLog, f), V<float>(-0.5));
}

// Near 0 an odd polynomial, beyond it 1 - 2 / (e^2|x| + 1), which is 1 from 10 on.
TG_INLINE V<float> tanh(V<float> x) {
  using C = Constants<float>;
  const V<float> a = min_or(V<float>(10), abs(x)), z = a * a;
  const V<float> near = fma(a * z, polynomial(C::kTanh, z), a);
  const V<float> far = V<float>(1) - V<float>(2) / (exp_limited(a + a) + V<float>(1));
  return with_sign(select(a < V<float>(0.625), near, far), x);
}

// The lanes that the reduction below does not reach; out of line, to keep its loop free of calls.
inline __attribute__((noinline, cold)) void sincos_lanes(const double* x, double* y, int n,
                                                         int shift, double limit) {
  for (int i = 0; i < n; ++i)
    if (!(__builtin_fabs(x[i]) <= limit)) y[i] = shift ? __builtin_cos(x[i]) : __builtin_sin(x[i]);
}
constexpr double kSincosLimit = 0x1p20, kTwoOverPi = 0x1.45f306dc9c883p-1;
template <int kShift>
TG_INLINE V<double> sincos_patch(V<double> x, V<double> y) {
  if (__builtin_expect(any(!(abs(x) <= V<double>(kSincosLimit))), 0)) {
    double in[V<double>::kLanes], out[V<double>::kLanes];
    store(in, x), store(out, y);
    sincos_lanes(in, out, V<double>::kLanes, kShift, kSincosLimit);
    y = load<double>(out);
  }
  return y;
}

// sin(r + (quadrant + kShift) π/2) from sin r and cos r: they swap in odd quadrants and change sign
// in two of four; kShift = 1 makes cosines. Only the two low bits of `quadrant` count.
template <int kShift>
TG_INLINE V<double> to_quadrant(V<int64_t> quadrant, V<double> sine, V<double> cosine) {
  const V<int64_t> q = quadrant + bits<double>(kShift), zero = bits<double>(0);
  const Mask<double> even{((q & bits<double>(1)) == zero).m};
  const V<double> y = select(even, sine, cosine);
  return bit_cast<double>(bit_cast<int64_t>(y) ^ ((q & bits<double>(2)) << 62));
}

// A float's sine or cosine in double: n π/2 in two parts is enough for |x| ≤ 2^20.
template <int kShift>
TG_INLINE V<double> sincos_of_float(V<double> x) {
  using C = Constants<float>;
  const V<double> magic(Layout<double>::kMagic);
  const V<double> turns = fma(x, V<double>(kTwoOverPi), magic), n = turns - magic;
  const V<double> r = fma(n, V<double>(-0x1.0b4611a626331p-34),    // the rest of π/2
                          fma(n, V<double>(-0x1.921fb544p0), x));  // its first 33 bits: exact
  const V<double> z = r * r;
  const V<double> sine = fma(r * z, polynomial(C::kWideSin, z), r);
  const V<double> top = fma(z, V<double>(-0.5), V<double>(1));
  const V<double> cosine = fma(z * z, polynomial(C::kWideCos, z), top);
  return sincos_patch<kShift>(x, to_quadrant<kShift>(bit_cast<int64_t>(turns), sine, cosine));
}

// With FMA all of it in float: x - n kHalfPi[0] is exact for |x| ≤ 2^14, and `low` holds what r
// has lost. As to_quadrant() otherwise.
template <int kShift>
TG_INLINE V<float> sincos_fused(V<float> x) {
  using C = Constants<float>;
  const V<float> magic(Layout<float>::kMagic), one(1);
  const V<float> turns = fma(x, V<float>(kTwoOverPi), magic), n = turns - magic;
  const V<float> a = fma(n, V<float>(-C::kHalfPi[0]), x), second(C::kHalfPi[1]);
  const V<float> b = n * second, r = a - b;
  const V<float> low = fma(n, V<float>(-C::kHalfPi[2]), ((a - r) - b) + fma(-n, second, b));
  const V<float> z = r * r, half = V<float>(0.5) * z, top = one - half;
  const V<float> sine = r + fma(r * z, polynomial(C::kSin, z), low);
  const V<float> cosine = top + fma(z * z, polynomial(C::kCos, z), (one - top) - half);
  const V<int32_t> q = bit_cast<int32_t>(turns) + V<int32_t>(kShift);
  const Mask<float> even{((q & V<int32_t>(1)) == V<int32_t>(0)).m};
  const V<float> y = select(even, sine, cosine);
  return bit_cast<float>(bit_cast<int32_t>(y) ^ ((q & V<int32_t>(2)) << 30));
}
// The double path is for large arguments and for instruction sets without FMA.
template <int kShift>
TG_INLINE V<float> sincos(V<float> x) {
  const Mask<float> near = abs(x) <= V<float>(0x1p14);
  if (kFused && __builtin_expect(!any(!near), 1)) return sincos_fused<kShift>(x);
  const DoublePair w = widen(x);
  const V<float> y = narrow({sincos_of_float<kShift>(w.lo), sincos_of_float<kShift>(w.hi)});
  return kFused ? select(near, sincos_fused<kShift>(x), y) : y;
}
TG_INLINE V<float> sin(V<float> x) { return select(x == V<float>(0), x, sincos<0>(x)); }
TG_INLINE V<float> cos(V<float> x) { return sincos<1>(x); }

// |x|^y = e^(y log |x|) in double, then the sign and the special cases of IEEE 754 pow.
TG_INLINE V<double> pow_of_float(V<double> x, V<double> y) {
  const V<double> a = abs(x);
  const V<double> exponent = select(a == V<double>(1), V<double>(0), y * log(a));
  const V<double> p = select(y == V<double>(0), V<double>(1), exp(exponent));
  const V<double> h = y * V<double>(0.5);
  const Mask<double> integral = round_even(y) == y, odd = integral & (round_even(h) != h);
  V<double> r = select(odd, with_sign(p, x), p);
  r = select((x < V<double>(0)) & (x > -infinity<double>()) & !integral,
             V<double>(__builtin_nan("")), r);
  return select((x == V<double>(1)) | (y == V<double>(0)), V<double>(1), r);
}
TG_INLINE V<float> pow(V<float> x, V<float> y) {
  const DoublePair a = widen(x), b = widen(y);
  return narrow({pow_of_float(a.lo, b.lo), pow_of_float(a.hi, b.hi)});
}

}  // namespace
}  // namespace TG_ISA
