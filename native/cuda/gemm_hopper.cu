// Matrix products for compute capability 9.0: which tile a product is cut into, and its launch. The
// kernel is in gemm_hopper.cuh.
#include "gemm_hopper.h"
#include "gemm_hopper_tf32.h"
#include "gemm_split.h"

namespace tg::cuda {

using namespace hopper;

namespace {

// 4, 6 or 8 stages: as many as shared memory holds.
using Large = Tile<128, 256, 4>;
using Middle = Tile<128, 128, 6>;
using Slim = Tile<64, 128, 8>;

// Tensor cores do 2,048 multiply-adds per cycle; the smaller a tile, the more it waits for loads.
constexpr GemmTile kTiles[] = {{Large::kM, Large::kN, 1900, Large::kStep},
                               {Middle::kM, Middle::kN, 1300, Middle::kStep},
                               {Slim::kM, Slim::kN, 750, Slim::kStep}};

bool operand(const GemmCall& c, const void* data, int64_t lines, int64_t line, int64_t step,
             int64_t batch, int64_t outer, Operand* result) {
  if (along_k(c, data, lines, line, step, batch, outer, result)) return true;
  int64_t* const sizes = result->map.sizes;
  sizes[0] = lines, sizes[1] = c.k;
  result->map.strides[0] = step;
  result->mn = true;
  return (line == 1 || lines == 1) && (step >= lines || c.k == 1) && mappable(result->map);
}

bool operands(const GemmCall& c, Operand* a, Operand* b) {
  return operand(c, c.a, c.m, c.a_row, c.a_column, c.a_batch, c.a_outer, a) &&
         operand(c, c.b, c.n, c.b_column, c.b_row, c.b_batch, c.b_outer, b);
}

bool bfloat16_takes(const GemmCall& c) {
  Operand a, b;
  return operands(c, &a, &b);
}

template <class T>
Status run(ExecContext* ctx, const GemmCall& c, const Operand& a, const Operand& b,
           const GemmPlan& plan) {
  const auto kernel = a.mn ? (b.mn ? gemm_kernel<T, true, true> : gemm_kernel<T, true, false>)
                           : (b.mn ? gemm_kernel<T, false, true> : gemm_kernel<T, false, false>);
  return start<T>(ctx, c, plan, a, b, kernel, partial_bytes_of<T>(*ctx->device, c, plan));
}

Status run_bfloat16(ExecContext* ctx, const GemmCall& c) {
  Operand a, b;
  if (!operands(c, &a, &b))
    return ctx->error->set(Status::device, "%s: CUDA: operands that the copy engine cannot read",
                           ctx->trace.kernel);
  const GemmPlan plan = plan_of(kTiles, *ctx->device, c);
  const bool split = plan.splits > 1;
  switch (plan.tile) {
    case 0:
      ctx->trace.variant = split ? "wgmma 128x256 split" : "wgmma 128x256";
      return run<Large>(ctx, c, a, b, plan);
    case 1:
      ctx->trace.variant = split ? "wgmma 128x128 split" : "wgmma 128x128";
      return run<Middle>(ctx, c, a, b, plan);
    default:
      ctx->trace.variant = split ? "wgmma 64x128 split" : "wgmma 64x128";
      return run<Slim>(ctx, c, a, b, plan);
  }
}

size_t bfloat16_scratch_bytes(const Device& device, const GemmCall& c) {
  const GemmPlan plan = plan_of(kTiles, device, c);
  return plan.tile == 0   ? partial_bytes_of<Large>(device, c, plan)
         : plan.tile == 1 ? partial_bytes_of<Middle>(device, c, plan)
                          : partial_bytes_of<Slim>(device, c, plan);
}

}  // namespace

bool gemm_hopper_takes(const Device& device, const GemmCall& c) {
  constexpr int64_t kMost = int64_t{1} << 30;  // of whatever is counted: it is an int there
  if (device.capability != 90 || c.k < 1 || c.m < 1 || c.n < 1 || c.outer * c.batch < 1)
    return false;
  const double tiles = static_cast<double>(ceil_div(c.m, 64)) *
                       static_cast<double>(ceil_div(c.n, 128)) *
                       static_cast<double>(c.outer * c.batch);
  if (c.m > kMost || c.n > kMost || c.k > kMost || tiles > static_cast<double>(kMost)) return false;
  if (c.in == DType::bfloat16)
    return (c.out == DType::bfloat16 || c.out == DType::float32) && bfloat16_takes(c);
  if (c.tf32) return gemm_hopper_tf32_takes(device, c);
  return c.in == DType::float32 && c.out == DType::float32 && gemm_split_takes(device, c);
}

size_t gemm_hopper_scratch_bytes(const Device& device, const GemmCall& c) {
  return c.tf32                   ? gemm_hopper_tf32_scratch_bytes(device, c)
         : c.in == DType::float32 ? gemm_split_scratch_bytes(device, c)
                                  : bfloat16_scratch_bytes(device, c) + parts_bytes(c);
}

Status gemm_hopper(ExecContext* ctx, const GemmCall& call) {
  return call.tf32                   ? gemm_hopper_tf32(ctx, call)
         : call.in == DType::float32 ? gemm_split(ctx, call)
                                     : run_bfloat16(ctx, call);
}

}  // namespace tg::cuda
