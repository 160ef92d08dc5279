// The second pass of products whose terms were divided among blocks, and that over sums of columns.
#include "gemm_columns.h"

namespace tg::cuda {

namespace {

template <class Acc>
__global__ void __launch_bounds__(kThreads)
    sum_partials(const Acc* partials, int64_t splits, int64_t products, int64_t m, int64_t n,
                 GemmResult result) {
  const int64_t quads = (n + 3) / 4, items = products * m * quads, step = products * m * n;
  const bool aligned = n % 4 == 0;
  for (int64_t i = first_item(); i < items; i += item_stride()) {
    const int64_t line = i / quads, column = i % quads * 4, z = line / m;
    const int count = static_cast<int>(n - column < 4 ? n - column : 4);
    const Acc* from = partials + line * n + column;
    Acc sums[4] = {};
    for (int64_t s = 0; s < splits; ++s, from += step) {
      const Vector<Acc, 4> v = load_some<4>(from, count, aligned);
#pragma unroll
      for (int j = 0; j < 4; ++j) sums[j] += v.at[j];
    }
    finish(result, place_of(z, result.batch, result.c_batch, result.c_outer), line % m, column,
           count, sums);
  }
}

template <class Acc>
Status run(ExecContext* ctx, const GemmCall& call, int64_t splits) {
  const int64_t products = call.outer * call.batch;
  return launch(ctx, sum_partials<Acc>, grid_for(ctx, products * call.m * ((call.n + 3) / 4)),
                static_cast<const Acc*>(call.scratch), splits, products, call.m, call.n,
                result_of(call));
}

constexpr int kColumnsAtOnce = 32;

__global__ void __launch_bounds__(kThreads)
    add_columns(GemmResult result, int64_t lines, int64_t n) {
  __shared__ double room[kThreads];
  add_parts<kThreads, kColumnsAtOnce, float>(result, lines, n, int64_t{blockIdx.x} * kColumnsAtOnce,
                                             room);
}

}  // namespace

Status finish_columns(ExecContext* ctx, const GemmCall& call, int64_t lines, void* parts) {
  GemmResult result = result_of(call);
  result.parts = parts;
  const auto blocks = static_cast<unsigned>((call.n + kColumnsAtOnce - 1) / kColumnsAtOnce);
  return launch(ctx, add_columns, Grid{dim3(blocks), dim3(kThreads)}, result, lines, call.n);
}

Status finish_partials(ExecContext* ctx, const GemmCall& call, int64_t splits) {
  return call.in == DType::float64 ? run<double>(ctx, call, splits) : run<float>(ctx, call, splits);
}

}  // namespace tg::cuda
