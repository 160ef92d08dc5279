// Softmax, log-softmax, cross-entropy and their derivatives on contiguous rows. Includes only the
// vector vocabulary, the maths, the row folds and the table it fills.
#pragma once

#include "../softmax_table.h"
#include "math.h"
#include "reduce.h"
#include "softmax_columns.h"
#include "vec.h"

namespace TG_ISA {
namespace {

TG_INLINE double first_lane(V<double> a) { return a.v[0]; }
template <class T>
TG_INLINE V<T> all_lanes(T a) {
  return typename V<T>::Vec{} + a;
}

// y[i] = f(i, count) for all i < n, a vector at a time.
template <class T, class F>
TG_INLINE void fill_row(T* y, int64_t n, F f) {
  constexpr int64_t kLanes = V<T>::kLanes;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, f(i, kLanes));
  if (i < n) store(y + i, f(i, n - i), n - i);
}

// Σ f(i, count) in blocks of kRowBlock, which are combined in double.
template <class T, class F>
TG_INLINE double sum_row(int64_t n, F f) {
  double total = 0;
  for (int64_t at = 0; at < n; at += tg::kRowBlock)
    total += static_cast<double>(
        fold_row<SumFold, T>(n - at < tg::kRowBlock ? n - at : tg::kRowBlock,
                             [=](int64_t i, int64_t count) { return f(at + i, count); }));
  return total;
}

// The largest of x; NaN is passed over, for it comes back in the sum that follows.
template <class T>
TG_INLINE T largest(const T* x, int64_t n) {
  return fold_row<PlainMaxFold, T>(
      n, [=](int64_t i, int64_t count) { return load_some(x + i, count); });
}

// y = exp(x - max x); the sum of y.
template <class T>
TG_INLINE double exps_of_row(const T* x, T* y, int64_t n) {
  const V<T> m = all_lanes(largest(x, n));
  return sum_row<T>(n, [=](int64_t i, int64_t count) {
    const V<T> e = exp(load_some(x + i, count) - m);
    store_some(y + i, e, count);
    return e;
  });
}

// The same for a row that fits into one register, which then need not go through memory between the
// passes: few classes are common. Lanes past n are 0, so the sum has the bits of the general one.
template <class T>
struct ShortExps {
  T max;
  V<T> e;
  double sum;
  TG_INLINE ShortExps(const T* x, int64_t n) {
    const Mask<T> valid = first_lanes<T>(n);
    const V<T> v = load_some(x, n);
    max = join_lanes<PlainMaxFold, T>(select(valid, v, all_lanes(lowest<T>())));
    e = select(valid, exp(v - all_lanes(max)), V<T>(0));
    sum = static_cast<double>(join_lanes<SumFold, T>(e));
  }
};

// Σ exp(x) = sum · exp(max), gathered block by block, so that x comes from memory once.
template <class T>
struct LogSum {
  T max = lowest<T>();
  double sum = 0;

