// Softmax and its relatives over columns: one register holds the same place of neighbouring rows of
// numbers. Includes only the vector vocabulary, the maths, the folds and the table it fills.
#pragma once

#include "../softmax_table.h"
#include "math.h"
#include "reduce.h"
#include "vec.h"

namespace TG_ISA {
namespace {

// y[r][c] = f(x, other, a, b) for all rows and columns; with kSum, sum[c] = Σ over rows of it.
template <bool kSum, bool kStore, class T, class F>
TG_INLINE void map_columns(const tg::SoftmaxColumns<T>& s, F f) {
  constexpr int64_t kLanes = V<T>::kLanes;
  for (int64_t c = 0; c < s.cols; c += kLanes) {
    const int64_t count = s.cols - c < kLanes ? s.cols - c : kLanes;
    const V<T> a = s.a ? load_some(s.a + c, count) : V<T>(0);
    const V<T> b = s.b ? load_some(s.b + c, count) : V<T>(0);
    const auto cell = [&](int64_t r) __attribute__((always_inline)) {
      const V<T> x = load_some(s.x + r * s.x_stride + c, count);
      const V<T> y = f(x, s.other ? load_some(s.other + r * s.other_stride + c, count) : x, a, b);
      if constexpr (kStore) store_some(s.y + r * s.y_stride + c, y, count);
      return y;
    };
    V<T> sum(0);
    int64_t r = 0;
    for (; r + 4 <= s.rows; r += 4) {
      const V<T> first = cell(r), second = cell(r + 1), third = cell(r + 2), fourth = cell(r + 3);
      if constexpr (kSum) sum = sum + ((first + second) + (third + fourth));
    }
    for (; r < s.rows; ++r) {
      const V<T> y = cell(r);
      if constexpr (kSum) sum = sum + y;
    }
    if constexpr (kSum) store_some(s.sum + c, sum, count);
  }
}

template <class T>
void columns_max(const tg::SoftmaxColumns<T>& s) {
  reduce_columns<MaxFold>(s.x, s.x_stride, s.rows, s.cols, static_cast<const T*>(nullptr), s.sum);
}
template <class T>
void columns_sums(const tg::SoftmaxColumns<T>& s) {
  reduce_columns<SumFold>(s.x, s.x_stride, s.rows, s.cols, static_cast<const T*>(nullptr), s.sum);
}
template <class T>
void columns_exps(const tg::SoftmaxColumns<T>& s) {
  map_columns<true, true>(s, [](V<T> x, V<T>, V<T> a, V<T>) { return exp(x - a); });
}
template <class T>
void columns_exp_sums(const tg::SoftmaxColumns<T>& s) {
  map_columns<true, false>(s, [](V<T> x, V<T>, V<T> a, V<T>) { return exp(x - a); });
}
template <class T>
void columns_dots(const tg::SoftmaxColumns<T>& s) {
  map_columns<true, false>(s, [](V<T> x, V<T> other, V<T>, V<T>) { return x * other; });
}
template <class T>
void columns_scale(const tg::SoftmaxColumns<T>& s) {
  map_columns<false, true>(s, [](V<T> x, V<T>, V<T> a, V<T>) { return x * a; });
}
template <class T>
void columns_log(const tg::SoftmaxColumns<T>& s) {
  map_columns<false, true>(s, [](V<T> x, V<T>, V<T> a, V<T> b) { return (x - a) - b; });
}
template <class T>
void columns_dx(const tg::SoftmaxColumns<T>& s) {
  map_columns<false, true>(s, [](V<T> g, V<T> y, V<T> a, V<T>) { return y * (g - a); });
}
template <class T>
void columns_log_dx(const tg::SoftmaxColumns<T>& s) {
  map_columns<false, true>(s, [](V<T> g, V<T> y, V<T> a, V<T>) { return g - exp(y) * a; });
}

}  // namespace
}  // namespace TG_ISA
