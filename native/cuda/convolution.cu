// Which way of computing a convolution or an adjoint is taken.
#include "convolution.h"

#include "convolution_kernels.h"

namespace tg::cuda {
namespace {

constexpr int64_t kFewRows = 4;       // of a product: a tile would be all but empty
constexpr int64_t kFewWeights = 512;  // of a group

template <class T>
Status correlate(ExecContext* ctx, const OpCall& call, bool adjoint) {
  const Shape& x = call.in[0].shape;
  const Attrs::Window& w = call.attrs.window;
  if (call.out.shape.count() == 0) return Status::ok;
  if (!narrow_coordinates(adjoint ? call.out.shape : x, adjoint ? x : call.out.shape, w))
    return correlate_directly(ctx, Correlation<T, int64_t>(call, adjoint));
  const Correlation<T, int> s(call, adjoint);
  ctx->trace.variant = "direct";
  if (s.rows <= kFewRows) return correlate_directly(ctx, s);
  if (is_plain(s)) return correlate_plainly(ctx, s);
  if (!narrow_offsets(s.x, s.channels, s.axis[0].reach(), s.axis[1].reach()) ||
      !narrow_offsets(s.w, s.channels, w.kernel[0], w.kernel[1]))
    return correlate_directly(ctx, s);
  return correlate_tiles(ctx, s);
}

template <class T>
Status weight_gradient(ExecContext* ctx, const OpCall& call) {
  const Shape &x = call.in[0].shape, &g = call.in[1].shape;
  const Attrs::Window& w = call.attrs.window;
  if (call.out.shape.count() == 0) return Status::ok;
  if (!narrow_coordinates(x, g, w)) return weight_directly(ctx, WeightGradient<T, int64_t>(call));
  const WeightGradient<T, int> s(call);
  const bool tiles =
      s.rows * s.channels * s.taps() > kFewWeights &&
      narrow_offsets(s.x, s.channels, x[2] + 2 * w.padding[0], x[3] + 2 * w.padding[1]);
  ctx->trace.variant = "direct";
  return tiles ? weight_by_tiles(ctx, s) : weight_directly(ctx, s);
}

}  // namespace

Status run_conv2d(ExecContext* ctx, const OpCall& call) {
  return by_float(call.out.dtype, [&](auto t) { return correlate<decltype(t)>(ctx, call, false); });
}

Status run_conv2d_input(ExecContext* ctx, const OpCall& call) {
  return by_float(call.out.dtype, [&](auto t) { return correlate<decltype(t)>(ctx, call, true); });
}

Status run_conv2d_weight(ExecContext* ctx, const OpCall& call) {
  return by_float(call.out.dtype, [&](auto t) { return weight_gradient<decltype(t)>(ctx, call); });
}

}  // namespace tg::cuda
