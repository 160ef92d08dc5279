// The pooling kernels of one instruction set, as a plain table of functions on planes. Includes no
// project file, since both kernels and driver read it.
#pragma once

#include <stdint.h>

namespace tg {

// A plane of h × w elements and its oh × ow windows; pairs are rows, columns. Every window sees at
// least one element.
struct PoolPlane {
  int64_t h, w, oh, ow;
  int64_t kernel[2], stride[2], padding[2];
};

// Positions in a plane, as wide as its elements.
template <class T>
struct PoolIndex {
  using type = int64_t;
};
template <>
struct PoolIndex<float> {
  using type = int32_t;
};

// x: h · w elements; y: oh · ow, not x. Nothing else is read or written.
template <class T>
struct PoolKernels {
  // Maxima; NaN where a window has one.
  void (*max)(const PoolPlane&, const T* x, T* y);
  // Sums divided by the size of the kernel.
  void (*average)(const PoolPlane&, const T* x, T* y);
  // at[window]: where in x it has its first NaN, or else its first maximum. Of float a plane has
  // less than 2^31 elements.
  void (*maxima)(const PoolPlane&, const T* x, typename PoolIndex<T>::type* at);
};

struct PoolTable {
  PoolKernels<float> f32;
  PoolKernels<double> f64;
};

}  // namespace tg
