// The normalisation kernels of one instruction set, as a plain table of functions on contiguous
// memory. Includes no project file, since both kernels and driver read it.
#pragma once

#include <stdint.h>

namespace tg {

// Results overlap no input. [0] of a pair takes parameters that are the same for all elements (of
// a plane of one channel), [1] one of each per element (of a row of channels).
template <class T>
struct NormKernels {
  // y = (x - shift) scale + offset
  void (*affine[2])(const T* x, const T* shift, const T* scale, const T* offset, T* y, int64_t n);
  // dx = a g + b (x - shift) + c
  void (*gradient[2])(const T* g, const T* x, const T* shift, const T* a, const T* b, const T* c,
                      T* dx, int64_t n);
  // out: Σ g and Σ g (x - shift)
  void (*dots)(const T* g, const T* x, T shift, int64_t n, double* out);
  // The same per column of at most kColumnBlock (128) rows, in T.
  void (*column_dots)(const T* g, const T* x, int64_t stride, int64_t rows, int64_t cols,
                      const T* shift, T* sum, T* dot);
  // y = ((x - shift) scale) w + b
  void (*row)(const T* x, T shift, T scale, const T* w, const T* b, T* y, int64_t n);
  // out: Σ g w and Σ g w (x - shift)
  void (*row_dots)(const T* g, const T* w, const T* x, T shift, int64_t n, double* out);
  // dx = a g w + b (x - shift) + c
  void (*row_gradient)(const T* g, const T* w, const T* x, T shift, T a, T b, T c, T* dx,
                       int64_t n);
  // sum += g, dot += g ((x - shift) scale)
  void (*row_sums)(const T* g, const T* x, T shift, T scale, T* sum, T* dot, int64_t n);
};

struct NormTable {
  NormKernels<float> f32;
  NormKernels<double> f64;
};

}  // namespace tg
