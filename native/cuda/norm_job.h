// What norm.cu hands to the kernels in norm_rows.cu, norm_channels.cu and norm_sums.cu.
#pragma once

#include "reduce_plan.h"

namespace tg::cuda {

// Layer normalisation: `rows` contiguous rows of n elements.
template <class T>
struct LayerJob {
  int64_t rows, n;
  const T *g, *x, *weight, *bias;  // g: of the gradient alone, which has no bias
  T* out;
  Compute<T>* statistics;  // if not null, each row's mean and 1 / deviation go there instead of out
  double eps;
  bool vectors;     // x, g and out lie alike to 16 bytes
  bool parameters;  // weight and bias are aligned to 16 bytes
  int group;
};
// The result, the statistics, or with g the gradient.
template <class T>
Status launch_layer(ExecContext* ctx, LayerJob<T>& job);

// Batch normalisation of contiguous x [n, channels, inner]: y = scale (x - mean) + constant, plus
// slope g if there is a g. Strides are those of the views that the numbers of a channel come from.
template <class T>
struct ChannelNumbers {
  const T *weight, *bias, *moments, *sums;  // bias or sums
  int64_t weight_stride, bias_stride;
  int64_t moments_strides[2], sums_strides[2];
  double eps, count;  // count: elements of a channel
};
template <class T>
struct ChannelJob {
  int64_t n, channels, inner;
  const T *g, *x;
  T* out;
  Compute<T>* numbers;  // [4][channels, padded to 16 bytes]: mean, scale, constant, slope
};
constexpr int64_t kChannelPadding = 4;
template <class T>
Status launch_channels(ExecContext* ctx, const ChannelNumbers<T>& from, const ChannelJob<T>& job);

// Sums over what `plan` reduces. `room`: plan.segments · plan.outputs · kPartBytes.
constexpr size_t kPartBytes = 24;
template <class T>
Status channel_moments(ExecContext* ctx, const ReducePlan& plan, const T* x, T* out, void* room);
template <class T>
Status channel_sums(ExecContext* ctx, const ReducePlan& plan, const T* g, const T* x,
                    const TensorView& moments, double eps, T* out, void* room);
template <class T>
Status layer_sums(ExecContext* ctx, const ReducePlan& plan, const T* g, const T* x,
                  const Compute<T>* statistics, T* out, void* room);

}  // namespace tg::cuda
