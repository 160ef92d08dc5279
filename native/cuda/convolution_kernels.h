// The ways of computing a convolution and its adjoints; which one when is convolution.cu's choice.
// T: float, double, bf16, which is widened as it is loaded.
#pragma once

#include <type_traits>

#include "convolution_geometry.h"
#include "launch.h"

namespace tg::cuda {

// As a product of the weights and of columns that are gathered tile by tile, in shared memory
// (convolution_correlation.cu).
template <class T>
Status correlate_tiles(ExecContext* ctx, const Correlation<T, int>& s);

// As a batch of products (convolution_plain.cu), where the columns are the images themselves.
// Planes below kLeastPlane elements would leave tiles of theirs empty, which tiles across images do
// not.
constexpr int64_t kLeastPlane = 128;
template <class T>
bool is_plain(const Correlation<T, int>& s);
template <class T>
Status correlate_plainly(ExecContext* ctx, const Correlation<T, int>& s);

// A thread per result (convolution_direct.cu): for few rows, and coordinates of any size.
template <class T, class I>
Status correlate_directly(ExecContext* ctx, const Correlation<T, I>& s);

// The adjoint in the weight: g times columns of x, summed over images and pixels. Parts of that sum
// are made by blocks of their own and added in a second pass, in a fixed order.
template <class T, class I>
struct WeightGradient {
  Images<T> x, g;
  T* dw;  // contiguous
  Axis<I> axis[2];
  int64_t images, groups, rows, channels;  // rows: of g, in a group

  explicit WeightGradient(const OpCall& call)
      : x(call.in[0]),
        g(call.in[1]),
        dw(static_cast<T*>(call.out.data)),
        axis{{call.attrs.window, 0, call.in[0].shape[2], call.in[1].shape[2], false},
             {call.attrs.window, 1, call.in[0].shape[3], call.in[1].shape[3], false}},
        images(call.in[0].shape[0]),
        groups(call.attrs.window.groups),
        rows(call.in[1].shape[1] / groups),
        channels(call.in[0].shape[1] / groups) {}

  TG_DEVICE_TOO int64_t taps() const {
    return static_cast<int64_t>(axis[0].kernel) * static_cast<int64_t>(axis[1].kernel);
  }
  TG_DEVICE_TOO int64_t pixels() const {
    return images * static_cast<int64_t>(axis[0].result) * static_cast<int64_t>(axis[1].result);
  }
  TG_DEVICE_TOO int64_t weights() const { return groups * rows * channels * taps(); }
};

// By tiles (convolution_weight.cu), and with a block per few weights
// (convolution_weight_direct.cu).
template <class T>
Status weight_by_tiles(ExecContext* ctx, const WeightGradient<T, int>& s);
template <class T, class I>
Status weight_directly(ExecContext* ctx, const WeightGradient<T, I>& s);

// The parts that the sum over `pixels` is cut into where `blocks` blocks make one part. By the
// shapes alone, since it decides the bits.
struct Parts {
  static constexpr int64_t kBlocks = 512;                   // that fill a chip
  static constexpr int64_t kMostPixels = int64_t{1} << 30;  // that an int counts
  int64_t count, pixels;

  Parts(int64_t all, int64_t blocks, int64_t least_pixels) {
    count = larger(1, smaller(ceil_div(kBlocks, blocks), all / least_pixels));
    pixels = larger(1, ceil_div(all, larger(count, ceil_div(all, kMostPixels))));
    count = larger(1, ceil_div(all, pixels));
  }
};

// dw[i] = parts[0][i] + parts[1][i] + … for `count` weights (convolution_weight.cu).
template <class T>
Status add_parts(ExecContext* ctx, const Compute<T>* parts, int64_t n_parts, int64_t count, T* dw);

// make(sums) writes parts.count arrays of `count` weights each; their sum comes into dw.
template <class T, class F>
Status sum_parts(ExecContext* ctx, const Parts& parts, int64_t count, T* dw, F make) {
  using C = Compute<T>;
  if constexpr (std::is_same<T, C>::value)
    if (parts.count == 1) return make(dw);
  void* const sums = scratch(ctx, static_cast<size_t>(parts.count * count) * sizeof(C));
  if (!sums) return Status::out_of_memory;
  TG_TRY(make(static_cast<C*>(sums)));
  return add_parts(ctx, static_cast<const C*>(sums), parts.count, count, dw);
}

}  // namespace tg::cuda
