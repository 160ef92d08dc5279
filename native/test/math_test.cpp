// Checks the elementary functions of one instruction set: compile once per set, with
// -DTG_ISA=<name> and that set's flags, and link libm. Float is compared with double, double with
// long double.
//
//   math_test [--all | --thin] [function …]
//
// Every 211th float pattern; --all: every one, in a minute or two per function; --thin, for
// emulators: every 3571st.
//
// Prints the largest error in ULP per function and a hash of the results (equal on all sets with
// FMA), ends with "N passed, M failed", and exits with 1 where a bound of math.h does not hold.
// Includes only kernels/math.h, the thread pool and the C library.
#include "../core/thread_pool.h"
#include "../cpu/kernels/math.h"

#include <stdio.h>
#include <string.h>

#include <cmath>

using namespace TG_ISA;

namespace {

int passed = 0, failed = 0;
void check(bool ok) { ok ? ++passed : ++failed; }
template <class T>
struct Wide {
  using type = double;
};
template <>
struct Wide<double> {
  using type = long double;
};
template <class T>
using WideOf = typename Wide<T>::type;
template <class T>
using Bits = typename LaneUnsigned<typename LaneInt<T>::type>::type;

template <class T>
T from_bits(Bits<T> b) {
  T x;
  memcpy(&x, &b, sizeof x);
  return x;
}
template <class T>
Bits<T> to_bits(T x) {
  Bits<T> b;
  memcpy(&b, &x, sizeof b);
  return b;
}

// |got - want| in units of the last place that T has at `want`; infinity counts as the power of
// two after the largest number. A wrong NaN, or a zero of the wrong sign, is an infinite error.
template <class T>
double ulps(T got, WideOf<T> want) {
  constexpr bool kFloat = sizeof(T) == 4;
  constexpr int kDigits = kFloat ? 24 : 53;
  constexpr int kTop = kFloat ? 128 : 1024, kBottom = kFloat ? -126 : -1022;
  using W = WideOf<T>;
  if (got != got || want != want) return got != got && want != want ? 0 : __builtin_inf();
  if ((got == 0 || want == 0) && std::signbit(got) != std::signbit(want)) return __builtin_inf();
  const W top = (W)std::ldexp((W)1, kTop);
  W g = got;
  if (g > top) g = top;
  if (g < -top) g = -top;
  if (want > top) want = top;
  if (want < -top) want = -top;
  int e = kBottom + 1;
  if (want != 0) {
    (void)std::frexp(want, &e);
  }
  if (e < kBottom + 1) e = kBottom + 1;
  if (e > kTop) e = kTop;
  const W error = g > want ? g - want : want - g;
  return (double)std::ldexp(error, kDigits - e);
}

// A function under test: applied to arrays as a kernel does, tail by partial load and store.
template <class T, class F>
struct Kernel {
  static __attribute__((noinline)) void run(const T* in, const T* second, T* out, int64_t n) {
    constexpr int64_t kLanes = V<T>::kLanes;
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
      store<T>(out + i, F::apply(load<T>(in + i), load<T>(second + i)));
    if (i < n)
      store<T>(out + i, F::apply(load<T>(in + i, n - i), load<T>(second + i, n - i)), n - i);
  }
};

template <class W>
W sigmoid_of(W x) {
  return x > 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}
template <class W>
W softplus_of(W x) {
  return (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x)));
}
template <class W>
W sign_of(W x) {
  return x > 0 ? 1 : x < 0 ? -1 : x == 0 ? 0 : x;
}

// name; the bounds of math.h in ULP, for float and double; the reference.
#define TG_FUNCTIONS(F)                \
  F(exp, 1, 1, std::exp(x))            \
  F(expm1, 1.5, 1.5, std::expm1(x))    \
  F(log, 1, 1, std::log(x))            \
  F(log1p, 1, 1, std::log1p(x))        \
  F(softplus, 2, 2, softplus_of(x))    \
  F(tanh, 1.5, 3, std::tanh(x))        \
  F(sigmoid, 2.5, 2.5, sigmoid_of(x))  \
  F(erf, 1.5, 1.5, std::erf(x))        \
  F(sin, 1.5, 1, std::sin(x))          \
  F(cos, 1.5, 1, std::cos(x))          \
  F(rsqrt, 1.5, 1.5, 1 / std::sqrt(x)) \
  F(sign, 0, 0, sign_of(x))            \
  F(floor, 0, 0, std::floor(x))        \
  F(round_even, 0, 0, std::rint(x))

#define TG_CASE(name_, float_bound, double_bound, reference_)             \
  struct name_##_case {                                                   \
    static constexpr const char* kName = #name_;                          \
    static constexpr double kFloat = float_bound, kDouble = double_bound; \
    template <class T>                                                    \
    static TG_INLINE V<T> apply(V<T> x, V<T>) {                           \
      return name_(x);                                                    \
    }                                                                     \
    template <class W>                                                    \
    static W reference(W x, W) {                                          \
      return reference_;                                                  \
    }                                                                     \
  };