  // Adds a block of x. Returns by how much max grew, 0 for the first block that has a number.
  TG_INLINE double add(const T* x, int64_t n) {
    const T before = max, block = largest(x, n);
    double growth = 0;
    if (block > before) {
      max = block;
      if (before != lowest<T>()) {
        growth = static_cast<double>(block) - static_cast<double>(before);
        sum *= first_lane(exp(V<double>(-growth)));
      }
    }
    const V<T> m = all_lanes(shift());
    sum += static_cast<double>(fold_row<SumFold, T>(
        n, [=](int64_t i, int64_t count) { return exp(load_some(x + i, count) - m); }));
    return growth;
  }
  // What is subtracted from x: -Infinity - -Infinity would be NaN where exp(-Infinity) = 0 is
  // meant.
  TG_INLINE T shift() const { return max == lowest<T>() ? T(0) : max; }
  TG_INLINE double log_sum() const { return first_lane(log(V<double>(sum))); }
};

template <class T>
TG_INLINE LogSum<T> log_sum_of_row(const T* x, int64_t n) {
  LogSum<T> s;
  if (n <= V<T>::kLanes) {
    const ShortExps<T> row(x, n);
    s.max = row.max;
    s.sum = row.sum;
    return s;
  }
  for (int64_t at = 0; at < n; at += tg::kRowBlock)
    s.add(x + at, n - at < tg::kRowBlock ? n - at : tg::kRowBlock);
  return s;
}

template <class T>
void softmax_row(const T* x, T* y, int64_t n) {
  if (n <= V<T>::kLanes) {
    const ShortExps<T> row(x, n);
    return store_some(y, row.e * all_lanes(static_cast<T>(1 / row.sum)), n);
  }
  const V<T> scale = all_lanes(static_cast<T>(1 / exps_of_row(x, y, n)));
  fill_row(y, n, [=](int64_t i, int64_t count) { return load_some(y + i, count) * scale; });
}

template <class T>
void log_softmax_row(const T* x, T* y, int64_t n) {
  const LogSum<T> s = log_sum_of_row(x, n);
  const V<T> m = all_lanes(s.max), l = all_lanes(static_cast<T>(s.log_sum()));
  fill_row(y, n, [=](int64_t i, int64_t count) { return (load_some(x + i, count) - m) - l; });
}

template <class T>
void softmax_dx_row(const T* g, const T* y, T* dx, int64_t n) {
  const double dot = sum_row<T>(n, [=](int64_t i, int64_t count) {
    return load_some(g + i, count) * load_some(y + i, count);
  });
  const V<T> d = all_lanes(static_cast<T>(dot));
  fill_row(dx, n, [=](int64_t i, int64_t count) {
    return load_some(y + i, count) * (load_some(g + i, count) - d);
  });
}

template <class T>
void log_softmax_dx_row(const T* g, const T* y, T* dx, int64_t n) {
  const V<T> sum = all_lanes(static_cast<T>(
      sum_row<T>(n, [=](int64_t i, int64_t count) { return load_some(g + i, count); })));
  fill_row(dx, n, [=](int64_t i, int64_t count) {
    return load_some(g + i, count) - exp(load_some(y + i, count)) * sum;
  });
}

template <class T>
T cross_entropy_row(const T* x, int64_t target, int64_t n) {
  const LogSum<T> s = log_sum_of_row(x, n);
  return static_cast<T>(s.log_sum() +
                        (static_cast<double>(s.max) - static_cast<double>(x[target])));
}

template <class T>
T cross_entropy_soft_row(const T* x, const T* t, int64_t n) {
  LogSum<T> s;
  double weight = 0, total = 0;  // Σ t and Σ t (max - x)
  for (int64_t at = 0; at < n; at += tg::kRowBlock) {
    const int64_t count = n - at < tg::kRowBlock ? n - at : tg::kRowBlock;
    const T *xb = x + at, *tb = t + at;
    total += weight * s.add(xb, count);
    weight += static_cast<double>(fold_row<SumFold, T>(
        count, [=](int64_t i, int64_t some) { return load_some(tb + i, some); }));
    const V<T> m = all_lanes(s.shift());
    total += static_cast<double>(fold_row<SumFold, T>(count, [=](int64_t i, int64_t some) {
      const V<T> w = load_some(tb + i, some);
      return select(w == V<T>(0), w, w * (m - load_some(xb + i, some)));
    }));
  }
  // All of -Infinity: no distribution.
  if (s.max == lowest<T>()) return static_cast<T>(__builtin_nan(""));
  return static_cast<T>(weight * s.log_sum() + total);
}

template <class T>
void cross_entropy_dx_row(const T* x, int64_t target, T g, T* dx, int64_t n) {
  if (n <= V<T>::kLanes) {
    const ShortExps<T> row(x, n);
    const Mask<T> hit = first_lanes<T>(target + 1) & !first_lanes<T>(target);
    const V<T> p = row.e * all_lanes(static_cast<T>(static_cast<double>(g) / row.sum));
    return store_some(dx, select(hit, p - all_lanes(g), p), n);
  }
  const V<T> scale = all_lanes(static_cast<T>(static_cast<double>(g) / exps_of_row(x, dx, n)));
  fill_row(dx, n, [=](int64_t i, int64_t count) { return load_some(dx + i, count) * scale; });
  dx[target] -= g;
}

template <class T>
void cross_entropy_soft_dx_row(const T* x, const T* t, T g, T* dx, int64_t n) {
  const double weight =
      sum_row<T>(n, [=](int64_t i, int64_t count) { return load_some(t + i, count); });
  const V<T> scale =
      all_lanes(static_cast<T>(static_cast<double>(g) * weight / exps_of_row(x, dx, n)));
  const V<T> factor = all_lanes(g);
  fill_row(dx, n, [=](int64_t i, int64_t count) {
    return load_some(dx + i, count) * scale - load_some(t + i, count) * factor;
  });
}

template <class T>
constexpr tg::SoftmaxKernels<T> softmax_kernels() {
  return {softmax_row<T>,          log_softmax_row<T>,
          softmax_dx_row<T>,       log_softmax_dx_row<T>,
          cross_entropy_row<T>,    cross_entropy_soft_row<T>,
          cross_entropy_dx_row<T>, cross_entropy_soft_dx_row<T>,
          columns_max<T>,          columns_exps<T>,
          columns_exp_sums<T>,     columns_sums<T>,
          columns_dots<T>,         columns_scale<T>,
          columns_log<T>,          columns_dx<T>,
          columns_log_dx<T>};
}

constexpr tg::SoftmaxTable kSoftmaxTable = {softmax_kernels<float>(), softmax_kernels<double>()};

}  // namespace
}  // namespace TG_ISA
