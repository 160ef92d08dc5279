// Some axes of up to three operands: those that a reduction keeps, those that it reduces, those
// over the rows of a softmax. Sorted and merged on the host, walked in kernels. For all axes of
// tensors of one shape see strided.h.
#pragma once

#include <cuda_runtime.h>

#include "strided.h"

namespace tg::cuda {

constexpr int kOperands = 3;

// Strides count elements; those of operands that a loop lacks are 0.
struct Axis {
  int64_t size, stride[kOperands];
  Divisor divisor;  // of `size`, once merged
};

// Outermost first; there is always one. A plain struct: kernels get it by value.
struct Axes {
  int n = 0;
  Axis axis[kMaxDims] = {};

  int64_t count() const {
    int64_t product = 1;
    for (int i = 0; i < n; ++i) product *= axis[i].size;
    return product;
  }
  __host__ __device__ const Axis& inner() const { return axis[n - 1]; }

  void push(int64_t size, int64_t a, int64_t b = 0, int64_t c = 0) {
    axis[n++] = {size, {a, b, c}, {}};
  }

  // Descending strides of the first operand, so that the innermost axis is its densest; those along
  // which it repeats (stride 0) come first.
  void sort() {
    const auto rank = [](const Axis& a) {
      const int64_t stride = a.stride[0];
      return stride == 0 ? INT64_MAX : stride < 0 ? -stride : stride;
    };
    for (int i = 1; i < n; ++i)
      for (int j = i; j > 0 && rank(axis[j - 1]) < rank(axis[j]); --j) {
        const Axis a = axis[j];
        axis[j] = axis[j - 1];
        axis[j - 1] = a;
      }
  }

  // Drops axes of size 1 and merges neighbours that are one walk for all operands. No axis may be
  // empty.
  void merge() {
    int kept = 0;
    for (int i = 0; i < n; ++i) {
      const Axis a = axis[i];
      if (a.size == 1) continue;
      bool joins = kept > 0;
      for (int k = 0; joins && k < kOperands; ++k)
        joins = axis[kept - 1].stride[k] == a.stride[k] * a.size;
      if (joins)
        axis[kept - 1] = {
            axis[kept - 1].size * a.size, {a.stride[0], a.stride[1], a.stride[2]}, {}};
      else
        axis[kept++] = a;
    }
    if (kept == 0) axis[kept++] = {1, {1, 1, 1}, {}};
    n = kept;
    for (int i = 0; i < n; ++i) axis[i].divisor.set(axis[i].size, false);
  }

  // Whether operand k's elements lie in groups of `lanes` neighbours, each at a multiple of that.
  bool grouped(int k, int64_t lanes) const {
    if (inner().stride[k] != 1 || inner().size % lanes) return false;
    for (int i = 0; i + 1 < n; ++i)
      if (axis[i].stride[k] % lanes) return false;
    return true;
  }
};

// Where element `index` of the row-major order lies in each operand.
struct Offsets {
  int64_t at[kOperands];
};

__device__ __forceinline__ Offsets offsets_of(const Axes& axes, int64_t index) {
  Offsets o = {};
  uint64_t left = static_cast<uint64_t>(index);
#pragma unroll 1
  for (int i = axes.n - 1; i > 0; --i) {
    const Axis& a = axes.axis[i];
    const uint64_t above = a.divisor.divide(left);
    const int64_t digit = static_cast<int64_t>(left - above * static_cast<uint64_t>(a.size));
    left = above;
#pragma unroll
    for (int k = 0; k < kOperands; ++k) o.at[k] += digit * a.stride[k];
  }
#pragma unroll
  for (int k = 0; k < kOperands; ++k)
    o.at[k] += static_cast<int64_t>(left) * axes.axis[0].stride[k];
  return o;
}

}  // namespace tg::cuda
