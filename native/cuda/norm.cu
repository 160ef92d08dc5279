// Layer and batch normalisation: operands made contiguous, and which kernels run on them.
#include "norm.h"

#include "contiguous.h"
#include "norm_job.h"

namespace tg::cuda {

namespace {

// A contiguous tensor of three axes.
TensorView three(const void* data, DType dtype, int64_t a, int64_t b, int64_t c) {
  TensorView view;
  view.data = const_cast<void*>(data);
  view.dtype = dtype;
  for (const int64_t size : {a, b, c}) view.shape.push(size);
  contiguous_strides(view.shape, view.strides);
  return view;
}

// The same wherever the operands lie in memory.
size_t parts_bytes(const ReducePlan& plan) {
  return plan.outputs > 0 && plan.segments > 1
             ? static_cast<size_t>(plan.outputs * plan.segments) * kPartBytes
             : 0;
}

template <class T>
Status layer_norm(ExecContext* ctx, const OpCall& call) {
  const bool forward = call.op == op_layerNorm, sums = call.op == op_layerNormSums;
  const Shape& shape = call.in[forward ? 0 : 1].shape;
  LayerJob<T> job{};
  job.rows = job.n = 1;
  for (int i = 0; i < shape.ndim; ++i) (i < call.attrs.axis ? job.rows : job.n) *= shape[i];
  job.eps = call.attrs.p[0];
  job.out = static_cast<T*>(call.out.data);
  if (job.n == 0 || (job.rows == 0 && !sums)) return Status::ok;
  const auto plan_of = [&](const void* g, const void* x) {
    return plan_reduction(three(g, call.out.dtype, 1, job.rows, job.n), 3, false, x);
  };
  Contiguous in(ctx, call);
  if (!sums) {
    TG_TRY(in.prepare(~0u, 0));
    job.x = in.in<T>(forward ? 0 : 1);
    job.weight = in.in<T>(forward ? 1 : 2);
    if (forward)
      job.bias = in.in<T>(2);
    else
      job.g = in.in<T>(0);
    return launch_layer(ctx, job);
  }
  const size_t statistics =
      Contiguous::aligned(static_cast<size_t>(2 * job.rows) * sizeof(Compute<T>));
  const size_t parts = parts_bytes(plan_of(nullptr, nullptr));
  TG_TRY(in.prepare(~0u, statistics + parts));
  const T* const g = in.in<T>(0);
  job.x = in.in<T>(1);
  job.statistics = static_cast<Compute<T>*>(in.extra());
  if (job.rows > 0) TG_TRY(launch_layer(ctx, job));
  return layer_sums(ctx, plan_of(g, job.x), g, job.x, job.statistics, job.out,
                    static_cast<char*>(in.extra()) + statistics);
}

template <class T>
Status channel_norm(ExecContext* ctx, const OpCall& call) {
  const bool backward = call.op == op_channelNormSums || call.op == op_channelNormBackward;
  const bool sums = call.op == op_channelNormSums, moments = call.op == op_channelMoments;
  const int at = backward ? 1 : 0;
  const Shape& x = call.in[at].shape;
  int64_t inner = 1;
  for (int i = 2; i < x.ndim; ++i) inner *= x[i];
  T* const out = static_cast<T*>(call.out.data);
  const uint32_t large = backward ? 3 : 1;  // inputs of the shape of x
  const double eps = call.attrs.p[0];
  Contiguous in(ctx, call);
  if (sums || moments) {
    const auto plan_of = [&](const void* first, const void* second) {
      return plan_reduction(three(first, call.out.dtype, x[0], x[1], inner), 5, false, second);
    };
    TG_TRY(in.prepare(large, parts_bytes(plan_of(nullptr, nullptr))));
    if (moments)
      return channel_moments(ctx, plan_of(in.in<T>(0), nullptr), in.in<T>(0), out, in.extra());
    return channel_sums(ctx, plan_of(in.in<T>(0), in.in<T>(1)), in.in<T>(0), in.in<T>(1),
                        call.in[2], eps, out, in.extra());
  }
  const int64_t pitch = (x[1] + kChannelPadding - 1) / kChannelPadding * kChannelPadding;
  TG_TRY(in.prepare(large, static_cast<size_t>(4 * pitch) * sizeof(Compute<T>)));
  ChannelJob<T> job{
      x[0], x[1], inner, nullptr, in.in<T>(at), out, static_cast<Compute<T>*>(in.extra())};
  ChannelNumbers<T> numbers{};
  const auto view = [&](int i) { return static_cast<const T*>(call.in[i].data); };
  numbers.eps = eps;
  numbers.count = static_cast<double>(x[0] * inner);
  numbers.weight = view(at + 1);
  numbers.weight_stride = call.in[at + 1].strides[0];
  numbers.moments = view(3);
  for (int i = 0; i < 2; ++i) numbers.moments_strides[i] = call.in[3].strides[i];
  if (backward) {
    job.g = in.in<T>(0);
    numbers.sums = view(4);
    for (int i = 0; i < 2; ++i) numbers.sums_strides[i] = call.in[4].strides[i];
  } else {
    numbers.bias = view(2);
    numbers.bias_stride = call.in[2].strides[0];
  }
  ctx->trace.variant = inner > 1 ? "planes" : "columns";
  return launch_channels(ctx, numbers, job);
}

}  // namespace

Status run_layer_norm(ExecContext* ctx, const OpCall& call) {
  switch (call.out.dtype) {
    case DType::float32:
      return layer_norm<float>(ctx, call);
    case DType::float64:
      return layer_norm<double>(ctx, call);
    default:
      return layer_norm<bf16>(ctx, call);
  }
}

Status run_channel_norm(ExecContext* ctx, const OpCall& call) {
  switch (call.out.dtype) {
    case DType::float32:
      return channel_norm<float>(ctx, call);
    case DType::float64:
      return channel_norm<double>(ctx, call);
    default:
      return channel_norm<bf16>(ctx, call);
  }
}

}  // namespace tg::cuda
