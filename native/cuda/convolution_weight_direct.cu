// The weight's gradient where groups have too few channels for products, and for extreme sizes: a
// block makes some taps of one pair of channels, over a part of the pixels.
#include <math.h>

#include "convolution_kernels.h"
#include "walk.h"

namespace tg::cuda {
namespace {

constexpr int kTaps = 9;  // that a block makes at a time, so that g is loaded once for them
constexpr int kWarps = kThreads / 32;

// Where a tap sees x for result 0, and how far that is from x's first element.
template <class I>
struct Tap {
  int64_t offset;
  I y, x;
};

// The sum over a block's threads, in thread 0.
template <class C>
__device__ C block_sum(C x, C* warps) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_down_sync(0xffffffffu, x, step);
  __syncthreads();
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
  __syncthreads();
  for (int i = 1; i < kWarps && threadIdx.x == 0; ++i) x += warps[i];
  return x;
}

// Units of work: taps of a pair of channels, neighbours in a plane one after the other, then parts.
template <class T, class I>
__global__ void __launch_bounds__(kThreads)
    gradient(const __grid_constant__ WeightGradient<T, I> s, int64_t units, int64_t parts,
             int64_t part_pixels, Compute<T>* out) {
  using C = Compute<T>;
  __shared__ Tap<I> taps[kTaps];
  __shared__ C warps[kWarps];
  const Axis<I>&rows = s.axis[0], &columns = s.axis[1];
  const int64_t n_taps = s.taps(), tap_blocks = ceil_div(n_taps, kTaps);
  using Pixels = Walk<2, int64_t, I>;
  const int64_t strides[2][3] = {{s.g.image, s.g.row, s.g.column},
                                 {s.x.image, rows.stride * s.x.row, columns.stride * s.x.column}};
  typename Pixels::Step step;
  step.set(kThreads, columns.result, rows.result, strides);
  for (int64_t unit = blockIdx.x; unit < units * parts; unit += gridDim.x) {
    const int64_t pair = unit % units / tap_blocks, first = unit % units % tap_blocks * kTaps;
    const int64_t output = pair / s.channels, group = output / s.rows;
    const int64_t channel = group * s.channels + pair % s.channels;
    const int64_t part = unit / units;
    const int here = static_cast<int>(smaller(kTaps, n_taps - first));
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < here) {
      const int64_t tap = first + threadIdx.x;
      Tap<I> t;
      t.y = static_cast<I>(tap / columns.kernel) * rows.dilation - rows.padding;
      t.x = static_cast<I>(tap % columns.kernel) * columns.dilation - columns.padding;
      t.offset = t.y * s.x.row + t.x * s.x.column;
      taps[threadIdx.x] = t;
    }
    __syncthreads();
    const T* const g = s.g.data + output * s.g.channel;
    const T* const x = s.x.data + channel * s.x.channel;
    const int64_t end = smaller((part + 1) * part_pixels, s.pixels());
    int64_t pixel = part * part_pixels + threadIdx.x;
    C sum[kTaps] = {};
    for (Pixels walk(pixel, step, strides); pixel < end; pixel += kThreads, walk.advance(step)) {
      const C factor = widen(g[walk.at[0]]);
      const I y = walk.y * rows.stride, left = walk.x * columns.stride;
#pragma unroll
      for (int i = 0; i < kTaps; ++i) {
        if (i >= here) continue;
        const Tap<I> t = taps[i];
        const bool inside =
            y + t.y >= 0 && y + t.y < rows.source && left + t.x >= 0 && left + t.x < columns.source;
        sum[i] = ::fma(factor, inside ? widen(x[walk.at[1] + t.offset]) : C(0), sum[i]);
      }
    }
#pragma unroll
    for (int i = 0; i < kTaps; ++i) {
      if (i >= here) continue;
      const C total = block_sum(sum[i], warps);
      if (threadIdx.x == 0) out[part * s.weights() + pair * n_taps + first + i] = total;
    }
  }
}

constexpr int64_t kLeastPixels = 4096;  // of a part

}  // namespace

template <class T, class I>
Status weight_directly(ExecContext* ctx, const WeightGradient<T, I>& s) {
  using C = Compute<T>;
  const int64_t units = s.groups * s.rows * s.channels * ceil_div(s.taps(), kTaps);
  const Parts parts(s.pixels(), units, kLeastPixels);
  const int64_t blocks = smaller(units * parts.count, 1 << 30);
  const Grid grid = {dim3(static_cast<unsigned>(blocks)), dim3(kThreads)};
  return sum_parts(ctx, parts, s.weights(), s.dw, [&](C* sums) {
    return launch(ctx, gradient<T, I>, grid, s, units, parts.count, parts.pixels, sums);
  });
}

template Status weight_directly(ExecContext*, const WeightGradient<float, int>&);
template Status weight_directly(ExecContext*, const WeightGradient<double, int>&);
template Status weight_directly(ExecContext*, const WeightGradient<bf16, int>&);
template Status weight_directly(ExecContext*, const WeightGradient<float, int64_t>&);
template Status weight_directly(ExecContext*, const WeightGradient<double, int64_t>&);
template Status weight_directly(ExecContext*, const WeightGradient<bf16, int64_t>&);

}  // namespace tg::cuda
