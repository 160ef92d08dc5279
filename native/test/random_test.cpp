// Tests of the random tensors: Philox against its published answers, independence of threads and
// size, bounds, moments, a long-double reference, and checksums that every machine must reproduce.
// Links copy.cpp, random.cpp, core/shape.cpp, core/op.cpp and core/thread_pool.cpp.
#include "../cpu/random.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <vector>

#include "../core/philox.h"
#include "../core/thread_pool.h"

namespace {

using namespace tg;

int passed = 0, failed = 0;
void check(bool ok, const char* what, long long detail = 0) {
  ok ? ++passed : ++failed;
  if (!ok) printf("FAILED: %s (%lld)\n", what, detail);
}

ThreadPool pools[3] = {ThreadPool(1), ThreadPool(2), ThreadPool(5)};
Error error;
void* no_scratch(void*, size_t) { return nullptr; }

using Runner = Status (*)(ExecContext*, const OpCall&);

// n elements of T, with guard elements on both sides that must stay.
template <class T>
std::vector<T> draw(Runner run, DType dtype, int64_t n, double a, double b, uint64_t seed,
                    uint64_t stream, int pool = 0) {
  std::vector<T> out(static_cast<size_t>(n) + 16, T{77});
  ExecContext ctx{&pools[pool], &error, no_scratch, nullptr, {}};
  OpCall call{};
  call.out.data = out.data() + 8;
  call.out.dtype = dtype;
  call.out.shape.push(n);
  call.out.strides[0] = 1;
  call.attrs.p[0] = a, call.attrs.p[1] = b, call.attrs.seed = seed, call.attrs.stream = stream;
  check(run(&ctx, call) == Status::ok, error.message());
  bool intact = true;
  for (size_t i = 0; i < 8; ++i)
    intact = intact && out[i] == T{77} && out[out.size() - 1 - i] == T{77};
  check(intact, "guards", n);
  return std::vector<T>(out.begin() + 8, out.end() - 8);
}

void known_answers() {
  struct {
    uint32_t counter[4], key[2], want[4];
  } cases[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const auto& c : cases) {
    uint32_t out[4];
    philox(c.counter, c.key, out);
    check(memcmp(out, c.want, sizeof out) == 0, "Philox4x32-10 known answer");
  }
}

// The words of block i for a seed and stream: the documented layout.
void block(uint64_t i, uint64_t seed, uint64_t stream, uint32_t out[4]) {
  const uint32_t counter[4] = {uint32_t(i), uint32_t(i >> 32), uint32_t(stream),
                               uint32_t(stream >> 32)};
  const uint32_t key[2] = {uint32_t(seed), uint32_t(seed >> 32)};
  philox(counter, key, out);
}

void layout() {
  const uint64_t seed = 0x123456789abcdefu, stream = 0xfedcba987654321u;
  const auto f = draw<float>(cpu::run_uniform, DType::float32, 999, 0, 1, seed, stream);
  const auto d = draw<double>(cpu::run_uniform, DType::float64, 999, 0, 1, seed, stream);
  const auto nf = draw<float>(cpu::run_normal, DType::float32, 998, 0, 1, seed, stream);
  const auto nd = draw<double>(cpu::run_normal, DType::float64, 998, 0, 1, seed, stream);
  bool ok = true;
  double worst = 0, worst32 = 0;
  for (size_t i = 0; i < 998; ++i) {
    uint32_t w[4];
    block(i / 4, seed, stream, w);
    ok = ok && f[i] == static_cast<float>(w[i % 4] >> 8) * 0x1p-24f;
    const long double u = (w[i % 4 / 2 * 2] + 0.5L) * 0x1p-32L,
                      t = w[i % 4 / 2 * 2 + 1] * 0x1p-32L * 2 * M_PIl;
    const long double z = sqrtl(-2 * logl(u)) * (i % 2 ? sinl(t) : cosl(t));
    worst32 = fmax(worst32, static_cast<double>(fabsl(nf[i] - z)));
    block(i / 2, seed, stream, w);
    const uint64_t bits = w[i % 2 * 2] | uint64_t{w[i % 2 * 2 + 1]} << 32;
    ok = ok && d[i] == static_cast<double>(bits >> 11) * 0x1p-53;
    const long double u64 = ((w[0] | uint64_t{w[1]} << 32) >> 12) + 0.5L,
                      t64 = ((w[2] | uint64_t{w[3]} << 32) >> 12) * 2 * M_PIl;
    const long double z64 =
        sqrtl(-2 * logl(u64 * 0x1p-52L)) * (i % 2 ? sinl(t64 * 0x1p-52L) : cosl(t64 * 0x1p-52L));
    worst = fmax(worst, static_cast<double>(fabsl(nd[i] - z64)));
  }
  check(ok, "uniform is the documented function of Philox's words");
  printf("normal: largest error %.3g (float64), %.3g (float32)\n", worst, worst32);
  check(worst < 2e-15, "normal float64 against long double");
  check(worst32 < 2.5e-7, "normal float32 against long double");
}

template <class T>
void independence(Runner run, DType dtype, double a, double b, const char* what) {
  const int64_t n = 300007;
  const auto all = draw<T>(run, dtype, n, a, b, 7, 3, 0);
  for (int p = 1; p < 3; ++p) check(draw<T>(run, dtype, n, a, b, 7, 3, p) == all, what, p);
  for (int64_t m : {0, 1, 2, 3, 5, 31, 32, 33, 63, 64, 127, 128, 129, 1000, 65537}) {
    const auto some = draw<T>(run, dtype, m, a, b, 7, 3, 1);
    check(std::equal(some.begin(), some.end(), all.begin()), what, m);
  }
  const auto other = draw<T>(run, dtype, 1000, a, b, 8, 3),
             stream = draw<T>(run, dtype, 1000, a, b, 7, 4);
  if (dtype == DType::boolean) return;
  int same = 0;
  for (size_t i = 0; i < 1000; ++i) same += other[i] == all[i], same += stream[i] == all[i];
  check(same < 400, "other seeds and streams give other numbers", same);
}

template <class T>
void moments(Runner run, DType dtype, double a, double b, double mean, double variance,
             double fourth, const char* what) {
  const int64_t n = 1 << 20;
  const auto x = draw<T>(run, dtype, n, a, b, 42, 0, 1);
  double m1 = 0, m2 = 0, m4 = 0, lag = 0;
  for (T v : x) m1 += double(v);
  m1 /= double(n);
  for (size_t i = 0; i < x.size(); ++i) {
    const double c = double(x[i]) - mean;
    m2 += c * c, m4 += c * c * c * c;
    if (i > 0) lag += c * (double(x[i - 1]) - mean);
  }
  m2 /= double(n), m4 /= double(n), lag /= double(n);
  const double root = sqrt(double(n));
  check(fabs(m1 - mean) < 5 * sqrt(variance) / root, what, 1);
  check(fabs(m2 - variance) < 5 * sqrt(fourth - variance * variance) / root, what, 2);
  check(fabs(lag) < 5 * variance / root, what, 3);
  check(fabs(m4 - fourth) < 0.03 * fourth, what, 4);
}

void bounds() {
  const float tight = nextafterf(1.0f, 2.0f);
  for (float v : draw<float>(cpu::run_uniform, DType::float32, 10000, 1, tight, 1, 1))
    if (v != 1.0f) return check(false, "uniform [1, next) is 1");
  struct {
    double low, high;
  } ranges[] = {
      {0, 1},           {-1, 1},         {1, 1.0000005}, {-1e30, 1e30}, {16777216, 16777220},
      {0.1, 0.1000001}, {-1e308, 1e308}, {5, 5}};
  for (const auto& r : ranges) {
    bool ok = true;
    for (double v : draw<double>(cpu::run_uniform, DType::float64, 100000, r.low, r.high, 5, 9))
      ok = ok && v >= r.low && (v < r.high || r.low == r.high);
    check(ok, "uniform float64 stays in [low, high)");
    if (fabs(r.low) > 1e38) continue;
    for (float v : draw<float>(cpu::run_uniform, DType::float32, 100000, r.low, r.high, 5, 9))
      ok = ok && v >= static_cast<float>(r.low) && (v < r.high || r.low == r.high);
    check(ok, "uniform float32 stays in [low, high)");
  }
  bool finite = true;
  for (float v : draw<float>(cpu::run_normal, DType::float32, 4000000, 0, 1, 11, 0, 1))
    finite = finite && fabsf(v) < 6.67f;
  check(finite, "normal float32 is finite and bounded");
  struct {
    double low, high;
  } whole[] = {{0, 1},
               {0, 10},
               {-3, 4},
               {-2147483648.0, 2147483648.0},
               {2147483640.0, 2147483647.0},
               {16777216, 16777219}};
  for (const auto& r : whole) {
    bool ok = true;
    for (int32_t v : draw<int32_t>(cpu::run_randint, DType::int32, 100000, r.low, r.high, 3, 0))
      ok = ok && v >= r.low && v < r.high;
    if (r.low < 1e9)  // float32 holds numbers of the range
      for (float v : draw<float>(cpu::run_randint, DType::float32, 100000, r.low, r.high, 3, 0))
        ok = ok && v >= r.low && v < r.high && v == truncf(v);
    check(ok, "randint stays in [low, high)");
  }
  int64_t count[10] = {};
  for (int32_t v : draw<int32_t>(cpu::run_randint, DType::int32, 1000000, -5, 5, 3, 0))
    ++count[v + 5];
  double chi2 = 0;
  for (int64_t c : count) chi2 += double(c - 100000) * double(c - 100000) / 100000;
  check(chi2 < 33.7, "randint is even (chi², p = 1e-4)", static_cast<long long>(chi2));
  const auto big = draw<double>(cpu::run_randint, DType::float64, 1000, -0x1p53, 0x1p53, 3, 0);
  bool ok = true;
  for (double v : big) ok = ok && v >= -0x1p53 && v < 0x1p53;
  check(ok, "randint over 2^54 numbers");
  int ones = 0;
  for (uint8_t v : draw<uint8_t>(cpu::run_randint, DType::boolean, 100000, 0, 2, 3, 0))
    ones += v, ok = ok && v < 2;
  check(ok && abs(ones - 50000) < 800, "randint bool", ones);
}

void refusals() {
  struct {
    Runner run;
    DType dtype;
    double a, b;
  } bad[] = {
      {cpu::run_uniform, DType::float32, 1, 0},
      {cpu::run_uniform, DType::float32, NAN, 1},
      {cpu::run_uniform, DType::float64, 0, INFINITY},
      {cpu::run_normal, DType::float32, NAN, 1},
      {cpu::run_normal, DType::float32, 0, -1},
      {cpu::run_normal, DType::float32, 0, INFINITY},
      {cpu::run_randint, DType::int32, 3, 3},
      {cpu::run_randint, DType::int32, 0.2, 0.9},
      {cpu::run_randint, DType::int32, 0, 2147483649.0},
      {cpu::run_randint, DType::float64, NAN, 3},
      {cpu::run_randint, DType::float64, 0, 1e16},
      {cpu::run_randint, DType::float64, -INFINITY, 3},
  };
  for (const auto& b : bad) {
    double memory[4] = {9, 9, 9, 9};
    ExecContext ctx{&pools[0], &error, no_scratch, nullptr, {}};
    OpCall call{};
    call.out.data = memory;
    call.out.dtype = b.dtype;
    call.out.shape.push(2);
    call.attrs.p[0] = b.a, call.attrs.p[1] = b.b;
    check(b.run(&ctx, call) == Status::range_error && memory[0] == 9, "bad parameters are refused");
  }
}

// FNV-1a over the bytes (little endian).
template <class T>
uint64_t hash(const std::vector<T>& x) {
  uint64_t h = 14695981039346656037u;
  const auto* p = reinterpret_cast<const unsigned char*>(x.data());
  for (size_t i = 0; i < x.size() * sizeof(T); ++i) h = (h ^ p[i]) * 1099511628211u;
  return h;
}
void same_everywhere() {
  const uint64_t got[6] = {
      hash(draw<float>(cpu::run_uniform, DType::float32, 10001, -2, 3, 123, 456)),
      hash(draw<double>(cpu::run_uniform, DType::float64, 10001, -2, 3, 123, 456)),
      hash(draw<float>(cpu::run_normal, DType::float32, 100001, 1, 2, 123, 456)),
      hash(draw<double>(cpu::run_normal, DType::float64, 100001, 1, 2, 123, 456)),
      hash(draw<int32_t>(cpu::run_randint, DType::int32, 10001, -50, 1000, 123, 456)),
      hash(draw<float>(cpu::run_randint, DType::float32, 10001, -50, 1000, 123, 456))};
  const uint64_t want[6] = {0xdf20533db9962b06u, 0xa164b7350ca75d69u, 0x8a2e9710313e61f5u,
                            0x3fb300c7c43dcfadu, 0xad7168e48644d19bu, 0x61a588330a926989u};
  for (int i = 0; i < 6; ++i) {
    check(got[i] == want[i], "the same bits on every machine", i);
    if (got[i] != want[i]) printf("  got 0x%016llxu\n", static_cast<unsigned long long>(got[i]));
  }
}

}  // namespace

