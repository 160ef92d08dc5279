// A 1-d int32 tensor of indices, and what is said of one that is out of range.
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
  // -1 if it is out of range.
  __device__ __forceinline__ int64_t operator[](int64_t i) const {
    const int64_t index = data[i * stride];
    return index >= 0 && index < size ? index : -1;
  }
};

// After the kernels: whether all indices were in range.
inline Status report(ExecContext* ctx, const Check& check, const Indices& indices, int axis) {
  int64_t position;
  TG_TRY(end_check(ctx, check, &position));
  if (position < 0) return Status::ok;
  int32_t index;
  TG_TRY(read_element(ctx, indices.data + position * indices.stride, sizeof index, &index));
  return ctx->error->set(Status::range_error, "%s: index[%lld] is %lld, but axis %d has size %lld",
                         ctx->trace.kernel, static_cast<long long>(position),
                         static_cast<long long>(index), axis, static_cast<long long>(indices.size));
}

}  // namespace tg::cuda
