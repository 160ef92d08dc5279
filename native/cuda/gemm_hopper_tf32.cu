// float32 products in tf32 by warpgroups, for compute capability 9.0. The copy engine rounds
// factors to tf32 as it brings them. wgmma takes K-major tf32 alone: an operand that is not, or
// that the engine cannot read, is written anew along k first.
#include "gemm_hopper_tf32.h"

#include "gemm_hopper.h"
#include "gemm_hopper_rewrite.cuh"

namespace tg::cuda {

using namespace hopper;

namespace {

using Large = Tile<128, 256, 4, 1, Kind::tf32>;
using Middle = Tile<128, 128, 6, 1, Kind::tf32>;
using Slim = Tile<64, 128, 8, 1, Kind::tf32>;

// A step takes as long as one of bfloat16, which has twice as many terms.
constexpr GemmTile kTiles[] = {{Large::kM, Large::kN, 950, Large::kStep},
                               {Middle::kM, Middle::kN, 650, Middle::kStep},
                               {Slim::kM, Slim::kN, 375, Slim::kStep}};

int64_t whole(int64_t bytes) { return ceil_div(bytes, 256) * 256; }

constexpr int64_t kMostBytes = int64_t{8} << 30;  // of scratch

// An operand, and what has to be done before the copy engine can read it.
struct Source {
  Operand operand;
  bool rewritten;
  int64_t bytes;    // of scratch; if more than kMostBytes, `rewrite` says nothing
  Rewrite rewrite;  // but for `to`
};

Source source(const GemmCall& c, const void* data, int64_t lines, int64_t line, int64_t step,
              int64_t batch, int64_t outer) {
  Source s = {};
  if (along_k(c, data, lines, line, step, batch, outer, &s.operand)) return s;
  const int64_t pitch = ceil_div(c.k, 4) * 4, matrix = lines * pitch;
  const int64_t batches = s.operand.map.sizes[2], outers = s.operand.map.sizes[3];
  s.rewritten = true;
  s.bytes = kMostBytes + 1;
  if (matrix > kMostBytes / (4 * batches * outers)) return s;
  s.bytes = whole(batches * outers * matrix * int64_t{sizeof(float)});
  s.operand.map.strides[0] = pitch;
  s.operand.map.strides[1] = matrix;
  s.operand.map.strides[2] = batches * matrix;
  s.rewrite = {static_cast<const float*>(data),
               line,
               step,
               batch,
               outer,
               batches,
               nullptr,
               static_cast<int>(lines),
               static_cast<int>(c.k),
               static_cast<int>(batches * outers),
               pitch};
  return s;
}
Source left(const GemmCall& c) {
  return source(c, c.a, c.m, c.a_row, c.a_column, c.a_batch, c.a_outer);
}
Source right(const GemmCall& c) {
  return source(c, c.b, c.n, c.b_column, c.b_row, c.b_batch, c.b_outer);
}

__global__ void __launch_bounds__(kThreads) write_along_k(const __grid_constant__ Rewrite r) {
  rewrite<4>(r, [&](int64_t place, const float* values) {
    store(static_cast<float*>(r.to) + place,
          Vector<float, 4>{{values[0], values[1], values[2], values[3]}});
  });
}

// Takes its scratch from `memory` on.
Status prepare(ExecContext* ctx, Source* s, char** memory) {
  if (!s->rewritten) return Status::ok;
  s->rewrite.to = *memory;
  s->operand.map.data = *memory;
  *memory += s->bytes;
  return launch(ctx, write_along_k, rewrite_grid(ctx, s->rewrite), s->rewrite);
}

int64_t partials_bytes(const Device& device, const GemmCall& c, const GemmPlan& plan) {
  return whole(static_cast<int64_t>(plan.tile == 0   ? partial_bytes_of<Large>(device, c, plan)
                                    : plan.tile == 1 ? partial_bytes_of<Middle>(device, c, plan)
                                                     : partial_bytes_of<Slim>(device, c, plan)));
}

size_t scratch_without_parts(const Device& device, const GemmCall& c) {
  return static_cast<size_t>(partials_bytes(device, c, plan_of(kTiles, device, c)) + left(c).bytes +
                             right(c).bytes);
}

template <class T>
Status run(ExecContext* ctx, const GemmCall& c, const GemmPlan& plan, const Source& a,
           const Source& b) {
  return start<T>(ctx, c, plan, a.operand, b.operand, gemm_kernel<T, false, false>,
                  scratch_without_parts(*ctx->device, c));
}

}  // namespace

// In cycles: operands are read and written, each by a kernel that has to be started, and the tiles
// computed.
bool gemm_hopper_tf32_takes(const Device& device, const GemmCall& c) {
  constexpr double kPass = 4000, kPerByte = 1 / 16.0;  // the latter of one multiprocessor
  const GemmPlan plan = plan_of(kTiles, device, c);
  const Source sources[] = {left(c), right(c)};
  int64_t bytes = partials_bytes(device, c, plan);
  double cycles = plan.cycles;
  for (const Source& s : sources) {
    bytes += s.bytes;
    if (s.rewritten)
      cycles += kPass + 2.0 * static_cast<double>(s.bytes) * kPerByte / device.multiprocessors;
  }
  return bytes <= kMostBytes && cycles < gemm_mma_cycles(device, c);
}

size_t gemm_hopper_tf32_scratch_bytes(const Device& device, const GemmCall& c) {
  return scratch_without_parts(device, c) + parts_bytes(c);
}

Status gemm_hopper_tf32(ExecContext* ctx, const GemmCall& c) {
  const GemmPlan plan = plan_of(kTiles, *ctx->device, c);
  const bool split = plan.splits > 1;
  Source a = left(c), b = right(c);
  char* memory = static_cast<char*>(c.scratch) + partials_bytes(*ctx->device, c, plan);
  TG_TRY(prepare(ctx, &a, &memory));
  TG_TRY(prepare(ctx, &b, &memory));
  switch (plan.tile) {
    case 0:
      ctx->trace.variant = split ? "wgmma tf32 128x256 split" : "wgmma tf32 128x256";
      return run<Large>(ctx, c, plan, a, b);
    case 1:
      ctx->trace.variant = split ? "wgmma tf32 128x128 split" : "wgmma tf32 128x128";
      return run<Middle>(ctx, c, plan, a, b);
    default:
      ctx->trace.variant = split ? "wgmma tf32 64x128 split" : "wgmma tf32 64x128";
      return run<Slim>(ctx, c, plan, a, b);
  }
}

}  // namespace tg::cuda