int main() {
  known_answers();
  layout();
  independence<float>(cpu::run_uniform, DType::float32, 0, 1, "uniform float32: threads and size");
  independence<double>(cpu::run_uniform, DType::float64, 0, 1, "uniform float64: threads and size");
  independence<float>(cpu::run_normal, DType::float32, 0, 1, "normal float32: threads and size");
  independence<double>(cpu::run_normal, DType::float64, 0, 1, "normal float64: threads and size");
  independence<int32_t>(cpu::run_randint, DType::int32, 0, 9, "randint int32: threads and size");
  independence<uint8_t>(cpu::run_randint, DType::boolean, 0, 3, "randint bool: threads and size");
  moments<float>(cpu::run_uniform, DType::float32, 0, 1, 0.5, 1.0 / 12, 1.0 / 80,
                 "uniform float32 moments");
  moments<double>(cpu::run_uniform, DType::float64, 0, 1, 0.5, 1.0 / 12, 1.0 / 80,
                  "uniform float64 moments");
  moments<float>(cpu::run_normal, DType::float32, 2, 3, 2, 9, 243, "normal float32 moments");
  moments<double>(cpu::run_normal, DType::float64, 0, 1, 0, 1, 3, "normal float64 moments");
  bounds();
  refusals();
  same_everywhere();
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
