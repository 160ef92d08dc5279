// Pooling kernels: windows side by side in a register, one element of each at a time. Includes only
// the vector vocabulary and the table they fill.
#pragma once

#include "../pool_table.h"
#include "steps.h"

namespace TG_ISA {
namespace {

using tg::PoolPlane;

TG_INLINE int64_t pool_first(const PoolPlane& s, int axis, int64_t at) {
  const int64_t first = at * s.stride[axis] - s.padding[axis];
  return first < 0 ? 0 : first;
}
TG_INLINE int64_t pool_end(const PoolPlane& s, int axis, int64_t at) {
  const int64_t end = at * s.stride[axis] - s.padding[axis] + s.kernel[axis];
  const int64_t size = axis ? s.w : s.h;
  return end < size ? end : size;
}

// f(value, row, column): the elements of the windows (oy, ox … ox + n - 1), row by row; `column` is
// the first window's. Lanes whose window has no such column hold `outside`.
template <int kStep, class T, class F>
TG_INLINE void pool_windows(const PoolPlane& s, const T* x, int64_t oy, int64_t ox, int64_t n,
                            T outside, F f) {
  constexpr int kLanes = V<T>::kLanes;
  const int64_t step = kStep ? kStep : s.stride[1];
  const int64_t from = ox * step - s.padding[1], last = (n - 1) * step;
  // Columns that no window has inside the plane are left out: kernels may be far wider.
  int64_t k0 = -from - last, k1 = s.w - from;
  k0 = k0 < 0 ? 0 : k0;
  k1 = k1 < s.kernel[1] ? k1 : s.kernel[1];
  for (int64_t r = pool_first(s, 0, oy); r < pool_end(s, 0, oy); ++r)
    for (int64_t column = from + k0; column < from + k1; ++column) {
      const T* p = x + r * s.w + column;
      if (column >= 0 && column + last < s.w) {
        f(load_steps<kStep, T>(p, step, n), r, column);
        continue;
      }
      T lanes[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        const int64_t at = column + i * step;
        lanes[i] = i < n && at >= 0 && at < s.w ? p[i * step] : outside;
      }
      f(load<T>(lanes), r, column);
    }
}

// f(ox, n) for the registers of a row of windows. Where the last would be a part, it overlaps the
// one before unless that costs more than it saves.
template <class T, class F>
TG_INLINE void pool_row(const PoolPlane& s, F f) {
  constexpr int kLanes = V<T>::kLanes;
  int64_t ox = 0;
  for (; ox + kLanes <= s.ow; ox += kLanes) f(ox, int64_t{kLanes});
  if (ox == s.ow) return;
#if !defined(__AVX512F__)
  if (s.ow > kLanes) return f(s.ow - kLanes, int64_t{kLanes});
#endif
  f(ox, s.ow - ox);
}

template <class T>
TG_INLINE void pool_store(T* p, V<T> v, int64_t n) {
  if (n == V<T>::kLanes)
    store<T>(p, v);
  else
    store<T>(p, v, n);
}

template <int kStep, class T>
void pool_max(const PoolPlane& s, const T* x, T* y) {
  const T lowest = -static_cast<T>(__builtin_inf());
  for (int64_t oy = 0; oy < s.oh; ++oy, y += s.ow)
    pool_row<T>(s, [&](int64_t ox, int64_t n) TG_INLINE_LAMBDA {
      V<T> top(static_cast<double>(lowest));
      pool_windows<kStep, T>(s, x, oy, ox, n, lowest,
                             [&](V<T> v, int64_t, int64_t)
                                 TG_INLINE_LAMBDA { top = maximum<T>(top, v); });
      pool_store<T>(y + ox, top, n);
    });
}

template <int kStep, class T>
void pool_average(const PoolPlane& s, const T* x, T* y) {
  const V<T> count(static_cast<double>(static_cast<T>(s.kernel[0] * s.kernel[1])));
  for (int64_t oy = 0; oy < s.oh; ++oy, y += s.ow)
    pool_row<T>(s, [&](int64_t ox, int64_t n) TG_INLINE_LAMBDA {
      V<T> sum(0);
      pool_windows<kStep, T>(s, x, oy, ox, n, T(0),
                             [&](V<T> v, int64_t, int64_t) TG_INLINE_LAMBDA { sum = sum + v; });
      pool_store<T>(y + ox, sum / count, n);
    });
}

template <int kStep, class T>
void pool_maxima(const PoolPlane& s, const T* x, typename tg::PoolIndex<T>::type* positions) {
  using I = typename tg::PoolIndex<T>::type;
  constexpr int kLanes = V<T>::kLanes;
  const T lowest = -static_cast<T>(__builtin_inf());
  const int64_t step = kStep ? kStep : s.stride[1];
  const auto lanes = [](int64_t i) TG_INLINE_LAMBDA {
    return V<I>(static_cast<I>(i) - typename V<I>::Vec{});
  };
  I steps[kLanes];
  for (int i = 0; i < kLanes; ++i) steps[i] = static_cast<I>(i * step);
  const V<I> apart = load<I>(steps);
  for (int64_t oy = 0; oy < s.oh; ++oy, positions += s.ow)
    pool_row<T>(s, [&](int64_t ox, int64_t n) TG_INLINE_LAMBDA {
      // Where all is -∞, the first element is the maximum.
      const V<I> begin = apart + lanes(ox * step - s.padding[1]);
      V<I> best = select(begin < lanes(0), lanes(0), begin) + lanes(pool_first(s, 0, oy) * s.w);
      V<T> top(static_cast<double>(lowest));
      pool_windows<kStep, T>(
          s, x, oy, ox, n, lowest, [&](V<T> v, int64_t r, int64_t column) TG_INLINE_LAMBDA {
            const Mask<T> better = (v > top) | ((v != v) & (top == top));
            top = select(better, v, top);
            best = select(Mask<I>{better.m}, apart + lanes(r * s.w + column), best);
          });
      pool_store<I>(positions + ox, best, n);
    });
}

template <class T>
void pool_max_any(const PoolPlane& s, const T* x, T* y) {
  if (s.stride[1] == 1) return pool_max<1, T>(s, x, y);
  if (s.stride[1] == 2) return pool_max<2, T>(s, x, y);
  pool_max<0, T>(s, x, y);
}
template <class T>
void pool_average_any(const PoolPlane& s, const T* x, T* y) {
  if (s.stride[1] == 1) return pool_average<1, T>(s, x, y);
  if (s.stride[1] == 2) return pool_average<2, T>(s, x, y);
  pool_average<0, T>(s, x, y);
}
template <class T>
void pool_maxima_any(const PoolPlane& s, const T* x, typename tg::PoolIndex<T>::type* at) {
  if (s.stride[1] == 1) return pool_maxima<1, T>(s, x, at);
  if (s.stride[1] == 2) return pool_maxima<2, T>(s, x, at);
  pool_maxima<0, T>(s, x, at);
}

template <class T>
constexpr tg::PoolKernels<T> kPoolKernels = {pool_max_any<T>, pool_average_any<T>,
                                             pool_maxima_any<T>};
constexpr tg::PoolTable kPoolTable = {kPoolKernels<float>, kPoolKernels<double>};

}  // namespace
}  // namespace TG_ISA
