// What the users of gemm_hopper.cuh share on the host: bfloat16 (gemm_hopper.cu), float32 in three
// planes (gemm_split.cu) and in tf32 (gemm_hopper_tf32.cu).
#pragma once

#include "gemm_hopper.cuh"
#include "gemm_plan.h"
#include "tensor_map.h"

namespace tg::cuda {

namespace hopper {

template <int N>
GemmPlan plan_of(const GemmTile (&tiles)[N], const Device& device, const GemmCall& c) {
  return plan_gemm(tiles, device.multiprocessors, c.m, c.n, c.k, c.outer * c.batch);
}

// All of Work but a_moves and b_moves, and the grid. Partial sums come first in scratch.
template <class T>
Grid work_for(const Device& device, const GemmCall& c, const GemmPlan& plan, Work* w) {
  *w = {};
  w->m = static_cast<int>(c.m);
  w->n = static_cast<int>(c.n);
  w->steps = static_cast<int>(ceil_div(c.k, T::kStep));
  w->split_steps = static_cast<int>(ceil_div(plan.chunk, T::kStep));
  w->splits = static_cast<int>(plan.splits);
  w->batch = static_cast<int>(c.batch);
  // Two tiles below each other share what they fetch of B; an odd one out of many costs little.
  const int64_t high = ceil_div(c.m, T::kM);
  w->cluster = T::kM == 128 && (high % 2 == 0 || high > 8) && device.multiprocessors > 1 ? 2 : 1;
  w->tiles_m = static_cast<int>(ceil_div(high, w->cluster));
  w->tiles_n = static_cast<int>(ceil_div(c.n, T::kN));
  w->tiles = static_cast<int>(w->tiles_m * w->cluster * w->tiles_n * c.batch * c.outer);
  if (w->tiles > Device::kArrivals / kWarps) w->splits = 1, w->split_steps = w->steps;
  w->units = w->tiles / w->cluster * w->splits;
  w->partial = static_cast<float*>(c.scratch);
  w->arrivals = device.arrivals;
  w->rounded = rounds_early(c);
  const int most = device.multiprocessors / w->cluster;
  const auto clusters = static_cast<unsigned>(w->units < most ? w->units : most);
  return {dim3(clusters * w->cluster), dim3(kBlock), T::kShared, static_cast<unsigned>(w->cluster)};
}

template <class T>
size_t partial_bytes_of(const Device& device, const GemmCall& c, const GemmPlan& plan) {
  Work w;
  (void)work_for<T>(device, c, plan, &w);
  return w.splits > 1 ? sizeof(float) * static_cast<size_t>(w.splits) * w.tiles * T::kM * T::kN : 0;
}

// How the copy engine finds an operand of `lines` lines (of A) or columns (of B) by k values.
struct Operand {
  MapOf map;
  bool mn;  // lines are contiguous instead of k
};

// K-major, if it lies like that in memory and the engine can read it.
inline bool along_k(const GemmCall& c, const void* data, int64_t lines, int64_t line, int64_t step,
                    int64_t batch, int64_t outer, Operand* result) {
  const int64_t batches = batch == 0 ? 1 : c.batch, outers = outer == 0 ? 1 : c.outer;
  *result = {{data, {c.k, lines, batches, outers}, {line, batch, outer}, 0, c.in}, false};
  return (step == 1 || c.k == 1) && (line >= c.k || lines == 1) && mappable(result->map);
}

// Has the kernel leave parts of column sums at `parts` in scratch, if they are wanted, and adds
// them up after it.
template <class Kernel>
Status launch_product(ExecContext* ctx, const GemmCall& c, Kernel kernel, const Grid& grid,
                      const CUtensorMap& map_a, const CUtensorMap& map_b, const Work& w,
                      size_t parts) {
  GemmResult result = result_of(c);
  result.parts = parts_of(c, parts);
  TG_TRY(launch(ctx, kernel, grid, map_a, map_b, w, result));
  return result.parts ? finish_columns(ctx, c, ceil_div(c.m, kPartRows), result.parts) : Status::ok;
}

// Launches a kernel of tile T; `parts` as above.
template <class T, class Kernel>
Status start(ExecContext* ctx, const GemmCall& c, const GemmPlan& plan, Operand a, Operand b,
             Kernel kernel, size_t parts) {
  Work w;
  const Grid grid = work_for<T>(*ctx->device, c, plan, &w);
  a.map.box = a.mn ? T::kStep : T::kM;
  b.map.box = b.mn ? T::kStep : T::kN / w.cluster;
  CUtensorMap map_a, map_b;
  Status status = make_tensor_map(ctx->error, ctx->device, a.map, &map_a);
  if (status == Status::ok) status = make_tensor_map(ctx->error, ctx->device, b.map, &map_b);
  if (status != Status::ok) return status;
  for (int i = 0; i < 2; ++i) {
    w.a_moves[i] = a.map.sizes[2 + i] > 1;
    w.b_moves[i] = b.map.sizes[2 + i] > 1;
  }
  return launch_product(ctx, c, kernel, grid, map_a, map_b, w, parts);
}

}  // namespace hopper
}  // namespace tg::cuda