TG_FUNCTIONS(TG_CASE)
struct pow_case {
  static constexpr const char* kName = "pow";
  static constexpr double kFloat = 0.51, kDouble = 1;
  template <class T>
  static TG_INLINE V<T> apply(V<T> x, V<T> y) {
    return pow(x, y);
  }
  template <class W>
  static W reference(W x, W y) {
    return std::pow(x, y);
  }
};

struct Random {  // splitmix64
  uint64_t state;
  uint64_t bits() {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
};

struct Worst {
  double ulp = 0, at = 0, at_second = 0;
  uint64_t hash = 0, count = 0;

  void join(const Worst& o) {
    if (o.ulp > ulp) ulp = o.ulp, at = o.at, at_second = o.at_second;
    hash = (hash ^ o.hash) * 0x9e3779b97f4a7c15;
    count += o.count;
  }
};

constexpr int kBlock = 4096;

// The largest error of a block by the C library, which is the judge.
template <class T, class F>
void judge(const T* x, const T* y, const T* out, int64_t n, Worst* worst) {
  for (int64_t i = 0; i < n; ++i) {
    const double e = ulps<T>(out[i], F::template reference<WideOf<T>>(x[i], y[i]));
    if (e > worst->ulp) worst->ulp = e, worst->at = x[i], worst->at_second = y[i];
  }
}

// ulps() for whole registers.
V<double> ulps(V<double> got, V<double> want) {
  const V<double> zero(0), inf(__builtin_inf());
  const V<double> g = limit(got, -0x1p128, 0x1p128), w = limit(want, -0x1p128, 0x1p128);
  const V<double> a = min_or(V<double>(0x1p127), max_or(V<double>(0x1p-126), abs(w)));
  const V<double> power = bit_cast<double>(bit_cast<int64_t>(a) & bits<double>(0x7ff0000000000000));
  const V<double> e = abs(g - w) / power * V<double>(0x1p23);
  const Mask<double> same_kind{((got != got).m == (want != want).m)};
  const Mask<double> signs{
      ((bit_cast<int64_t>(got) ^ bit_cast<int64_t>(want)) < bits<double>(0)).m};
  const V<double> number = select(((got == zero) | (want == zero)) & signs & same_kind, inf, e);
  return select(e == e, number, select(same_kind, zero, inf));
}

// Is any error of a block of floats above `bound`, by the double kernel? That is within a few
// 2^-29 ULP of float of the truth where it keeps its own bound, and a hundred times as fast as the
// C library.
template <class F>
bool exceeds(const float* x, const float* out, double bound) {
  constexpr int kLanes = V<float>::kLanes;
  V<double> worst(0);
  for (int i = 0; i < kBlock; i += kLanes) {
    const DoublePair in = widen(load(x + i)), got = widen(load(out + i));
    worst = max_or(worst, ulps(got.lo, F::apply(in.lo, in.lo)));
    worst = max_or(worst, ulps(got.hi, F::apply(in.hi, in.hi)));
  }
  return any(worst > V<double>(bound));
}

template <class T, class F>
void measure(const T* x, const T* y, int64_t n, bool quick, Worst* worst) {
  T out[kBlock];
  Kernel<T, F>::run(x, y, out, n);
  bool look = true;
  if constexpr (sizeof(T) == 4)
    if (quick) look = exceeds<F>(x, out, worst->ulp);
  if (look) judge<T, F>(x, y, out, n, worst);
  for (int64_t i = 0; i < n; ++i) {
    const Bits<T> b = out[i] == out[i] ? to_bits(out[i]) : Bits<T>(1);
    worst->hash = (worst->hash ^ b) * 0x9e3779b97f4a7c15;
  }
  worst->count += static_cast<uint64_t>(n);
}

template <class T>
double bound_of(double f, double d) {
  return sizeof(T) == 4 ? f : d;
}

template <class T, class F>
void report(const Worst& w) {
  const double bound = bound_of<T>(F::kFloat, F::kDouble);
  const bool ok = w.ulp <= bound;
  check(ok);
  printf("%-10s %-6s %7.4f ULP (bound %.2g) at %-13.9g %-13.9g %llu inputs, hash %016llx%s\n",
         F::kName, sizeof(T) == 4 ? "float" : "double", w.ulp, bound, w.at, w.at_second,
         (unsigned long long)w.count, (unsigned long long)w.hash, ok ? "" : "  FAILED");
}

// Sign and exponent uniform, next to a multiple of π/2, or within the range where functions bend.
template <class T>
T sample(Random* random, uint64_t i) {
  const uint64_t r = random->bits();
  if (i % 2 == 0) return from_bits<T>(static_cast<Bits<T>>(r >> (64 - 8 * sizeof(T))));
  if (i % 8 == 3) return static_cast<T>(1.57079632679489661923L * static_cast<int64_t>(r >> 45));
  const double u = static_cast<double>(random->bits() >> 11) * 0x1p-53;
  return static_cast<T>((r & 1 ? -1 : 1) * std::exp2(u * 44 - 34) * (1 + (r >> 12) * 0x1p-52));
}

// Every step-th of the float patterns that begin with the byte `top`. With all of them, the C
// library judges every 64th block and those that look worse than what was seen.
template <class F>
void patterns(uint64_t top, uint64_t step, Worst* worst) {
  float x[kBlock];
  const uint64_t begin = top << 24, end = (top + 1) << 24;
  uint64_t pattern = (begin + step - 1) / step * step;
  for (uint64_t block = 0; pattern < end; ++block) {
    int64_t n = 0;
    for (; n < kBlock && pattern < end; pattern += step)
      x[n++] = from_bits<float>(static_cast<uint32_t>(pattern));
    measure<float, F>(x, x, n, step == 1 && block % 64 != 0, worst);
  }
}

template <class T, class F, bool kPair>
void samples(uint64_t seed, Worst* worst) {
  Random random{seed << 32};
  T x[kBlock], y[kBlock];
  for (int i = 0; i < kBlock; ++i) {
    x[i] = sample<T>(&random, static_cast<uint64_t>(i));
    // libm's pow(x, 0) tells a signalling NaN from a quiet one.
    if (x[i] != x[i]) x[i] = static_cast<T>(__builtin_nan(""));
    y[i] = i % 3 == 0 ? std::rint(sample<T>(&random, 1) * 10)
                      : sample<T>(&random, static_cast<uint64_t>(i));
    if (kPair && i % 5 == 0) y[i] = static_cast<T>(y[i] * 20 / std::log(std::fabs(x[i])));
  }
  measure<T, F>(x, y, kBlock, false, worst);
}

tg::ThreadPool* pool = nullptr;

template <class T, class F, bool kPair>
void accuracy(uint64_t step) {
  constexpr int kTasks = 256;  // the leading bytes
  static Worst worst[kTasks];
#if defined(__aarch64__)
  const uint64_t blocks = step == 1 ? 8 : 1;  // long double is done in software there
#else
  const uint64_t blocks = step == 1 ? 32 : 1;
#endif
  tg::parallel(*pool, kTasks, [&](int64_t task) {
    const uint64_t number = static_cast<uint64_t>(task);
    Worst* mine = &worst[task];
    *mine = Worst{};
    if constexpr (sizeof(T) == 4 && !kPair) {
      patterns<F>(number, step, mine);
    } else {
      for (uint64_t b = 0; b < blocks; ++b) samples<T, F, kPair>(number * blocks + b + 1, mine);
    }
  });
  Worst total;
  for (const Worst& w : worst) total.join(w);
  report<T, F>(total);
}

// Every special value in every lane and at every place of a tail, the other lanes holding something
// else; nothing outside the tail may change, and the bits may not depend on the place.
template <class T, class F>
void special_values() {
  constexpr int kLanes = V<T>::kLanes, kRoom = 2 * kLanes;
  const T inf = static_cast<T>(__builtin_inf()), nan = static_cast<T>(__builtin_nan(""));
  const T denormal = from_bits<T>(1), normal = sizeof(T) == 4 ? T(0x1p-126) : T(0x1p-1022);
  const T largest = from_bits<T>(to_bits(inf) - 1);
  const T low_denormal = from_bits<T>(to_bits(normal) - 1);
  const T values[] = {0,        denormal, low_denormal, normal,  T(1e-30), T(0.5),  1,   T(1.5),
                      2,        3,        T(2.5),       10,      88,       89,      103, T(709.5),
                      T(710.2), 746,      T(1e5),       T(1e10), T(1e30),  largest, inf, nan};
  constexpr int kValues = sizeof values / sizeof *values;
  bool ok = true;
  for (int v = 0; v < 2 * kValues; ++v) {
    for (int s = 0; s < (strcmp(F::kName, "pow") == 0 ? 2 * kValues : 1); ++s) {
      const T x = v < kValues ? values[v] : -values[v - kValues];
      const T y = s < kValues ? values[s] : -values[s - kValues];
      const double bound = bound_of<T>(F::kFloat, F::kDouble);
      T first = 0;
      for (int n = 1; n <= kRoom; ++n) {
        const int place = (v + n * 7) % n;
        T in[kRoom], second[kRoom], out[kRoom + 1];
        for (int i = 0; i < kRoom; ++i) in[i] = values[(i + v) % kValues], second[i] = T(0.75);
        for (T& o : out) o = 42;
        in[place] = x, second[place] = y;
        Kernel<T, F>::run(in, second, out, n);
        if (n == 1) first = out[0];
        const bool same = memcmp(&out[place], &first, sizeof first) == 0 ||
                          (first != first && out[place] != out[place]);
        bool untouched = true;
        for (int i = n; i <= kRoom; ++i) untouched &= out[i] == 42;
        const double e = ulps<T>(out[place], F::template reference<WideOf<T>>(x, y));
        if (ok && !(same && untouched && e <= bound))
          printf("%s(%.9g, %.9g) = %.9g, %g ULP, in place %d of %d%s%s\n", F::kName, (double)x,
                 (double)y, (double)out[place], e, place, n, same ? "" : "; bits differ by place",
                 untouched ? "" : "; wrote past the end");
        ok &= same && untouched && e <= bound;
      }
    }
  }
  check(ok);
}

// What the mathematics fixes exactly, without a reference between.
template <class T, class F>
void exactly(double x, double want) {
  constexpr int kLanes = V<T>::kLanes;
  T in[kLanes], out[kLanes];
  const T expected = static_cast<T>(want);
  bool ok = true;
  for (T& i : in) i = static_cast<T>(x);
  Kernel<T, F>::run(in, in, out, kLanes);
  for (const T o : out)
    ok &= (o != o && want != want) || memcmp(&o, &expected, sizeof expected) == 0;
  if (!ok) printf("%s(%g) = %.9g, not %.9g\n", F::kName, x, (double)out[0], want);
  check(ok);
}
template <class T>
void identities() {
  const double inf = __builtin_inf(), nan = __builtin_nan("");
  exactly<T, exp_case>(0, 1), exactly<T, exp_case>(-0.0, 1), exactly<T, exp_case>(-inf, 0);
  exactly<T, exp_case>(inf, inf), exactly<T, exp_case>(nan, nan), exactly<T, exp_case>(-1e30, 0);
  exactly<T, expm1_case>(-inf, -1), exactly<T, expm1_case>(-0.0, -0.0);
  exactly<T, log_case>(0, -inf), exactly<T, log_case>(-0.0, -inf), exactly<T, log_case>(-1, nan);
  exactly<T, log_case>(1, 0), exactly<T, log_case>(inf, inf), exactly<T, log_case>(-inf, nan);
  exactly<T, log1p_case>(-1, -inf), exactly<T, log1p_case>(-0.0, -0.0);
  exactly<T, log1p_case>(-1.5, nan), exactly<T, log1p_case>(inf, inf);
  exactly<T, tanh_case>(1e-30, 1e-30), exactly<T, tanh_case>(-0.0, -0.0);
  exactly<T, tanh_case>(inf, 1), exactly<T, tanh_case>(-inf, -1);
  exactly<T, erf_case>(inf, 1), exactly<T, erf_case>(-inf, -1), exactly<T, erf_case>(-0.0, -0.0);
  exactly<T, sigmoid_case>(0, 0.5), exactly<T, sigmoid_case>(-inf, 0);
  exactly<T, sigmoid_case>(inf, 1);
  exactly<T, softplus_case>(-inf, 0), exactly<T, softplus_case>(1000, 1000);
  exactly<T, sin_case>(inf, nan), exactly<T, cos_case>(-inf, nan), exactly<T, sin_case>(-0.0, -0.0);
  exactly<T, sign_case>(-0.0, 0), exactly<T, sign_case>(nan, nan), exactly<T, sign_case>(-7, -1);
  exactly<T, rsqrt_case>(0, inf), exactly<T, rsqrt_case>(4, 0.5), exactly<T, rsqrt_case>(-1, nan);
  exactly<T, floor_case>(-0.5, -1), exactly<T, floor_case>(-0.0, -0.0);
  exactly<T, round_even_case>(2.5, 2), exactly<T, round_even_case>(-0.5, -0.0);
}

bool wanted(const char* name, int argc, char** argv) {
  int names = 0;
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], name) == 0) return true;
    names += argv[i][0] != '-';
  }
  return names == 0;
}
template <class F, bool kPair>
void test(uint64_t step, int argc, char** argv) {
  if (!wanted(F::kName, argc, argv)) return;
  accuracy<float, F, kPair>(step);
  accuracy<double, F, kPair>(step);
  special_values<float, F>();
  special_values<double, F>();
}

}  // namespace

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  tg::ThreadPool threads(tg::default_threads());
  pool = &threads;
  uint64_t step = 211;
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--all") == 0) step = 1;
    if (strcmp(argv[i], "--thin") == 0) step = 14293;
  }
#define TG_TEST(name, ...) test<name##_case, false>(step, argc, argv);
  TG_FUNCTIONS(TG_TEST)
  test<pow_case, true>(step, argc, argv);
  identities<float>();
  identities<double>();
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
