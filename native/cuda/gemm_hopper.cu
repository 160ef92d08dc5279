// Matrix products for compute capability 9.0: which tile a product is cut into, and its launch. The
// kernel is in gemm_hopper.cuh.
#include "gemm_hopper.h"
#include "gemm_split.h"

namespace tg::cuda {

using namespace hopper;

namespace {

// 4, 6 or 8 stages: as many as shared memory holds.
using Large = Tile<128, 256, 4>;
using Middle = Tile<128, 128, 6>;
using Slim = Tile<64, 128, 8>;

// Tensor cores do 2,048 multiply-adds per cycle; the smaller a tile, the more it waits for loads.
constexpr GemmTile kTiles[] = {{Large::kM, Large::kN, 1900, kStep},
                               {Middle::kM, Middle::kN, 1300, kStep},
                               {Slim::kM, Slim::kN, 750, kStep}};

// How the copy engine finds an operand of `lines` lines (of A) or columns (of B) by k values.
struct Operand {
  MapOf map;
  bool mn;  // lines are contiguous instead of k
};

bool operand(const GemmCall& c, const void* data, int64_t lines, int64_t line, int64_t step,
             int64_t batch, int64_t outer, Operand* result) {
  const int64_t batches = batch == 0 ? 1 : c.batch, outers = outer == 0 ? 1 : c.outer;
  *result = {{data, {c.k, lines, batches, outers}, {line, batch, outer}, 0}, false};
  if ((step == 1 || c.k == 1) && (line >= c.k || lines == 1) && mappable(result->map)) return true;
  *result = {{data, {lines, c.k, batches, outers}, {step, batch, outer}, 0}, true};
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
Status run(ExecContext* ctx, const GemmCall& c, Operand a, Operand b, const GemmPlan& plan) {
  Work w;
  const Grid grid = work_for<T>(*ctx->device, c, plan, &w);
  a.map.box = a.mn ? kStep : T::kM;
  b.map.box = b.mn ? kStep : T::kN / w.cluster;
  CUtensorMap map_a, map_b;
  Status status = make_tensor_map(ctx->error, ctx->device, a.map, &map_a);
  if (status == Status::ok) status = make_tensor_map(ctx->error, ctx->device, b.map, &map_b);
  if (status != Status::ok) return status;
  for (int i = 0; i < 2; ++i) {
    w.a_moves[i] = a.map.sizes[2 + i] > 1;
    w.b_moves[i] = b.map.sizes[2 + i] > 1;
  }
  const auto kernel = a.mn ? (b.mn ? gemm_kernel<T, true, true> : gemm_kernel<T, true, false>)
                           : (b.mn ? gemm_kernel<T, false, true> : gemm_kernel<T, false, false>);
  return launch_product(ctx, c, kernel, grid, map_a, map_b, w,
                        partial_bytes_of<T>(*ctx->device, c, plan));
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
  return c.in == DType::float32 && c.out == DType::float32 && gemm_split_takes(device, c);
}

size_t gemm_hopper_scratch_bytes(const Device& device, const GemmCall& c) {
  return c.in == DType::float32 ? gemm_split_scratch_bytes(device, c)
                                : bfloat16_scratch_bytes(device, c) + parts_bytes(c);
}

Status gemm_hopper(ExecContext* ctx, const GemmCall& call) {
  return call.in == DType::float32 ? gemm_split(ctx, call) : run_bfloat16(ctx, call);
}

}  // namespace tg::cuda
