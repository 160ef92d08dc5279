// A 1-d int32 tensor of indices.
#pragma once

#include "checked.h"

namespace tg::cuda {

// A 1-d int32 view of positions along an axis of `size`.
struct Indices {
  const int32_t* data;
  int64_t stride, count, size;

  Indices(const TensorView& view, int64_t axis_size)
      : data(static_cast<const int32_t*>(view.data)),
        stride(view.strides[0]),
        count(view.shape[0]),
        size(axis_size) {}
  // -1 if it is out of range, which is noted.
  __device__ __forceinline__ int64_t at(int64_t i, const Check& check) const {
    const int32_t index = data[i * stride];
    if (index >= 0 && index < size) return index;
    check.fail(i, index);
    return -1;
  }
};

}  // namespace tg::cuda
