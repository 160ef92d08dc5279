// Tensors of four axes, [n, channels, h, w], with any strides, as kernels read them.
#pragma once

#include "../core/op.h"
#include "vector.h"

namespace tg::cuda {

template <class T>
struct Images {
  const T* data;
  int64_t image, channel, row, column;  // strides, in elements

  explicit Images(const TensorView& x)
      : data(static_cast<const T*>(x.data)),
        image(x.strides[0]),
        channel(x.strides[1]),
        row(x.strides[2]),
        column(x.strides[3]) {}
};

// f(T()), where T is how elements of a float dtype are stored.
template <class F>
Status by_float(DType dtype, F f) {
  if (dtype == DType::float32) return f(float());
  return dtype == DType::float64 ? f(double()) : f(bf16());
}

}  // namespace tg::cuda
