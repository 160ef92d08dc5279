// Convolution and its adjoints as matrix products over columns that are gathered a panel at a time,
// in the cache, and never all at once. No N-API.
#include "convolution.h"

#include <cstring>

#include "convolution_correlation.h"
#include "convolution_weight.h"

namespace tg::cpu {
namespace {

constexpr double kMaxWaste = 1.2;  // of lanes, in regions that do not fill their registers
constexpr int64_t kMinRows = 64;   // of x's channels, or gathering g costs more than scattering

template <class T>
Status forward(const Kernels<T>& kernels, ExecContext* ctx, const OpCall& call) {
  const Geometry s(call.in[0].shape, call.out.shape, call.attrs.window);
  if (call.out.shape.count() == 0) return Status::ok;
  const bool bias = call.op == op_conv2d;
  const Regions all(Region::all(s));
  Correlation<T> product(kernels, ctx, s, all, bias);
  Contiguous in(ctx, call);
  TG_TRY(in.prepare(product.bytes()));
  const Weights<T> w = {
      in.in<T>(1), s.og * s.depth, s.depth, s.taps, 1, bias ? in.in<T>(2) : nullptr};
  product.run(in.in<T>(0), w, static_cast<T*>(call.out.data), in.extra());
  return Status::ok;
}

// With stride 1, the adjoint is the convolution of g with the kernels turned by half a circle,
// inputs and outputs exchanged. What g's padding would add is left out, region by region. Where
// regions are too many or too small for that, or too few channels use a gathered panel, products
// are scattered.
template <class T>
Status adjoint_input(const Kernels<T>& kernels, const GemmTable& table, ExecContext* ctx,
                     const OpCall& call) {
  if (call.out.shape.count() == 0) return Status::ok;
  Attrs::Window window = call.attrs.window;
  if (window.stride[0] != 1 || window.stride[1] != 1) return run_conv2d_scatter(table, ctx, call);
  for (int i = 0; i < 2; ++i)
    window.padding[i] = window.dilation[i] * (window.kernel[i] - 1) - window.padding[i];
  const Geometry s(call.in[0].shape, call.out.shape, window);
  const Regions regions(s);
  double useful = 0, paid = 0;
  for (const Region& r : regions) {
    const int64_t pixels = s.n * r.area(), lanes = kernels.gemm.lanes;
    useful += static_cast<double>(pixels) * static_cast<double>(r.taps());
    paid += static_cast<double>(ceil_div(pixels, lanes) * lanes) * static_cast<double>(r.taps());
  }
  const bool reused = s.og >= kMinRows || s.plain;
  if (!reused || !(paid <= kMaxWaste * useful) || useful == 0)
    return run_conv2d_scatter(table, ctx, call);
  Correlation<T> product(kernels, ctx, s, regions, false);
  Contiguous in(ctx, call);
  TG_TRY(in.prepare(product.bytes()));
  const Weights<T> w = {
      in.in<T>(1) + s.taps - 1, s.cg * s.og * s.taps, s.taps, s.og * s.taps, -1, nullptr};
  product.run(in.in<T>(0), w, static_cast<T*>(call.out.data), in.extra());
  return Status::ok;
}

template <class T>
Status adjoint_weight(const Kernels<T>& kernels, ExecContext* ctx, const OpCall& call) {
  const Geometry s(call.in[0].shape, call.in[1].shape, call.attrs.window);
  if (call.out.shape.count() == 0) return Status::ok;
  if (s.n * s.pixels == 0) {
    std::memset(call.out.data, 0, call.out.bytes());
    return Status::ok;
  }
  WeightGradient<T> gradient(kernels, ctx, s);
  Contiguous in(ctx, call);
  TG_TRY(in.prepare(gradient.bytes()));
  gradient.run(in.in<T>(0), in.in<T>(1), static_cast<T*>(call.out.data), in.extra());
  return Status::ok;
}

template <class F>
Status by_dtype(const ConvolutionKernelTables& tables, ExecContext* ctx, const OpCall& call, F f) {
  ctx->trace.variant = "columns";
  if (call.out.dtype == DType::float32)
    return f(Kernels<float>{tables.gemm.f32, tables.convolution.f32});
  return f(Kernels<double>{tables.gemm.f64, tables.convolution.f64});
}

}  // namespace

Status run_conv2d(const ConvolutionKernelTables& tables, ExecContext* ctx, const OpCall& call) {
  return by_dtype(tables, ctx, call, [&](const auto& k) { return forward(k, ctx, call); });
}

Status run_conv2d_input(const ConvolutionKernelTables& tables, ExecContext* ctx,
                        const OpCall& call) {
  return by_dtype(tables, ctx, call,
                  [&](const auto& k) { return adjoint_input(k, tables.gemm, ctx, call); });
}

Status run_conv2d_weight(const ConvolutionKernelTables& tables, ExecContext* ctx,
                         const OpCall& call) {
  return by_dtype(tables, ctx, call, [&](const auto& k) { return adjoint_weight(k, ctx, call); });
}

}  // namespace tg::cpu
