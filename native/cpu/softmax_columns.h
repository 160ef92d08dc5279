// Softmax over an axis that is not the innermost: columns of one matrix, side by side. Part of
// softmax.cpp. No kernels, no N-API.
#pragma once

#include <cmath>
#include <cstdint>

#include "../core/op.h"
#include "reduce_table.h"
#include "softmax_table.h"

namespace tg::cpu {

constexpr int64_t kMostColumns = 512;      // of a tile
constexpr int64_t kColumnBytes = 1 << 18;  // of a tile's x: it stays in L2 from pass to pass

// Columns of a tile: whole cache lines.
inline int64_t column_width(int64_t n, int64_t size) {
  const int64_t width = kColumnBytes / (n * size) / 32 * 32;
  return width < 32 ? 32 : width > kMostColumns ? kMostColumns : width;
}

// f(t) for `all` cut into blocks of rows; per column, the sums of the blocks are added in double.
template <class T, class F>
void sum_columns(const SoftmaxColumns<T>& all, double* total, F f) {
  T sum[kMostColumns];
  for (int64_t c = 0; c < all.cols; ++c) total[c] = 0;
  for (int64_t r = 0; r < all.rows; r += kColumnBlock) {
    SoftmaxColumns<T> t = all;
    t.rows = all.rows - r < kColumnBlock ? all.rows - r : kColumnBlock;
    t.x += r * t.x_stride;
    if (t.other) t.other += r * t.other_stride;
    if (t.y) t.y += r * t.y_stride;
    t.sum = sum;
    f(t);
    for (int64_t c = 0; c < all.cols; ++c) total[c] += static_cast<double>(sum[c]);
  }
}

// One tile, of at most kMostColumns columns: op is one of the four that softmax and logSoftmax and
// their derivatives are.
template <class T>
void softmax_columns(const SoftmaxKernels<T>& kernels, Op op, SoftmaxColumns<T> t) {
  T a[kMostColumns], b[kMostColumns];
  double total[kMostColumns];
  SoftmaxColumns<T> sums = t;
  sums.a = a;
  if (op == op_softmax || op == op_logSoftmax) {
    SoftmaxColumns<T> maxima = t;
    maxima.sum = a;
    kernels.columns_max(maxima);
    sum_columns(sums, total, op == op_softmax ? kernels.columns_exps : kernels.columns_exp_sums);
    t.a = a;
    if (op == op_softmax) {
      for (int64_t c = 0; c < t.cols; ++c) a[c] = static_cast<T>(1 / total[c]);
      t.x = t.y;
      t.x_stride = t.y_stride;
      return kernels.columns_scale(t);
    }
    for (int64_t c = 0; c < t.cols; ++c) b[c] = static_cast<T>(std::log(total[c]));
    t.b = b;
    return kernels.columns_log(t);
  }
  const bool plain = op == op_softmaxBackward;
  sums.a = nullptr;
  sum_columns(sums, total, plain ? kernels.columns_dots : kernels.columns_sums);
  for (int64_t c = 0; c < t.cols; ++c) a[c] = static_cast<T>(total[c]);
  t.a = a;
  plain ? kernels.columns_dx(t) : kernels.columns_log_dx(t);
}

}  // namespace tg::cpu
