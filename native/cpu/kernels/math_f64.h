// The double half of the elementary functions: coefficients, and what differs from float: log by
// s = f / (2 + f), tanh by expm1, a longer reduction for sin and cos, pow by libm. Includes only
// math_f32.h, whose sincos helpers it shares.
#pragma once

#include "math_f32.h"

namespace TG_ISA {
namespace {

// Minimax fits; the comment gives the range and the largest weighted error.
template <>
struct Constants<double> {
  static constexpr double kLog2E = 0x1.71547652b82fep0;
  // 38 bits after the point: n · kLn2High is exact for the |n| ≤ 1075 that occur.
  static constexpr double kLn2High = 0x1.62e42fefap-1, kLn2Low = 0x1.cf79abc9e3b3ap-40;
  // Beyond these, e^x is 0 or infinite, e^x - 1 is -1, 1 - erf(x) is below half an ULP of 1.
  static constexpr double kExpLow = -746, kExpHigh = 710, kExpm1Low = -40, kExpm1Top = 600;
  static constexpr double kErfNear = 1, kErfHigh = 5.93;
  // (e^r - 1 - r) / r², |r| ≤ 0.353: 2^-57 of e^r.
  static constexpr double kExp[] = {
      0x1.000000000000cp-1,  0x1.55555555554ecp-3,  0x1.555555554fa11p-5,  0x1.111111112a375p-7,
      0x1.6c16c18765bf7p-10, 0x1.a01a01229a5bdp-13, 0x1.a019911902c04p-16, 0x1.71df29c888412p-19,
      0x1.28b5db4038841p-22, 0x1.ad8c78f40446ep-26};
  // (e^r - 1 - r) / r², |r| ≤ 0.353: 2^-55 of e^r - 1.
  static constexpr double kExpm1[] = {0x1p-1,
                                      0x1.555555555555ap-3,
                                      0x1.5555555553661p-5,
                                      0x1.111111110ed1cp-7,
                                      0x1.6c16c17bcef34p-10,
                                      0x1.a01a01b47555cp-13,
                                      0x1.a019acfcb245fp-16,
                                      0x1.71ddebc987197p-19,
                                      0x1.289ecd1af72fdp-22,
                                      0x1.af75a0fd4ddc2p-26};
  // (2^r - 1) / r, |r| ≤ 0.51: 2^-57.
  static constexpr double kExp2[] = {
      0x1.62e42fefa39efp-1,  0x1.ebfbdff82c5a8p-3,  0x1.c6b08d704a176p-5,  0x1.3b2ab6fb9f548p-7,
      0x1.5d87fe788bae4p-10, 0x1.430913117fed3p-13, 0x1.ffcbfccc8dc02p-17, 0x1.62bfc06bba488p-20,
      0x1.b52442c14ee0dp-24, 0x1.e6286d84787ap-28,  0x1.eacca9d2dac8p-32};
  // (log((1 + s) / (1 - s)) / s - 2) / s² in s², |s| ≤ 0.172: 2^-58.
  static constexpr double kLog[] = {
      0x1.5555555555594p-1, 0x1.999999997f45bp-2, 0x1.2492494280278p-2, 0x1.c71c518c79d05p-3,
      0x1.74665a3f4f819p-3, 0x1.399ecefdc718bp-3, 0x1.2f24686a7a73cp-3};
  // erf(x) / x - 1 in x², |x| ≤ 1: 2^-56.
  static constexpr double kErf[] = {
      0x1.06eba8214db68p-3, -0x1.812746b0379b4p-2,  0x1.ce2f21a040a7p-4,   -0x1.b82ce311f514cp-6,
      0x1.565bccf8d1334p-8, -0x1.c02db038a077dp-11, 0x1.f9a2baad9194dp-14, -0x1.f4ca5304d04c1p-17,
      0x1.b9802ff9153bp-20, -0x1.5c09ff18f11e8p-23, 0x1.d731feb369362p-27, -0x1.abf9ffcc87a19p-31};
  // -log₂(1 - erf(x)), x in [1, 5.93]: 2^-56.6 of 1.
  static constexpr double kErfTail[] = {
      0x1.8f0b6c3b7c3dcp-21,  0x1.a0be06204aa3cp0,    0x1.d64372d1b64fep-1,
      0x1.2f72935ba639dp-3,   -0x1.c0cff2f8978a5p-6,  -0x1.393fda169c9bap-11,
      0x1.6afc9d89cd3c7p-9,   -0x1.248e6c0addd84p-10, 0x1.9e284b0bcb2bfp-13,
      0x1.d47f2c2fcea22p-16,  -0x1.0fe472273af87p-15, 0x1.9e4882f11847fp-17,
      -0x1.98872540a2373p-19, 0x1.1d881c983e8e4p-21,  -0x1.1bdaad2773fd7p-24,
      0x1.80887bcecefe9p-28,  -0x1.3f74096522d76p-32, 0x1.ec2dd5d382af8p-38};
  // |r| ≤ π/4: (sin(r) / r - 1) / r² and (cos(r) - 1 + r²/2) / r⁴ in r²; 2^-57.
  static constexpr double kSin[] = {-0x1.5555555555547p-3,  0x1.111111110f59cp-7,
                                    -0x1.a01a019bb4f7fp-13, 0x1.71de352644b5bp-19,
                                    -0x1.ae5e257caee9cp-26, 0x1.5d7ff37ca5e91p-33};
  static constexpr double kCos[] = {0x1.555555555554ap-5,  -0x1.6c16c16c14dfp-10,
                                    0x1.a01a019c58ef7p-16, -0x1.27e4f7c98e0dap-22,
                                    0x1.1ee9bfe63ce1bp-29, -0x1.8f97ab23cfb84p-37};
  // π/2 in parts of 33 bits (times n < 2^20: exact) and a rest.
  static constexpr double kHalfPi[] = {0x1.921fb544p0, 0x1.0b4611a6p-34, 0x1.3198a2ep-69,
                                       0x1.b839a252049c1p-104};
};

// log(1 + f) - f = s (f²/2 + R(s²)) - f²/2 with s = f / (2 + f).
TG_INLINE V<double> log1p_tail(V<double> f) {
  const V<double> s = f / (f + V<double>(2)), z = s * s, half = V<double>(0.5) * f * f;
  return fma(s, fma(z, polynomial(Constants<double>::kLog, z), half), -half);
}

// (e^2|x| - 1) / (e^2|x| + 1), which is 1 from 22 on.
TG_INLINE V<double> tanh(V<double> x) {
  const V<double> a = min_or(V<double>(22), abs(x)), m = expm1(a + a);
  return with_sign(m / (m + V<double>(2)), x);
}

// x = n π/2 + (r + rest): the subtractions' rounding errors go into `rest`.
template <int kShift>
TG_INLINE V<double> sincos(V<double> x) {
  using C = Constants<double>;
  const V<double> magic(Layout<double>::kMagic);
  const V<double> turns = fma(x, V<double>(kTwoOverPi), magic), n = turns - magic;
  const V<double> a = fma(n, V<double>(-C::kHalfPi[0]), x), w = n * V<double>(C::kHalfPi[1]);
  const V<double> b = a - w, v = n * V<double>(C::kHalfPi[2]), r = b - v;
  const V<double> rest = fma(n, V<double>(-C::kHalfPi[3]), ((b - r) - v) + ((a - b) - w));
  const V<double> z = r * r, half = V<double>(0.5) * z, one(1), top = one - half;
  const V<double> sine = r + fma(r * z, polynomial(C::kSin, z), fma(-half, rest, rest));
  const V<double> cosine =
      top + (((one - top) - half) + fma(z * z, polynomial(C::kCos, z), -(r * rest)));
  return sincos_patch<kShift>(x, to_quadrant<kShift>(bit_cast<int64_t>(turns), sine, cosine));
}
TG_INLINE V<double> sin(V<double> x) { return select(x == V<double>(0), x, sincos<0>(x)); }
TG_INLINE V<double> cos(V<double> x) { return sincos<1>(x); }

// Lane by lane through libm's pow, whose accuracy it has. It looks at the bits: where denormals
// compare equal to zero (see core/float_mode.h) it gets that zero.
inline __attribute__((noinline)) void pow_lanes(double* x, const double* y, int n) {
  const auto read = [](double v) { return v == 0 ? __builtin_copysign(0.0, v) : v; };
  for (int i = 0; i < n; ++i) x[i] = __builtin_pow(read(x[i]), read(y[i]));
}
TG_INLINE V<double> pow(V<double> x, V<double> y) {
  double a[V<double>::kLanes], b[V<double>::kLanes];
  store(a, x), store(b, y);
  pow_lanes(a, b, V<double>::kLanes);
  return load<double>(a);
}

}  // namespace
}  // namespace TG_ISA
