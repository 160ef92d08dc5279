// Philox and the distributions made of it; see random.h. Its own logarithm, sine and cosine,
// without fma and in a fixed order of operations: the same bits with every compiler flag, CPU and
// libm.
#include "random.h"

#include <cmath>
#include <limits>
#include <cstring>

#include "contiguous.h"
#include "copy.h"

namespace tg::cpu {
namespace {

constexpr int64_t kBlocks = 32;  // Philox blocks that are turned into numbers at a time

inline uint64_t join(uint32_t low, uint32_t high) { return low | uint64_t{high} << 32; }

struct Stream {
  uint32_t key[2], stream[2];
  explicit Stream(const Attrs& a)
      : key{static_cast<uint32_t>(a.seed), static_cast<uint32_t>(a.seed >> 32)},
        stream{static_cast<uint32_t>(a.stream), static_cast<uint32_t>(a.stream >> 32)} {}
};

// ln u for u in (0, 1], normal: u = m 2ᵉ with m in [√½, √2), ln m = 2 artanh((m - 1) / (m + 1)).
inline double log_unit(double u) {
  uint64_t bits;
  std::memcpy(&bits, &u, sizeof bits);
  const uint64_t shifted = bits - 0x3fe6a09e667f3bcdu;  // the bits of √½
  const int32_t e = static_cast<int32_t>(static_cast<int64_t>(shifted) >> 52);
  bits -= static_cast<uint64_t>(static_cast<int64_t>(e)) << 52;
  double m;
  std::memcpy(&m, &bits, sizeof m);
  const double s = (m - 1) / (m + 1), z = s * s;
  double p = 1.0 / 21;
  p = p * z + 1.0 / 19;
  p = p * z + 1.0 / 17;
  p = p * z + 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  return e * 0.6931471805599453 + (2 * s + 2 * s * (z * p));
}

// cos 2πt and sin 2πt for t in [0, 1): the nearest quarter turn, and Taylor's series within ±π/4.
inline void turn(double t, double* cosine, double* sine) {
  const int32_t quarter = static_cast<int32_t>(4 * t + 0.5);
  const double x = (4 * t - quarter) * 1.5707963267948966, z = x * x;
  double s = -1.0 / 1307674368000;  // 15!
  s = s * z + 1.0 / 6227020800;
  s = s * z - 1.0 / 39916800;
  s = s * z + 1.0 / 362880;
  s = s * z - 1.0 / 5040;
  s = s * z + 1.0 / 120;
  s = s * z - 1.0 / 6;
  s = x + x * (z * s);
  double c = 1.0 / 20922789888000;  // 16!
  c = c * z - 1.0 / 87178291200;
  c = c * z + 1.0 / 479001600;
  c = c * z - 1.0 / 3628800;
  c = c * z + 1.0 / 40320;
  c = c * z - 1.0 / 720;
  c = c * z + 1.0 / 24;
  c = 1 + z * (c * z - 0.5);
  const double a = quarter & 1 ? s : c, b = quarter & 1 ? c : s;
  *cosine = (quarter + 1) & 2 ? -a : a;
  *sine = quarter & 2 ? -b : b;
}

// The largest T below high, so that rounding cannot yield high itself. Denormals count as 0 here:
// below 0 comes the smallest normal number.
template <class T>
T largest_below(double high) {
  T top = static_cast<T>(high);
  while (static_cast<double>(top) >= high)
    top = top == 0 ? -std::numeric_limits<T>::min()
                   : std::nextafter(top, -static_cast<T>(INFINITY));
  return top;
}

// Words in order → numbers from position `at` on. `kWords` says how many words of 32 bits an
// element uses.
template <class T>
struct Uniform {
  static constexpr int kWords = sizeof(T) / 4;
  double low, span;  // halved, so that high - low cannot overflow
  T top;
  void operator()(const uint32_t* __restrict w, T* __restrict out, int64_t n, int64_t) const {
    for (int64_t i = 0; i < n; ++i) {
      double u;
      if constexpr (kWords == 1)
        u = static_cast<double>(static_cast<int32_t>(w[i] >> 8)) * 0x1p-24;
      else
        u = static_cast<double>(static_cast<int64_t>(join(w[2 * i], w[2 * i + 1]) >> 11)) * 0x1p-53;
      const T v = static_cast<T>(2 * (low + span * u));
      out[i] = v < top ? v : top;
    }
  }
};

template <class T>
struct Normal {
  static constexpr int kWords = sizeof(T) / 4;
  double mean, deviation;
  // Pairs of elements; where n is odd, one more than n is written.
  void operator()(const uint32_t* __restrict w, T* __restrict out, int64_t n, int64_t) const {
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
      const double r = std::sqrt(-2 * log_unit(u));
      double c, s;
      turn(t, &c, &s);
      out[i] = static_cast<T>(mean + deviation * (r * c));
      out[i + 1] = static_cast<T>(mean + deviation * (r * s));
    }
  }
};

template <class T>
struct Integers {
  static constexpr int kWords = 2;
  int64_t low;
  uint64_t span;
  T top;
  void operator()(const uint32_t* w, T* out, int64_t n, int64_t) const {
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

// Dropout: x scaled, or 0. One word per element; a piece of the result says by its place which
// elements of x it is made of.
template <class T>
struct Dropping {
  static constexpr int kWords = 1;
  uint64_t limit;
  T scale;
  const T* x;
  void operator()(const uint32_t* __restrict w, T* __restrict out, int64_t n, int64_t at) const {
    for (int64_t i = 0; i < n; ++i) out[i] = w[i] < limit ? T(0) : x[at + i] * scale;
  }
};

template <class T, class Distribution>
void generate(ThreadPool& threads, const OpCall& call, const Distribution& f) {
  constexpr int64_t kPerBlock = 4 / Distribution::kWords, kGroup = kBlocks * kPerBlock;
  const Stream stream(call.attrs);
  T* out = static_cast<T*>(call.out.data);
  const int64_t count = call.out.shape.count();
  // Work weighs more than its bytes: 8 times, by the pool's measure of when threads pay.
  const int64_t pieces = parts(threads, count * static_cast<int64_t>(sizeof(T)) * 8);
  int64_t step = (count + pieces - 1) / pieces;
  step = (step + kGroup - 1) / kGroup * kGroup;
  if (count == 0) return;
  parallel(threads, (count + step - 1) / step, [&](int64_t task) {
    const int64_t end = (task + 1) * step < count ? (task + 1) * step : count;
    for (int64_t i = task * step; i < end; i += kGroup) {
      const int64_t n = end - i < kGroup ? end - i : kGroup;
      uint32_t words[kBlocks * 4];
      const uint64_t first = static_cast<uint64_t>(i / kPerBlock);
      for (int64_t b = 0; b * kPerBlock < n; ++b) {
        const uint64_t at = first + static_cast<uint64_t>(b);
        const uint32_t counter[4] = {static_cast<uint32_t>(at), static_cast<uint32_t>(at >> 32),
                                     stream.stream[0], stream.stream[1]};
        philox(counter, stream.key, words + 4 * b);
      }
      if (n == kGroup) {
        f(words, out + i, n, i);
      } else {
        T last[kGroup + 1];
        f(words, last, n, i);
        std::memcpy(out + i, last, static_cast<size_t>(n) * sizeof(T));
      }
    }
  });
}

}  // namespace

void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
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

Status run_uniform(ExecContext* ctx, const OpCall& call) {
  const double low = call.attrs.p[0], high = call.attrs.p[1];
  ctx->trace.variant = "philox";
  if (!(low <= high) || !std::isfinite(low) || !std::isfinite(high))
    return ctx->error->set(Status::range_error, "uniform: needs finite low <= high, got %g and %g",
                           low, high);
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    T top = low < high ? largest_below<T>(high) : static_cast<T>(high);
    if (top < static_cast<T>(low)) top = static_cast<T>(low);  // no T lies between
    generate<T>(*ctx->threads, call, Uniform<T>{low / 2, high / 2 - low / 2, top});
  };
  call.out.dtype == DType::float32 ? run(float{}) : run(double{});
  return Status::ok;
}

Status run_normal(ExecContext* ctx, const OpCall& call) {
  const double mean = call.attrs.p[0], deviation = call.attrs.p[1];
  ctx->trace.variant = "philox";
  if (!std::isfinite(mean) || !std::isfinite(deviation) || deviation < 0)
    return ctx->error->set(Status::range_error,
                           "normal: needs a finite mean and a finite deviation >= 0, got %g and %g",
                           mean, deviation);
  if (call.out.dtype == DType::float32)
    generate<float>(*ctx->threads, call, Normal<float>{mean, deviation});
  else
    generate<double>(*ctx->threads, call, Normal<double>{mean, deviation});
  return Status::ok;
}

Status run_randint(ExecContext* ctx, const OpCall& call) {
  const double low = std::ceil(call.attrs.p[0]), high = std::ceil(call.attrs.p[1]);
  ctx->trace.variant = "philox";
  const bool int32 = call.out.dtype == DType::int32;
  const double most = int32 ? 0x1p31 : 0x1p53;
  if (!(low < high) || !(low >= -most) || !(high <= most))
    return ctx->error->set(Status::range_error,
                           "randint: needs low < high within %s, got %.17g and %.17g",
                           int32 ? "int32" : "±2^53", call.attrs.p[0], call.attrs.p[1]);
  const int64_t first = static_cast<int64_t>(low);
  const uint64_t span = static_cast<uint64_t>(static_cast<int64_t>(high) - first);
  const auto run = [&](auto top) {
    generate<decltype(top)>(*ctx->threads, call, Integers<decltype(top)>{first, span, top});
  };
  switch (call.out.dtype) {
    case DType::float32:
      run(largest_below<float>(high));
      break;
    case DType::float64:
      run(largest_below<double>(high));
      break;
    case DType::int32:
      run(static_cast<int32_t>(high - 1));
      break;
    case DType::boolean:
      run(uint8_t{1});
      break;
    case DType::bfloat16:  // made from float32 (see bfloat16.h)
      return ctx->error->set(Status::internal, "randint: no kernel for bfloat16");
  }
  return Status::ok;
}

Status run_drop(ExecContext* ctx, const OpCall& call) {
  ctx->trace.variant = "philox";
  Contiguous in(ctx, call);
  TG_TRY(in.prepare(0));
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    const T* x = in.in<T>(0);
    const double p = call.attrs.p[0];
    const uint64_t limit = static_cast<uint64_t>(p * 0x1p32);
    const T scale = static_cast<T>(1 / (1 - p));
    generate<T>(*ctx->threads, call, Dropping<T>{limit, scale, x});
  };
  call.out.dtype == DType::float32 ? run(float{}) : run(double{});
  return Status::ok;
}

}  // namespace tg::cpu
