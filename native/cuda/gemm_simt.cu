// Products of float32 and float64 by fused multiply-adds: a block computes a tile of C, a thread 8
// x 8 (8 x 4, 4 x 4) of it. Pieces of A and B lie in shared memory with k outermost, whatever their
// strides, several steps ahead of the arithmetic.
#include <math.h>

#include "gemm_columns.h"
#include "ptx.h"

namespace tg::cuda {

namespace {

// How an operand comes into shared memory: pieces of 16 bytes along its lines (rows of A, columns
// of B), or single elements by threads that are neighbours along the lines or along k.
enum class Pieces : int { vectors, lines, terms };

template <class T>
struct Operand {
  const T* data;
  int64_t line, term;  // strides from line to line, and along k
  int64_t batch, outer;
  Pieces pieces;
};

template <class T>
struct TileArgs {
  Operand<T> a, b;
  int64_t m, n, k, chunk, products;
  T* partials;  // null if a block sums all terms
  GemmResult result;
};

// One thread's part in bringing an operand's next `step` terms of `lines` lines.
template <class T, int lines, int step, int threads>
struct Loader {
  static constexpr int width = 16 / sizeof(T);
  static constexpr int pitch = lines + width;  // spreads neighbours along k over the banks
  static constexpr int size = step * pitch;
  static constexpr int singles = lines * step / threads;
  static constexpr int vectors = singles / width;
  static_assert(vectors >= 1 && lines * step % (threads * width) == 0, "threads share evenly");
  static_assert(threads % (lines / width) == 0 || (lines / width) % threads == 0, "");
  static_assert(threads % lines == 0 || lines % threads == 0, "");

  const T* from;
  int64_t hop, advance;  // from copy to copy, and from step to step
  int left;              // lines in range from this thread's first on
  int term, slot;        // the first copy's place in the step and in shared memory
  Pieces pieces;

  __device__ __forceinline__ void start(const Operand<T>& x, int64_t product, int64_t first,
                                        int64_t end, int64_t first_term) {
    const int thread = static_cast<int>(threadIdx.x);
    pieces = x.pieces;
    const int along = pieces == Pieces::vectors ? lines / width : lines;
    int line;
    if (pieces == Pieces::terms) {
      term = thread % step;
      line = thread / step;
      hop = threads / step * x.line;
    } else {
      term = thread / along;
      line = thread % along * (pieces == Pieces::vectors ? width : 1);
      hop = threads / along * x.term;
    }
    from = x.data + product + (first + line) * x.line + (first_term + term) * x.term;
    const int64_t in_range = end - first - line;
    left = static_cast<int>(in_range < lines ? in_range : lines);
    advance = step * x.term;
    slot = term * pitch + line;
  }

