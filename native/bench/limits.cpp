#include "limits.h"

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tg::bench {
namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64, kAccumulators = 24;  // of 32 registers
#elif defined(__AVX2__)
constexpr int kBytes = 32, kAccumulators = 12;  // of 16
#else
constexpr int kBytes = 16, kAccumulators = 24;
#endif

template <class T>
struct VecOf {
  typedef T type __attribute__((vector_size(kBytes), may_alias));
};
template <class T>
using Vec = typename VecOf<T>::type;

// The accumulators are independent, so that the latency of an FMA is hidden, and start at different
// values: the compiler would compute equal ones once.
template <class T>
void fma_loop(int64_t iterations, T x, T y, T* sink) {
  Vec<T> sum[kAccumulators];
  for (int j = 0; j < kAccumulators; ++j) sum[j] = Vec<T>{} + static_cast<T>(j);
  const Vec<T> a = Vec<T>{} + x, b = Vec<T>{} + y;
  for (int64_t i = 0; i < iterations; ++i)
#pragma GCC unroll 24
    for (int j = 0; j < kAccumulators; ++j) sum[j] = sum[j] * a + b;
  Vec<T> total = {};
  for (const Vec<T>& s : sum) total += s;
  memcpy(sink, &total, sizeof total);
}

constexpr int kUnroll = 8;
using Floats = Vec<float>;

void copy(const Floats* from, Floats* to, int64_t vectors) {
  for (int64_t i = 0; i < vectors; i += kUnroll)
#pragma GCC unroll 8
    for (int j = 0; j < kUnroll; ++j) to[i + j] = from[i + j];
}

void copy_streaming(const Floats* from, Floats* to, int64_t vectors) {
#if defined(__AVX512F__)
  for (int64_t i = 0; i < vectors; ++i)
    _mm512_stream_ps(reinterpret_cast<float*>(to + i), reinterpret_cast<__m512>(from[i]));
  _mm_sfence();
#elif defined(__AVX2__)
  for (int64_t i = 0; i < vectors; ++i)
    _mm256_stream_ps(reinterpret_cast<float*>(to + i), reinterpret_cast<__m256>(from[i]));
  _mm_sfence();
#else
  copy(from, to, vectors);
#endif
}

void update(Floats* data, int64_t vectors, float factor) {
  for (int64_t i = 0; i < vectors; i += kUnroll)
#pragma GCC unroll 8
    for (int j = 0; j < kUnroll; ++j) data[i + j] *= factor;
}

float read(const Floats* from, int64_t vectors) {
  Floats sum[kUnroll] = {};
  for (int64_t i = 0; i < vectors; i += kUnroll)
#pragma GCC unroll 8
    for (int j = 0; j < kUnroll; ++j) sum[j] += from[i + j];
  Floats total = {};
  for (const Floats& s : sum) total += s;
  return total[0];
}

/** Floats for `vectors` per thread, all 1. Aligned to a huge page, so that the system may use some.
 */
Floats* ones(int64_t vectors) {
  constexpr size_t kPage = size_t{2} << 20;
  const size_t bytes = static_cast<size_t>(vectors) * kBytes;
  auto* data = static_cast<Floats*>(aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage));
  if (data == nullptr) abort();
  for (int64_t i = 0; i < vectors; ++i) data[i] = Floats{} + 1;
  return data;
}

}  // namespace

const char* limits_isa() { return kBytes == 64 ? "avx512" : kBytes == 32 ? "avx2" : "128 bits"; }

template <class T>
Timing fma_peak(ThreadPool& pool, double flops, double seconds) {
  // One unit is long enough (a tenth of a millisecond) for waking a thread not to count.
  constexpr int64_t kIterations = 1 << 13;
  const int threads = pool.size();
  const double unit = 2.0 * kAccumulators * (kBytes / sizeof(T)) * kIterations * threads;
  std::vector<T> sinks(static_cast<size_t>(threads) * 1024);
  volatile T x = static_cast<T>(0.999), y = static_cast<T>(1e-3);
  Timing t = measure(
      [&](int64_t n) {
        parallel(pool, threads,
                 [&](int64_t task) { fma_loop<T>(n * kIterations, x, y, &sinks[task * 1024]); });
      },
      seconds);
  const double scale = flops / unit;
  return {t.median_ns * scale, t.best_ns * scale, t.mean_ns * scale, t.cpu_ns * scale,
          std::max(int64_t{1}, static_cast<int64_t>(static_cast<double>(t.iterations) / scale))};
}

template Timing fma_peak<float>(ThreadPool&, double, double);
template Timing fma_peak<double>(ThreadPool&, double, double);

Timing bandwidth(ThreadPool& pool, const std::string& kind, int64_t bytes, double seconds) {
  const int64_t threads = pool.size();
  const int64_t half = kind == "read" ? bytes : bytes / 2;
  const int64_t step = threads * kUnroll * kBytes;
  const int64_t share = (half + step - 1) / step * kUnroll;  // vectors of each thread
  Floats* from = ones(share * threads);
  Floats* to = kind == "copy" ? ones(share * threads) : nullptr;
  volatile float sink, one = 1;
  auto repeat = [&](auto body) {
    return [&pool, threads, body](int64_t n) {
      for (int64_t i = 0; i < n; ++i) parallel(pool, threads, body);
    };
  };
  auto plain = repeat([=](int64_t t) { copy(from + t * share, to + t * share, share); });
  auto stream = repeat([=](int64_t t) { copy_streaming(from + t * share, to + t * share, share); });
  Timing timing;
  if (kind == "copy") {
    const bool streaming = trial(stream) < trial(plain);
    timing = streaming ? measure(stream, seconds) : measure(plain, seconds);
  } else if (kind == "update") {
    timing =
        measure(repeat([=, &one](int64_t t) { update(from + t * share, share, one); }), seconds);
  } else {
    timing =
        measure(repeat([=, &sink](int64_t t) { sink = read(from + t * share, share); }), seconds);
  }
  free(from);
  free(to);
  return timing;
}

}  // namespace tg::bench
