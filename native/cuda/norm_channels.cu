// Batch normalisation and its gradient by x: a number or four for each channel, then one pass.
#include <math.h>

#include "norm_job.h"

namespace tg::cuda {

namespace {

__host__ __device__ inline int64_t padded(int64_t channels) {
  return (channels + kChannelPadding - 1) / kChannelPadding * kChannelPadding;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    find_numbers(const __grid_constant__ ChannelNumbers<T> from, int64_t channels,
                 Compute<T>* mean) {
  using C = Compute<T>;
  const int64_t pitch = padded(channels);
  C *const scale = mean + pitch, *const constant = scale + pitch, *const slope = constant + pitch;
  const auto number = [](const T* p, int64_t at) { return static_cast<double>(widen(p[at])); };
  for (int64_t i = first_item(); i < channels; i += item_stride()) {
    const T* const moments = from.moments + i * from.moments_strides[1];
    const double inverse = 1 / sqrt(number(moments, from.moments_strides[0]) + from.eps);
    const double weighted = number(from.weight, i * from.weight_stride) * inverse;
    mean[i] = widen(moments[0]);
    if (from.bias) {
      scale[i] = static_cast<C>(weighted);
      constant[i] = widen(from.bias[i * from.bias_stride]);
    } else {
      const T* const sums = from.sums + i * from.sums_strides[1];
      const double dot = number(sums, from.sums_strides[0]);
      slope[i] = static_cast<C>(weighted);
      scale[i] = static_cast<C>(-weighted * inverse * dot / from.count);
      constant[i] = static_cast<C>(-weighted * number(sums, 0) / from.count);
    }
  }
}

// kWide elements from `first` on, fewer at the end.
template <int kWide, class T>
__device__ __forceinline__ void normalise(const ChannelJob<T>& job, int64_t size, int64_t first,
                                          const Divisor& planes, const Divisor& channels) {
  using C = Compute<T>;
  const bool full = first + kWide <= size;
  Vector<T, kWide> x = {}, g = {};
  if (full) {
    x = load<kWide>(job.x + first);
    if (job.g) g = load<kWide>(job.g + first);
  } else {
#pragma unroll
    for (int k = 0; k < kWide; ++k) {
      if (first + k >= size) continue;
      x.at[k] = job.x[first + k];
      if (job.g) g.at[k] = job.g[first + k];
    }
  }
  // Where the first element stands; the next ones follow by counting.
  const int64_t plane = static_cast<int64_t>(planes.divide(static_cast<uint64_t>(first)));
  int64_t within = first - plane * job.inner;
  int64_t channel =
      plane - static_cast<int64_t>(channels.divide(static_cast<uint64_t>(plane))) * job.channels;
  const int64_t pitch = padded(job.channels);
  C mean = 0, scale = 0, constant = 0, slope = 0;
  bool anew = true;
#pragma unroll
  for (int k = 0; k < kWide; ++k) {
    if (anew) {
      const C* const p = job.numbers + channel;
      mean = p[0], scale = p[pitch], constant = p[2 * pitch];
      if (job.g) slope = p[3 * pitch];
    }
    C y = scale * (widen(x.at[k]) - mean) + constant;
    if (job.g) y += slope * widen(g.at[k]);
    x.at[k] = narrow<T>(y);
    anew = ++within == job.inner;
    if (anew) {
      within = 0;
      if (++channel == job.channels) channel = 0;
    }
  }
  if (full) {
    store<kWide>(job.out + first, x);
  } else {
#pragma unroll
    for (int k = 0; k < kWide; ++k)
      if (first + k < size) job.out[first + k] = x.at[k];
  }
}

template <class T, int kWide>
__global__ void __launch_bounds__(kThreads)
    normalise_channels(const __grid_constant__ ChannelJob<T> job,
                       const __grid_constant__ Divisor planes,
                       const __grid_constant__ Divisor channels) {
  const int64_t size = job.n * job.channels * job.inner;
  for (int64_t i = first_item() * kWide; i < size; i += item_stride() * kWide)
    normalise<kWide>(job, size, i, planes, channels);
}

}  // namespace

template <class T>
Status launch_channels(ExecContext* ctx, const ChannelNumbers<T>& from, const ChannelJob<T>& job) {
  const int64_t size = job.n * job.channels * job.inner;
  if (size == 0) return Status::ok;
  TG_TRY(
      launch(ctx, find_numbers<T>, grid_for(ctx, job.channels), from, job.channels, job.numbers));
  Divisor planes, channels;
  planes.set(job.inner, false);
  channels.set(job.channels, false);
  const bool vectors = aligned16(job.x) && aligned16(job.out) && (!job.g || aligned16(job.g));
  if (vectors)
    return launch(ctx, normalise_channels<T, kLanes<T>>,
                  grid_for(ctx, (size + kLanes<T> - 1) / kLanes<T>), job, planes, channels);
  return launch(ctx, normalise_channels<T, 1>, grid_for(ctx, size), job, planes, channels);
}
template Status launch_channels(ExecContext*, const ChannelNumbers<float>&,
                                const ChannelJob<float>&);
template Status launch_channels(ExecContext*, const ChannelNumbers<double>&,
                                const ChannelJob<double>&);
template Status launch_channels(ExecContext*, const ChannelNumbers<bf16>&, const ChannelJob<bf16>&);

}  // namespace tg::cuda
