// The softmax and cross-entropy kernels of one instruction set, as a plain table of functions on
// single contiguous rows. Includes no project file, since both kernels and driver read it.
#pragma once

#include <stdint.h>

namespace tg {

// Rows have n >= 1 elements. Results may lie where x or g lies (equal pointers), not otherwise
// overlap. A row with NaN or +Infinity, or of nothing but -Infinity, gives NaN.

// What a column kernel works on: rows × cols elements, those of a row contiguous, and one number
// per column in a and b. At most kColumnBlock rows (reduce_table.h) where sums are wanted.
template <class T>
struct SoftmaxColumns {
  const T *x, *other;
  T* y;
  int64_t x_stride, other_stride, y_stride, rows, cols;
  const T *a, *b;
  T* sum;  // per column, of these rows
};

template <class T>
struct SoftmaxKernels {
  void (*softmax)(const T* x, T* y, int64_t n);
  void (*log_softmax)(const T* x, T* y, int64_t n);
  // dx = y (g - Σ g y)
  void (*softmax_dx)(const T* g, const T* y, T* dx, int64_t n);
  // dx = g - eʸ Σ g
  void (*log_softmax_dx)(const T* g, const T* y, T* dx, int64_t n);
  // log Σ eˣ - x[target], 0 <= target < n
  T (*cross_entropy)(const T* x, int64_t target, int64_t n);
  // Σ t (log Σ eˣ - x); where t is 0 it counts 0, even if x is -Infinity
  T (*cross_entropy_soft)(const T* x, const T* t, int64_t n);
  // dx = g (softmax(x) - [i = target]) and g (softmax(x) Σ t - t)
  void (*cross_entropy_dx)(const T* x, int64_t target, T g, T* dx, int64_t n);
  void (*cross_entropy_soft_dx)(const T* x, const T* t, T g, T* dx, int64_t n);

  // Columns side by side: softmax over an axis that is not the innermost. y may be x or other.
  using Columns = void (*)(const SoftmaxColumns<T>&);
  Columns columns_max;                 // sum = the largest of x
  Columns columns_exps;                // y = eˣ⁻ᵃ; sum = Σ y
  Columns columns_exp_sums;            // sum = Σ eˣ⁻ᵃ
  Columns columns_sums;                // sum = Σ x
  Columns columns_dots;                // sum = Σ x other
  Columns columns_scale;               // y = x a
  Columns columns_log;                 // y = (x - a) - b
  Columns columns_dx, columns_log_dx;  // y = other (x - a); y = x - a e^other
};

struct SoftmaxTable {
  SoftmaxKernels<float> f32;
  SoftmaxKernels<double> f64;
};

}  // namespace tg
