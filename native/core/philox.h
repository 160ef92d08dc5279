// Random numbers that are the same on every device: the counter-based generator Philox4x32-10
// (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011) and what turns
// its words into elements. Its own logarithm, sine and cosine, in a fixed order of operations, and
// in a `Real` that rounds each of them: the same bits with every compiler flag, CPU, GPU and libm.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>

#include "bfloat16.h"

namespace tg {

// Which numbers: element i depends on (seed, stream, i) and the dtype only.
struct RandomStream {
  uint32_t key[2], stream[2];
  TG_DEVICE_TOO RandomStream(uint64_t seed, uint64_t number)
      : key{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
        stream{static_cast<uint32_t>(number), static_cast<uint32_t>(number >> 32)} {}
};

// The block function: ten rounds on a 128-bit counter with a 64-bit key. out may be counter.
TG_DEVICE_TOO inline void philox(const uint32_t counter[4], const uint32_t key[2],
                                 uint32_t out[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * c0, b = uint64_t{0xCD9E8D57} * c2;
    c0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ k0;
    c2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(b);
    c3 = static_cast<uint32_t>(a);
    k0 += 0x9E3779B9;  // the golden ratio
    k1 += 0xBB67AE85;  // √3 - 1
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

// Words 4 at … 4 at + 3 of a stream.
TG_DEVICE_TOO inline void random_words(const RandomStream& stream, uint64_t at, uint32_t out[4]) {
  const uint32_t counter[4] = {static_cast<uint32_t>(at), static_cast<uint32_t>(at >> 32),
                               stream.stream[0], stream.stream[1]};
  philox(counter, stream.key, out);
}

namespace random {

TG_DEVICE_TOO inline uint64_t join(uint32_t low, uint32_t high) {
  return low | uint64_t{high} << 32;
}

// ln u for u in (0, 1], normal: u = m 2ᵉ with m in [√½, √2), ln m = 2 artanh((m - 1) / (m + 1)).
template <class Real>
TG_DEVICE_TOO inline Real log_unit(double u) {
  uint64_t bits;
  std::memcpy(&bits, &u, sizeof bits);
  const uint64_t shifted = bits - 0x3fe6a09e667f3bcdu;  // the bits of √½
  const int32_t e = static_cast<int32_t>(static_cast<int64_t>(shifted) >> 52);
  bits -= static_cast<uint64_t>(static_cast<int64_t>(e)) << 52;
  double significand;
  std::memcpy(&significand, &bits, sizeof significand);
  const Real m = significand, s = (m - 1) / (m + 1), z = s * s;
  Real p = 1.0 / 21;
  p = p * z + 1.0 / 19;
  p = p * z + 1.0 / 17;
  p = p * z + 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  return Real(e) * 0.6931471805599453 + (2 * s + 2 * s * (z * p));
}

// cos 2πt and sin 2πt for t in [0, 1): the nearest quarter turn, and Taylor's series within ±π/4.
template <class Real>
TG_DEVICE_TOO inline void turn(double t, Real* cosine, Real* sine) {
  const int32_t quarter = static_cast<int32_t>(4 * t + 0.5);  // 4 t is exact
  const Real x = Real(4 * t - quarter) * 1.5707963267948966, z = x * x;
  Real s = -1.0 / 1307674368000;  // 15!
  s = s * z + 1.0 / 6227020800;
  s = s * z - 1.0 / 39916800;
  s = s * z + 1.0 / 362880;
  s = s * z - 1.0 / 5040;
  s = s * z + 1.0 / 120;
  s = s * z - 1.0 / 6;
  s = x + x * (z * s);
  Real c = 1.0 / 20922789888000;  // 16!
  c = c * z - 1.0 / 87178291200;
  c = c * z + 1.0 / 479001600;
  c = c * z - 1.0 / 3628800;
  c = c * z + 1.0 / 40320;
  c = c * z - 1.0 / 720;
  c = c * z + 1.0 / 24;
  c = 1 + z * (c * z - 0.5);
  const Real a = quarter & 1 ? s : c, b = quarter & 1 ? c : s;
  *cosine = (quarter + 1) & 2 ? -a : a;
  *sine = quarter & 2 ? -b : b;
}

// The largest T below high, so that rounding cannot yield high itself. Denormals count as 0 here:
// below 0 comes the smallest normal number.
template <class T>
T largest_below(double high) {
  T top = static_cast<T>(high);
  while (static_cast<double>(top) >= high)
    top =
        top == 0 ? -std::numeric_limits<T>::min() : std::nextafter(top, -static_cast<T>(INFINITY));
  return top;
}

// The largest bfloat16 below high, but at least low; none is a denormal, which would count as 0.
inline float largest_bfloat16_below(double low, double high) {
  BFloat16 top = to_bfloat16(high);
  const auto value = [&] { return static_cast<double>(to_float(top)); };
  while (low < high && value() >= high)
    top.bits = static_cast<uint16_t>(value() == 0 ? 0x8080 : top.bits + (value() > 0 ? -1 : 1));
  return value() < low ? to_float(to_bfloat16(low)) : to_float(top);
}

// Distributions turn words in order into the n elements from position `at` of the result on. An
// element takes `kWords` words.

// [low, high): low + (high - low) k 2⁻²⁴ for float, k 2⁻⁵³ for double.
template <class T, class Real>
struct Uniform {
  static constexpr int kWords = sizeof(T) / 4;
  double low, span;  // halved, so that high - low cannot overflow
  T top;

  Uniform(double from, double high) : low(from / 2), span(high / 2 - from / 2) {
    top = from < high ? largest_below<T>(high) : static_cast<T>(high);
    if (top < static_cast<T>(from)) top = static_cast<T>(from);  // no T lies between
  }
  TG_DEVICE_TOO void operator()(const uint32_t* __restrict w, T* __restrict out, int64_t n,
                                int64_t) const {
    for (int64_t i = 0; i < n; ++i) {
      double u;
      if constexpr (kWords == 1)
        u = static_cast<double>(static_cast<int32_t>(w[i] >> 8)) * 0x1p-24;
      else
        u = static_cast<double>(static_cast<int64_t>(join(w[2 * i], w[2 * i + 1]) >> 11)) * 0x1p-53;
      const T v = static_cast<T>(static_cast<double>(2 * (low + Real(span) * u)));
      out[i] = v < top ? v : top;
    }
  }
};

template <class T, class Real>
struct Normal {
  static constexpr int kWords = sizeof(T) / 4;
  double mean, deviation;

  // Pairs of elements; where n is odd, one more than n is written.
  TG_DEVICE_TOO void operator()(const uint32_t* __restrict w, T* __restrict out, int64_t n,
                                int64_t) const {
    for (int64_t i = 0; i < n; i += 2) {
      double u, t;  // u is never 0: the half keeps the logarithm finite
      if constexpr (kWords == 1) {
        u = (static_cast<double>(w[i]) + 0.5) * 0x1p-32;
        t = static_cast<double>(w[i + 1]) * 0x1p-32;
      } else {
        u = (static_cast<double>(static_cast<int64_t>(join(w[2 * i], w[2 * i + 1]) >> 12)) + 0.5) *
            0x1p-52;
        t = static_cast<double>(static_cast<int64_t>(join(w[2 * i + 2], w[2 * i + 3]) >> 12)) *
            0x1p-52;
      }
      using std::sqrt;
      const Real r = sqrt(-2 * log_unit<Real>(u));
      Real c, s;
      turn(t, &c, &s);
      out[i] = static_cast<T>(static_cast<double>(mean + Real(deviation) * (r * c)));
      out[i + 1] = static_cast<T>(static_cast<double>(mean + Real(deviation) * (r * s)));
    }
  }
};

// Integers from low on, `span` of them, in any type (bool: whether not 0).
template <class T>
struct Integers {
  static constexpr int kWords = 2;
  int64_t low;
  uint64_t span;
  T top;
  TG_DEVICE_TOO void operator()(const uint32_t* w, T* out, int64_t n, int64_t) const {
    for (int64_t i = 0; i < n; ++i) {
      // The high 64 bits of a 64 × 64-bit product, from 32-bit halves.
      const uint64_t a0 = w[2 * i], a1 = w[2 * i + 1], b0 = span & 0xffffffffu, b1 = span >> 32;
      const uint64_t middle = (a0 * b0 >> 32) + (a1 * b0 & 0xffffffffu) + (a0 * b1 & 0xffffffffu);
      const uint64_t k = a1 * b1 + (a1 * b0 >> 32) + (a0 * b1 >> 32) + (middle >> 32);
      const int64_t value = low + static_cast<int64_t>(k);
      if constexpr (sizeof(T) == 1) {
        out[i] = value != 0;
      } else {
        const T v = static_cast<T>(value);
        out[i] = v < top ? v : top;
      }
    }
  }
};

// What the numbers of an op must be. Messages name the op.
inline Status check_uniform(Error* error, double low, double high) {
  if (low <= high && std::isfinite(low) && std::isfinite(high)) return Status::ok;
  return error->set(Status::range_error, "uniform: needs finite low <= high, got %g and %g", low,
                    high);
}

inline Status check_normal(Error* error, double mean, double deviation) {
  if (std::isfinite(mean) && std::isfinite(deviation) && deviation >= 0) return Status::ok;
  return error->set(Status::range_error,
                    "normal: needs a finite mean and a finite deviation >= 0, got %g and %g", mean,
                    deviation);
}

// Rounds both up to integers. For int32 they must lie within its range, else within ±2⁵³.
inline Status check_integers(Error* error, DType dtype, double* low, double* high) {
  const double given[] = {*low, *high};
  const bool int32 = dtype == DType::int32;
  const double most = int32 ? 0x1p31 : 0x1p53;
  *low = std::ceil(*low), *high = std::ceil(*high);
  if (*low < *high && *low >= -most && *high <= most) return Status::ok;
  return error->set(Status::range_error, "randint: needs low < high within %s, got %.17g and %.17g",
                    int32 ? "int32" : "±2^53", given[0], given[1]);
}

// Dropout keeps elements whose word is not below this.
inline uint64_t drop_limit(double p) { return static_cast<uint64_t>(p * 0x1p32); }

}  // namespace random
}  // namespace tg
