// Where element i, in row-major order, of tensors of one shape lies in each of them, whatever their
// strides: negative ones and zeros, too. Made on the host, small enough to be a kernel's argument.
#pragma once

#include "../core/op.h"

namespace tg::cuda {

// Division by a number known on the host: multiply and shift. Exact for dividends below 2^31 if
// `narrow`, else below 2^63; see Granlund and Montgomery 1994.
struct Divisor {
  uint64_t multiplier;
  int64_t size;
  int shift;

  void set(int64_t divisor, bool narrow) {
    size = divisor;
    shift = 0;
    while (int64_t{1} << shift < divisor) ++shift;
    const unsigned __int128 rest = static_cast<unsigned __int128>((int64_t{1} << shift) - divisor);
    multiplier =
        static_cast<uint64_t>((rest << (narrow ? 32 : 64)) / static_cast<uint64_t>(divisor)) + 1;
  }
  __device__ __forceinline__ uint32_t divide(uint32_t i) const {
    const uint64_t product = uint64_t{i} * static_cast<uint32_t>(multiplier);
    return (static_cast<uint32_t>(product >> 32) + i) >> shift;
  }
  __device__ __forceinline__ uint64_t divide(uint64_t i) const {
    const unsigned __int128 product = static_cast<unsigned __int128>(i) * multiplier;
    return (static_cast<uint64_t>(product >> 64) + i) >> shift;
  }
};

// Up to kOperands tensors that broadcast to one shape. Axes keep their order but for those of size
// 1, which are dropped, and those that one stride walks in every tensor, which are merged.
template <int kOperands>
struct Strided {
  int64_t count;                        // elements
  int n_axes;                           // at least one
  bool narrow;                          // fewer than 2^31 elements: indices are divided in 32 bits
  Divisor axis[kMaxDims];               // innermost first
  int64_t stride[kOperands][kMaxDims];  // in elements

  // n ≤ kOperands views that broadcast to `shape`. Nothing may be asked of an empty shape.
  void set(const Shape& shape, const TensorView* views, int n) {
    count = shape.count();
    narrow = count < int64_t{1} << 31;
    TensorView seen[kOperands];
    for (int k = 0; k < n; ++k) seen[k] = views[k].broadcast_to(shape);
    int64_t size[kMaxDims];
    n_axes = 0;
    for (int d = shape.ndim - 1; d >= 0; --d) {
      if (shape[d] == 1) continue;
      const int last = n_axes - 1;
      bool merges = n_axes > 0;
      for (int k = 0; k < n && merges; ++k)
        merges = seen[k].strides[d] == stride[k][last] * size[last];
      if (merges) {
        size[last] *= shape[d];
        continue;
      }
      size[n_axes] = shape[d];
      for (int k = 0; k < n; ++k) stride[k][n_axes] = seen[k].strides[d];
      ++n_axes;
    }
    if (n_axes == 0) {
      size[n_axes++] = 1;
      for (int k = 0; k < n; ++k) stride[k][0] = 0;
    }
    for (int a = 0; a < n_axes && count > 0; ++a) axis[a].set(size[a], narrow);
  }

  // Whether each run of n elements that begins at a multiple of n lies along the innermost axis.
  bool runs_of(int n) const { return axis[0].size % n == 0; }
  // Whether such a run of operand k is one aligned piece of memory. `bytes`: of an element.
  bool vectors_of(int n, int k, const void* data, size_t bytes) const {
    bool whole = runs_of(n) && stride[k][0] == 1 &&
                 reinterpret_cast<uintptr_t>(data) % (static_cast<size_t>(n) * bytes) == 0;
    for (int a = 1; a < n_axes; ++a) whole = whole && stride[k][a] % n == 0;
    return whole;
  }
  // Whether operand k is one element, repeated.
  bool constant(int k) const {
    bool is = true;
    for (int a = 0; a < n_axes; ++a) is = is && (stride[k][a] == 0 || axis[a].size == 1);
    return is;
  }
  // Whether operand k lies in order, without gaps.
  bool in_order(int k) const {
    bool is = true;
    int64_t step = 1;
    for (int a = 0; a < n_axes; step *= axis[a++].size)
      is = is && (stride[k][a] == step || axis[a].size == 1);
    return is;
  }

  // Calls f(axis, coordinate) for each axis; 0 ≤ i < count.
  template <class F>
  __device__ __forceinline__ void locate(int64_t i, F&& f) const {
    if (narrow) {
      uint32_t left = static_cast<uint32_t>(i);
      for (int a = 0; a < n_axes - 1; ++a) {
        const uint32_t next = axis[a].divide(left);
        f(a, static_cast<int64_t>(left - next * static_cast<uint32_t>(axis[a].size)));
        left = next;
      }
      f(n_axes - 1, static_cast<int64_t>(left));
    } else {
      uint64_t left = static_cast<uint64_t>(i);
      for (int a = 0; a < n_axes - 1; ++a) {
        const uint64_t next = axis[a].divide(left);
        f(a, static_cast<int64_t>(left - next * static_cast<uint64_t>(axis[a].size)));
        left = next;
      }
      f(n_axes - 1, static_cast<int64_t>(left));
    }
  }
  // The offset of element i in operand k, in elements from its first.
  __device__ __forceinline__ int64_t offset(int k, int64_t i) const {
    int64_t at = 0;
    locate(i, [&](int a, int64_t coordinate) { at += coordinate * stride[k][a]; });
    return at;
  }
  // The same for all operands at once.
  __device__ __forceinline__ void offsets(int64_t i, int64_t (&at)[kOperands]) const {
#pragma unroll
    for (int k = 0; k < kOperands; ++k) at[k] = 0;
    locate(i, [&](int a, int64_t coordinate) {
#pragma unroll
      for (int k = 0; k < kOperands; ++k) at[k] += coordinate * stride[k][a];
    });
  }
};

}  // namespace tg::cuda
