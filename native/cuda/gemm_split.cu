// float32 products through bfloat16 tensor cores: each operand is split into three bfloat16 planes,
// x = x0 + x1 + x2 but for 2⁻²⁷ of it, and the products of the six largest pairs of planes are
// summed (gemm_hopper.cuh). What is left out is below 2⁻²⁵ |a b| for each term: half of what
// rounding the term to float32 might cost. After Henry, Tang & Heinecke 2019 (bfloat16 planes) and
// Ootomo & Yokota 2022 (rounded sums outside the tensor cores).
#include "gemm_split.h"

#include "gemm_hopper.h"
#include "gemm_hopper_rewrite.cuh"

namespace tg::cuda {

using namespace hopper;

namespace {

using Planes = Tile<128, 128, 2, 3>;

// Rounded to bfloat16, this does not become infinite unless x is.
__device__ __forceinline__ float within_bf16(float x) {
  constexpr float kMost = 3.3895313892515355e38f, kLargest = 3.402823466e38f;
  return x > kMost && x <= kLargest ? kMost : x < -kMost && x >= -kLargest ? -kMost : x;
}

// Its planes: [3][count][lines][pitch].
__global__ void __launch_bounds__(kThreads) split_planes(const __grid_constant__ Rewrite r) {
  const int64_t plane = int64_t{r.count} * r.lines * r.pitch;
  rewrite<8>(r, [&](int64_t place, const float* values) {
    Vector<uint32_t, 4> planes[3];
#pragma unroll
    for (int pair = 0; pair < 4; ++pair) {
      float x = values[2 * pair], y = values[2 * pair + 1];
      planes[0].at[pair] = pack_bf16(within_bf16(x), within_bf16(y));
#pragma unroll
      for (int p = 1; p < 3; ++p) {
        // Exact, unless x is not finite; its plane 0 alone tells then.
        x -= __uint_as_float(planes[p - 1].at[pair] << 16);
        y -= __uint_as_float(planes[p - 1].at[pair] & 0xffff0000u);
        planes[p].at[pair] = pack_bf16(x, y);
      }
    }
    bf16* const to = static_cast<bf16*>(r.to) + place;
#pragma unroll
    for (int p = 0; p < 3; ++p) store(reinterpret_cast<uint32_t*>(to + p * plane), planes[p]);
  });
}

// An operand as lines of k values, and how many matrices of it differ.
struct Lines {
  const void* data;
  int64_t lines, line, step, batch, outer, count;
};
int64_t count_of(const GemmCall& c, int64_t batch, int64_t outer) {
  return batch == 0 && outer == 0 ? 1 : c.outer * c.batch;
}
Lines left(const GemmCall& c) {
  return {c.a, c.m, c.a_row, c.a_column, c.a_batch, c.a_outer, count_of(c, c.a_batch, c.a_outer)};
}
Lines right(const GemmCall& c) {
  return {c.b, c.n, c.b_column, c.b_row, c.b_batch, c.b_outer, count_of(c, c.b_batch, c.b_outer)};
}

int64_t pitch_of(const GemmCall& c) { return ceil_div(c.k, 8) * 8; }

int64_t planes_bytes(const GemmCall& c, const Lines& x) {
  return ceil_div(int64_t{2} * Planes::kPlanes * x.count * x.lines * pitch_of(c), 256) * 256;
}

// Splits an operand, and tells the copy engine of its planes.
Status prepare(ExecContext* ctx, const GemmCall& c, const Lines& x, void* to, int box,
               CUtensorMap* map) {
  const int64_t pitch = pitch_of(c);
  const Rewrite r = {static_cast<const float*>(x.data),
                     x.line,
                     x.step,
                     x.batch,
                     x.outer,
                     c.batch,
                     to,
                     static_cast<int>(x.lines),
                     static_cast<int>(c.k),
                     static_cast<int>(x.count),
                     pitch};
  const Status status = launch(ctx, split_planes, rewrite_grid(ctx, r), r);
  if (status != Status::ok) return status;
  const MapOf planes = {to,
                        {c.k, x.lines, x.count, Planes::kPlanes},
                        {pitch, x.lines * pitch, x.count * x.lines * pitch},
                        static_cast<uint32_t>(box)};
  return make_tensor_map(ctx->error, ctx->device, planes, map);
}

// Six products take six times as long.
constexpr double kRate = 2048 / 6.0 * 0.9;
constexpr GemmTile kTiles[] = {{Planes::kM, Planes::kN, kRate, Planes::kStep}};

int64_t partials_bytes(const Device& device, const GemmCall& c, const GemmPlan& plan) {
  return ceil_div(static_cast<int64_t>(partial_bytes_of<Planes>(device, c, plan)), 256) * 256;
}

size_t scratch_without_parts(const Device& device, const GemmCall& c) {
  return static_cast<size_t>(partials_bytes(device, c, plan_of(kTiles, device, c)) +
                             planes_bytes(c, left(c)) + planes_bytes(c, right(c)));
}

}  // namespace

// In cycles: planes are written and read, the tiles computed, and three kernels started instead
// of one; multiply-adds of float32 would take the rest.
bool gemm_split_takes(const Device& device, const GemmCall& c) {
  constexpr double kPerByte = 1 / 16.0, kPerMultiplyAdd = 1 / 110.0;  // of one multiprocessor
  constexpr double kStart = 8000, kMostBytes = 8e9;
  const GemmPlan plan = plan_of(kTiles, device, c);
  const double all = device.multiprocessors, products = static_cast<double>(c.outer * c.batch);
  const double m = static_cast<double>(c.m), n = static_cast<double>(c.n);
  const double k = static_cast<double>(c.k);
  const double elements =
      k * (m * static_cast<double>(left(c).count) + n * static_cast<double>(right(c).count));
  const double partials =
      plan.splits > 1 ? 8.0 * static_cast<double>(plan.splits) * products * m * n : 0;
  const int64_t blocks =
      ceil_div(c.m, Planes::kM) * ceil_div(c.n, Planes::kN) * plan.splits * (c.outer * c.batch);
  const double rounds = static_cast<double>(ceil_div(blocks, device.multiprocessors));
  const double tile = Planes::kM * Planes::kN * static_cast<double>(plan.chunk) / kRate;
  const double split = kStart + (16 * elements + partials) * kPerByte / all + rounds * tile;
  const double plain = products * m * n * k * kPerMultiplyAdd / all;
  return split < plain && 6 * elements + partials <= kMostBytes;
}

size_t gemm_split_scratch_bytes(const Device& device, const GemmCall& c) {
  return scratch_without_parts(device, c) + parts_bytes(c);
}

Status gemm_split(ExecContext* ctx, const GemmCall& c) {
  const GemmPlan plan = plan_of(kTiles, *ctx->device, c);
  ctx->trace.variant = plan.splits > 1 ? "wgmma bf16x6 split" : "wgmma bf16x6";
  Work w;
  const Grid grid = work_for<Planes>(*ctx->device, c, plan, &w);
  const Lines a = left(c), b = right(c);
  w.batch = static_cast<int>(c.outer * c.batch);  // planes have no outer axis
  w.a_moves[0] = a.count > 1;
  w.b_moves[0] = b.count > 1;
  char* const planes_a = static_cast<char*>(c.scratch) + partials_bytes(*ctx->device, c, plan);
  char* const planes_b = planes_a + planes_bytes(c, a);
  CUtensorMap map_a, map_b;
  Status status = prepare(ctx, c, a, planes_a, Planes::kM, &map_a);
  if (status == Status::ok) status = prepare(ctx, c, b, planes_b, Planes::kN / w.cluster, &map_b);
  if (status != Status::ok) return status;
  return launch_product(ctx, c, gemm_kernel<Planes, false, false>, grid, map_a, map_b, w,
                        scratch_without_parts(*ctx->device, c));
}

}  // namespace tg::cuda
