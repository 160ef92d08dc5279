// What the two users of gemm_hopper.cuh share on the host: bfloat16 (gemm_hopper.cu) and float32 in
// three planes (gemm_split.cu).
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
  w->steps = static_cast<int>(ceil_div(c.k, kStep));
  w->split_steps = static_cast<int>(ceil_div(plan.chunk, kStep));
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

}  // namespace hopper
}  // namespace tg::cuda