  // Lines and terms (of which `terms` are left) out of range become zeros.
  __device__ __forceinline__ void bring(T* shared, int terms) {
    T* const to = shared + slot;
    if (pieces == Pieces::vectors) {
      constexpr int rows = threads / (lines / width);  // terms from copy to copy
      const int bytes = left >= width ? 16 : left > 0 ? left * static_cast<int>(sizeof(T)) : 0;
#pragma unroll
      for (int i = 0; i < vectors; ++i)
        cp_async<16>(to + i * rows * pitch, from + i * hop, term + i * rows < terms ? bytes : 0);
    } else if (pieces == Pieces::lines) {
      constexpr int rows = threads / lines;
#pragma unroll
      for (int i = 0; i < singles; ++i)
        cp_async<sizeof(T)>(to + i * rows * pitch, from + i * hop,
                            left > 0 && term + i * rows < terms ? sizeof(T) : 0);
    } else {
      constexpr int far = threads / step;  // lines from copy to copy
#pragma unroll
      for (int i = 0; i < singles; ++i)
        cp_async<sizeof(T)>(to + i * far, from + i * hop,
                            i * far < left && term < terms ? sizeof(T) : 0);
    }
    from += advance;
  }
};

template <class T, int bm, int bn, int tm, int tn, int step, int stages, int resident>
__global__ void __launch_bounds__(bm / tm * (bn / tn), resident) simt_tile(TileArgs<T> args) {
  constexpr int threads = bm / tm * (bn / tn);
  constexpr int width = 16 / sizeof(T);
  constexpr int groups_m = tm / width, groups_n = tn / width;  // a thread's pieces of its lines
  constexpr int apart_m = bm / groups_m, apart_n = bn / groups_n;
  using LoadA = Loader<T, bm, step, threads>;
  using LoadB = Loader<T, bn, step, threads>;
  constexpr int stage = LoadA::size + LoadB::size;
  constexpr int staged = apart_m * LoadB::pitch;  // finished sums on their way out
  __shared__ __align__(16) T shared[stages * stage > staged ? stages * stage : staged];

  // A warp covers 4 x 8 threads; lanes 2 i and 2 i + 1 read the same columns, which lets half a
  // warp read its 8 pieces of 16 bytes at once.
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  constexpr int warps_n = bn / tn / 8;
  const int y = (warp / warps_n * 4 + (lane & 1) + (lane >> 4) * 2) * width;
  const int x = (warp % warps_n * 8 + (lane >> 1) % 8) * width;

  const TilePlace tile = tile_place(args.m, args.n, bm, bn);
  const int64_t k0 = int64_t{blockIdx.y} * args.chunk;
  const int64_t terms = args.k - k0 < args.chunk ? args.k - k0 : args.chunk;

  for (int64_t z = blockIdx.z; z < args.products; z += gridDim.z) {
    LoadA a;
    LoadB b;
    a.start(args.a, place_of(z, args.result.batch, args.a.batch, args.a.outer),
            int64_t{tile.row} * bm, args.m, k0);
    b.start(args.b, place_of(z, args.result.batch, args.b.batch, args.b.outer),
            int64_t{tile.column} * bn, args.n, k0);
    const auto bring = [&](int slot, int64_t rest) {
      if (rest > 0) {
        const int some = rest < step ? static_cast<int>(rest) : step;
        a.bring(shared + slot * stage, some);
        b.bring(shared + slot * stage + LoadA::size, some);
      }
      cp_async_commit();
    };
    for (int s = 0; s < stages - 1; ++s) bring(s, terms - s * step);

    T sums[tm][tn] = {};
    int slot = 0;
    for (int64_t rest = terms; rest > 0; rest -= step) {
      cp_async_wait<stages - 2>();
      __syncthreads();
      bring(slot == 0 ? stages - 1 : slot - 1, rest - (stages - 1) * step);
      const T* const tile_a = shared + slot * stage + y;
      const T* const tile_b = shared + slot * stage + LoadA::size + x;
#pragma unroll
      for (int kk = 0; kk < step; ++kk) {
        Vector<T, width> left[groups_m], right[groups_n];
#pragma unroll
        for (int g = 0; g < groups_m; ++g)
          left[g] = load<width>(tile_a + kk * LoadA::pitch + g * apart_m);
#pragma unroll
        for (int g = 0; g < groups_n; ++g)
          right[g] = load<width>(tile_b + kk * LoadB::pitch + g * apart_n);
#pragma unroll
        for (int i = 0; i < tm; ++i)
#pragma unroll
          for (int j = 0; j < tn; ++j)
            sums[i][j] =
                ::fma(left[i / width].at[i % width], right[j / width].at[j % width], sums[i][j]);
      }
      slot = slot == stages - 1 ? 0 : slot + 1;
    }
    cp_async_wait<0>();

    const TilePlace here = {from_here(tile.row), from_here(tile.column)};
    // By way of shared memory, a group of rows at a time, so that whole rows are written.
    const int64_t product =
        place_of(z, args.result.batch, args.result.c_batch, args.result.c_outer);
    T* const partial =
        args.partials ? args.partials + (int64_t{blockIdx.y} * args.products + z) * args.m * args.n
                      : nullptr;
    ColumnSum<T, threads, bn> column_sum;
    for (int pass = 0; pass < groups_m; ++pass) {
      __syncthreads();
#pragma unroll
      for (int i = 0; i < tm; ++i)
        if (i / width == pass)
#pragma unroll
          for (int g = 0; g < groups_n; ++g) {
            Vector<T, width> v;
#pragma unroll
            for (int j = 0; j < width; ++j) v.at[j] = sums[i][g * width + j];
            store(shared + (y + i % width) * LoadB::pitch + g * apart_n + x, v);
          }
      __syncthreads();
#pragma unroll 1
      for (int at = from_here(thread); at < apart_m * bn / 4; at += threads) {
        const int line = at / (bn / 4), quad = at % (bn / 4) * 4;
        const int64_t row = int64_t{here.row} * bm + pass * apart_m + line;
        const int64_t column = int64_t{here.column} * bn + quad;
        if (row >= args.m || column >= args.n) continue;
        const int count = static_cast<int>(args.n - column < 4 ? args.n - column : 4);
        T out[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) out[j] = shared[line * LoadB::pitch + quad + j];
        if (partial) {
          T* const to = partial + row * args.n + column;
#pragma unroll
          for (int j = 0; j < 4; ++j)
            if (j < count) to[j] = out[j];
        } else {
          finish(args.result, product, row, column, count, out);
          if (!args.result.parts) continue;
#pragma unroll
          for (int j = 0; j < 4; ++j) shared[line * LoadB::pitch + quad + j] = out[j];
        }
      }
      if (args.result.parts)
        column_sum.add(shared, LoadB::pitch, apart_m, [&](int line) {
          return int64_t{here.row} * bm + pass * apart_m + line < args.m;
        });
    }
    if (args.result.parts)
      column_sum.finish(args.result, here, (args.m + bm - 1) / bm, args.n, shared);
    __syncthreads();
  }
}

constexpr GemmTile kFloatTiles[] = {
    {128, 128, 120, 8, 85}, {64, 64, 90, 8, 50}, {32, 32, 50, 16, 16}};
constexpr GemmTile kDoubleTiles[] = {{64, 64, 56, 8, 40}};

template <class T>
Operand<T> operand(const void* data, int64_t line, int64_t term, int64_t batch, int64_t outer) {
  constexpr int64_t width = 16 / sizeof(T);
  const bool aligned =
      aligned16(data) && term % width == 0 && batch % width == 0 && outer % width == 0;
  const Pieces pieces = line != 1 ? Pieces::terms : aligned ? Pieces::vectors : Pieces::lines;
  return {static_cast<const T*>(data), line, term, batch, outer, pieces};
}

template <class T, class Kernel>
Status start(ExecContext* ctx, const GemmCall& call, const GemmTile& tile, const GemmPlan& plan,
             Kernel kernel, unsigned threads) {
  TileArgs<T> args;
  args.a = operand<T>(call.a, call.a_row, call.a_column, call.a_batch, call.a_outer);
  args.b = operand<T>(call.b, call.b_column, call.b_row, call.b_batch, call.b_outer);
  args.m = call.m, args.n = call.n, args.k = call.k;
  args.chunk = plan.chunk;
  args.products = call.outer * call.batch;
  args.partials = plan.splits > 1 ? static_cast<T*>(call.scratch) : nullptr;
  args.result = result_of(call);
  sum_columns_of(*ctx->device, call, &args.result);
  const Grid grid = tile_grid(call, tile.m, tile.n, plan.splits, threads);
  TG_TRY(launch(ctx, kernel, grid, args));
  return plan.splits > 1 ? finish_partials(ctx, call, plan.splits) : Status::ok;
}

GemmPlan plan_of(const Device& device, const GemmCall& call) {
  const auto with = [&](const auto& tiles) {
    return plan_gemm(tiles, device.multiprocessors, call.m, call.n, call.k,
                     call.outer * call.batch);
  };
  return call.in == DType::float64 ? with(kDoubleTiles) : with(kFloatTiles);
}

}  // namespace

size_t gemm_simt_scratch_bytes(const Device& device, const GemmCall& call) {
  return partial_bytes(call, plan_of(device, call).splits) + parts_bytes(call);
}

bool gemm_simt_sums_columns(const Device& device, const GemmCall& call) {
  return tiles_sum_columns(call, plan_of(device, call));
}

Status gemm_simt(ExecContext* ctx, const GemmCall& given) {
  const GemmCall call = plain(given);
  const GemmPlan plan = plan_of(*ctx->device, call);
  if (call.in == DType::float64) {
    ctx->trace.variant = "gemm 64x64";
    return start<double>(ctx, call, kDoubleTiles[0], plan, simt_tile<double, 64, 64, 8, 4, 8, 3, 3>,
                         128);
  }
  const GemmTile& tile = kFloatTiles[plan.tile];
  switch (plan.tile) {
    case 0:
      ctx->trace.variant = "gemm 128x128";
      return start<float>(ctx, call, tile, plan, simt_tile<float, 128, 128, 8, 8, 8, 4, 2>, 256);
    case 1:
      ctx->trace.variant = "gemm 64x64";
      return start<float>(ctx, call, tile, plan, simt_tile<float, 64, 64, 8, 4, 8, 4, 4>, 128);
    default:
      ctx->trace.variant = "gemm 32x32";
      return start<float>(ctx, call, tile, plan, simt_tile<float, 32, 32, 4, 4, 16, 4, 8>, 64);
  }
}

}  // namespace tg::cuda
