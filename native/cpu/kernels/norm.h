// Kernels of batch and layer normalisation on contiguous rows, planes and columns. Includes only
// the vector vocabulary, the row sums and the table it fills.
#pragma once

#include "../norm_table.h"
#include "softmax.h"
#include "vec.h"

namespace TG_ISA {
namespace {

// A parameter at element i: one for all, or one of each.
template <bool kEach, class T>
TG_INLINE V<T> parameter(const T* p, int64_t i, int64_t count) {
  if constexpr (kEach)
    return load_some(p + i, count);
  else
    return all_lanes(*p);
}

template <bool kEach, class T>
void norm_affine(const T* x, const T* shift, const T* scale, const T* offset, T* y, int64_t n) {
  fill_row(y, n, [=](int64_t i, int64_t count) {
    return fma(load_some(x + i, count) - parameter<kEach>(shift, i, count),
               parameter<kEach>(scale, i, count), parameter<kEach>(offset, i, count));
  });
}

template <bool kEach, class T>
void norm_gradient(const T* g, const T* x, const T* shift, const T* a, const T* b, const T* c,
                   T* dx, int64_t n) {
  fill_row(dx, n, [=](int64_t i, int64_t count) {
    const V<T> centred = load_some(x + i, count) - parameter<kEach>(shift, i, count);
    return fma(parameter<kEach>(a, i, count), load_some(g + i, count),
               fma(parameter<kEach>(b, i, count), centred, parameter<kEach>(c, i, count)));
  });
}

template <class T>
void norm_dots(const T* g, const T* x, T shift, int64_t n, double* out) {
  const V<T> s = all_lanes(shift);
  out[0] = sum_row<T>(n, [=](int64_t i, int64_t count) { return load_some(g + i, count); });
  out[1] = sum_row<T>(n, [=](int64_t i, int64_t count) {
    return load_some(g + i, count) * (load_some(x + i, count) - s);
  });
}

template <class T>
void norm_column_dots(const T* g, const T* x, int64_t stride, int64_t rows, int64_t cols,
                      const T* shift, T* sum, T* dot) {
  constexpr int64_t kLanes = V<T>::kLanes;
  for (int64_t c = 0; c < cols; c += kLanes) {
    const int64_t count = cols - c < kLanes ? cols - c : kLanes;
    const V<T> s = load_some(shift + c, count);
    V<T> a(0), b(0);
    for (int64_t r = 0; r < rows; ++r) {
      const V<T> v = load_some(g + r * stride + c, count);
      a = a + v;
      b = fma(v, load_some(x + r * stride + c, count) - s, b);
    }
    store_some(sum + c, a, count);
    store_some(dot + c, b, count);
  }
}

template <class T>
void norm_row(const T* x, T shift, T scale, const T* w, const T* b, T* y, int64_t n) {
  const V<T> s = all_lanes(shift), k = all_lanes(scale);
  fill_row(y, n, [=](int64_t i, int64_t count) {
    return fma((load_some(x + i, count) - s) * k, load_some(w + i, count), load_some(b + i, count));
  });
}

template <class T>
void norm_row_dots(const T* g, const T* w, const T* x, T shift, int64_t n, double* out) {
  const V<T> s = all_lanes(shift);
  out[0] = sum_row<T>(n, [=](int64_t i, int64_t count) {
    return load_some(g + i, count) * load_some(w + i, count);
  });
  out[1] = sum_row<T>(n, [=](int64_t i, int64_t count) {
    return load_some(g + i, count) * load_some(w + i, count) * (load_some(x + i, count) - s);
  });
}

template <class T>
void norm_row_gradient(const T* g, const T* w, const T* x, T shift, T a, T b, T c, T* dx,
                       int64_t n) {
  const V<T> s = all_lanes(shift), va = all_lanes(a), vb = all_lanes(b), vc = all_lanes(c);
  fill_row(dx, n, [=](int64_t i, int64_t count) {
    return fma(va, load_some(g + i, count) * load_some(w + i, count),
               fma(vb, load_some(x + i, count) - s, vc));
  });
}

template <class T>
void norm_row_sums(const T* g, const T* x, T shift, T scale, T* sum, T* dot, int64_t n) {
  const V<T> s = all_lanes(shift), k = all_lanes(scale);
  fill_row(sum, n, [=](int64_t i, int64_t count) {
    return load_some(sum + i, count) + load_some(g + i, count);
  });
  fill_row(dot, n, [=](int64_t i, int64_t count) {
    return fma(load_some(g + i, count), (load_some(x + i, count) - s) * k,
               load_some(dot + i, count));
  });
}

template <class T>
constexpr tg::NormKernels<T> norm_kernels() {
  return {{norm_affine<false, T>, norm_affine<true, T>},
          {norm_gradient<false, T>, norm_gradient<true, T>},
          norm_dots<T>,
          norm_column_dots<T>,
          norm_row<T>,
          norm_row_dots<T>,
          norm_row_gradient<T>,
          norm_row_sums<T>};
}

constexpr tg::NormTable kNormTable = {norm_kernels<float>(), norm_kernels<double>()};

}  // namespace
}  // namespace TG_ISA
