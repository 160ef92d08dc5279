// Optimizer updates, gradient norms, scaling, clipping and accumulation for one instruction set:
// ranges of dense memory, one thread. Includes only the vector vocabulary, the schema and the
// table.
#pragma once

#include "../optimizers_table.h"
#include "vec.h"

namespace TG_ISA {
namespace {

// One struct per rule: the numbers broadcast, and the schema's body as a call.
namespace rule {
#define TG_LIST(...) __VA_ARGS__
#define TG_OPTIMIZER(name, states, numbers, body, source)                            \
  template <class T>                                                                 \
  struct name {                                                                      \
    static constexpr int kStates = states;                                           \
    V<T> TG_LIST numbers;                                                            \
    TG_INLINE void operator()(V<T>& p, V<T> g, [[maybe_unused]] V<T>& s0,            \
                              [[maybe_unused]] V<T>& s1, [[maybe_unused]] V<T>& s2,  \
                              [[maybe_unused]] V<T>& s3, [[maybe_unused]] V<T>& s4,  \
                              [[maybe_unused]] V<T>& s5, [[maybe_unused]] V<T>& s6,  \
                              [[maybe_unused]] V<T>& s7, [[maybe_unused]] V<T>& s8,  \
                              [[maybe_unused]] V<T>& s9, [[maybe_unused]] V<T>& s10, \
                              [[maybe_unused]] V<T>& s11) const body                 \
  };
#include "../../schema/optimizers.h"
#undef TG_LIST
}  // namespace rule

// The body over n elements; the tail by the same code on a partial register.
template <class Rule, class T>
void update(const double* numbers, void* parameter, const void* gradient, void* const* state,
            int64_t n) {
  constexpr int kStates = Rule::kStates, kLanes = V<T>::kLanes;
  constexpr int kMaxStates = tg::kMaxOptimizerStates;
  constexpr int kNumbers = sizeof(Rule) / sizeof(V<T>);
  V<T> list[kNumbers];
  for (int i = 0; i < kNumbers; ++i) list[i] = V<T>(numbers[i]);
  Rule rule;
  static_assert(sizeof list == sizeof rule, "a rule holds its numbers and nothing else");
  __builtin_memcpy(&rule, list, sizeof rule);

  T* __restrict p = static_cast<T*>(parameter);
  const T* __restrict g = static_cast<const T*>(gradient);
  T* __restrict s[kMaxStates] = {};
  for (int k = 0; k < kStates; ++k) s[k] = static_cast<T*>(state[k]);

  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    V<T> x = load(p + i), v[kMaxStates] = {};
    for (int k = 0; k < kStates; ++k) v[k] = load(s[k] + i);
    rule(x, load(g + i), v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11]);
    store(p + i, x);
    for (int k = 0; k < kStates; ++k) store(s[k] + i, v[k]);
  }
  if (const int64_t rest = n - i) {
    V<T> x = load(p + i, rest), v[kMaxStates] = {};
    for (int k = 0; k < kStates; ++k) v[k] = load(s[k] + i, rest);
    rule(x, load(g + i, rest), v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10],
         v[11]);
    store(p + i, x, rest);
    for (int k = 0; k < kStates; ++k) store(s[k] + i, v[k], rest);
  }
}

// V<double>::kLanes elements as doubles.
TG_INLINE V<double> load_double(const double* x) { return load(x); }
TG_INLINE V<double> load_double(const float* x) {
#if defined(__AVX512F__)
  return _mm512_maskz_cvtps_pd(0xff, _mm256_loadu_ps(x));
#elif defined(__AVX2__)
  return _mm256_cvtps_pd(_mm_loadu_ps(x));
#else
  typename V<double>::Vec v;
  for (int k = 0; k < V<double>::kLanes; ++k) v[k] = static_cast<double>(x[k]);
  return v;
#endif
}

// Element i is added to sum i mod 16, then the sums pairwise: an order that no lane width changes.
// No fma, whose single rounding only some instruction sets have.
template <class T>
double sum_squares(const void* data, int64_t n) {
  constexpr int kSums = 16, kLanes = V<double>::kLanes, kVectors = kSums / kLanes;
  const T* x = static_cast<const T*>(data);
  V<double> sum[kVectors];
  for (int k = 0; k < kVectors; ++k) sum[k] = V<double>(0);
  int64_t i = 0;
  for (; i + kSums <= n; i += kSums)
    for (int k = 0; k < kVectors; ++k) {
      const V<double> v = load_double(x + i + k * kLanes);
      sum[k] = sum[k] + v * v;
    }
  double lanes[kSums];
  for (int k = 0; k < kVectors; ++k) store(lanes + k * kLanes, sum[k]);
  for (int k = 0; i < n; ++i, ++k) {
    const double v = static_cast<double>(x[i]);
    lanes[k] += v * v;
  }
  for (int half = kSums / 2; half > 0; half /= 2)
    for (int k = 0; k < half; ++k) lanes[k] += lanes[k + half];
  return lanes[0];
}

// x = f(x) for every element.
template <class T, class F>
TG_INLINE void transform(T* x, int64_t n, F f) {
  constexpr int kLanes = V<T>::kLanes;
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
    for (int k = 0; k < 4; ++k) store(x + i + k * kLanes, f(load(x + i + k * kLanes)));
  for (; i + kLanes <= n; i += kLanes) store(x + i, f(load(x + i)));
  if (const int64_t rest = n - i) store(x + i, f(load(x + i, rest)), rest);
}

template <class T>
void scale(void* x, int64_t n, double factor) {
  const V<T> f(factor);
  transform(static_cast<T*>(x), n, [&](V<T> v) { return v * f; });
}

template <class T>
void clip(void* x, int64_t n, double limit) {
  const V<T> high(limit), low(-limit);
  transform(static_cast<T*>(x), n,
            [&](V<T> v) { return select(v > high, high, select(v < low, low, v)); });
}

template <class T>
void accumulate(void* out, const void* in, int64_t n) {
  constexpr int kLanes = V<T>::kLanes;
  T* y = static_cast<T*>(out);
  const T* x = static_cast<const T*>(in);
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
    for (int k = 0; k < 4; ++k) {
      const int64_t j = i + k * kLanes;
      store(y + j, load(y + j) + load(x + j));
    }
  for (; i + kLanes <= n; i += kLanes) store(y + i, load(y + i) + load(x + i));
  if (const int64_t rest = n - i) store(y + i, load(y + i, rest) + load(x + i, rest), rest);
}

constexpr tg::cpu::OptimizersTable kOptimizersTable = {
    {
#define TG_OPTIMIZER(name, states, numbers, body, source) \
  {update<rule::name<float>, float>, update<rule::name<double>, double>},
#include "../../schema/optimizers.h"
    },
    {sum_squares<float>, sum_squares<double>},
    {scale<float>, scale<double>},
    {clip<float>, clip<double>},
    {accumulate<float>, accumulate<double>},
};

}  // namespace
}  // namespace TG_ISA
