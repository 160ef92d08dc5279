// Products with a side of at most kSkinny: the other operand, X, passes by once, as fast as memory
// gives it; the few lines of the small one, Y, wait in shared memory. Lines are rows of A or
// columns of B, whichever operand that is.
#include <math.h>

#include "gemm_epilogue.h"
#include "gemm_plan.h"

namespace tg::cuda {

namespace {

constexpr int kWarps = kThreads / 32;

template <class T>
struct SkinnyArgs {
  const T *x, *y;
  int64_t x_line, x_term, x_batch, x_outer;
  int64_t y_line, y_term, y_batch, y_outer;
  int64_t lines, terms, chunk, products;
  int small;     // lines of Y
  bool swapped;  // X is A: its lines are C's rows
  bool aligned;  // X's contiguous runs begin at multiples of 16 bytes
  int64_t m, n;
  Compute<T>* partials;  // null if a block sums all terms
  GemmResult result;
};

// Line `j` of X times line `s` of Y.
template <class T>
__device__ __forceinline__ void put(const SkinnyArgs<T>& args, int64_t z, int64_t j, int s,
                                    Compute<T> sum) {
  if (j >= args.lines || s >= args.small) return;
  const int64_t row = args.swapped ? j : s, column = args.swapped ? s : j;
  if (args.partials) {
    args.partials[((blockIdx.y * args.products + z) * args.m + row) * args.n + column] = sum;
  } else {
    Compute<T> one[1] = {sum};
    finish(args.result, place_of(z, args.result.batch, args.result.c_batch, args.result.c_outer),
           row, column, 1, one);
  }
}

// X's terms are neighbours in memory: a warp sums `kLines` lines, its lanes along k.
constexpr int kLines = 4;
static_assert(kSkinny * kLines <= 32, "each lane puts one sum");

template <class T, int small>
__global__ void __launch_bounds__(kThreads, 2) skinny_dot(SkinnyArgs<T> args) {
  using Acc = Compute<T>;
  constexpr int width = kLanes<T>;
  constexpr int held = 4096 / static_cast<int>(sizeof(T));  // terms of each of Y's lines at a time
  __shared__ __align__(16) T y[small][held];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const int64_t first = (int64_t{blockIdx.x} * kWarps + thread / 32) * kLines;
  const int64_t begin = blockIdx.y * args.chunk;
  const int64_t end = args.terms - begin < args.chunk ? args.terms : begin + args.chunk;

  for (int64_t z = blockIdx.z; z < args.products; z += gridDim.z) {
    const T* const x = args.x + place_of(z, args.result.batch, args.x_batch, args.x_outer);
    const T* const from = args.y + place_of(z, args.result.batch, args.y_batch, args.y_outer);
    Acc sums[small][kLines] = {};
    for (int64_t k0 = begin; k0 < end; k0 += held) {
      const int terms = static_cast<int>(end - k0 < held ? end - k0 : held);
      __syncthreads();
      for (int s = 0; s < small; ++s)
        for (int k = thread; k < held; k += kThreads)
          y[s][k] = s < args.small && k < terms ? from[s * args.y_line + (k0 + k) * args.y_term]
                                                : narrow<T>(Acc(0));
      __syncthreads();
      for (int k = lane * width; k < terms; k += 32 * width) {
        Vector<T, width> piece[kLines];
#pragma unroll
        for (int i = 0; i < kLines; ++i) {
          const int64_t line = first + i < args.lines ? first + i : args.lines - 1;
          piece[i] = load_some<width>(x + line * args.x_line + k0 + k, terms - k,
                                      args.aligned && k + width <= terms);
        }
#pragma unroll
        for (int s = 0; s < small; ++s) {
          const Vector<T, width> few = load<width>(&y[s][k]);
#pragma unroll
          for (int v = 0; v < width; ++v)
#pragma unroll
            for (int i = 0; i < kLines; ++i)
              sums[s][i] = ::fma(widen(few.at[v]), widen(piece[i].at[v]), sums[s][i]);
        }
      }
    }
    Acc mine = 0;  // of line i and Y's line s, with lane = s kLines + i
#pragma unroll
    for (int s = 0; s < small; ++s)
#pragma unroll
      for (int i = 0; i < kLines; ++i) {
        Acc sum = sums[s][i];
#pragma unroll
        for (int far = 16; far > 0; far /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, far);
        if (lane == s * kLines + i) mine = sum;
      }
    put(args, z, first + lane % kLines, lane / kLines, mine);
  }
}

// X's lines are neighbours in memory (or nothing is): lanes along the lines, warps along k.
template <class T, int small>
__global__ void __launch_bounds__(kThreads, 2) skinny_axpy(SkinnyArgs<T> args) {
  using Acc = Compute<T>;
  constexpr int width = sizeof(T) == 8 ? 2 : 4;  // lines of a thread
  constexpr int across = 32 * width;
  constexpr int held = 256;  // terms of Y at a time
  constexpr int unroll = 4;
  __shared__ __align__(16) Acc shared[kWarps * small * across];
  static_assert(held <= kWarps * across, "the terms fit");
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int64_t first = int64_t{blockIdx.x} * across + lane * width;
  const int left = static_cast<int>(args.lines - first < width ? args.lines - first : width);
  const int64_t begin = blockIdx.y * args.chunk;
  const int64_t end = args.terms - begin < args.chunk ? args.terms : begin + args.chunk;
  const bool whole = args.aligned && left == width;

  for (int64_t z = blockIdx.z; z < args.products; z += gridDim.z) {
    const T* const x =
        args.x + place_of(z, args.result.batch, args.x_batch, args.x_outer) + first * args.x_line;
    const T* const from = args.y + place_of(z, args.result.batch, args.y_batch, args.y_outer);
    Acc sums[small][width] = {};
    for (int64_t k0 = begin; k0 < end; k0 += held) {
      const int terms = static_cast<int>(end - k0 < held ? end - k0 : held);
      __syncthreads();
      for (int i = thread; i < held * small; i += kThreads) {
        const int k = i / small, s = i % small;
        shared[i] = s < args.small && k < terms
                        ? widen(from[s * args.y_line + (k0 + k) * args.y_term])
                        : Acc(0);
      }
      __syncthreads();
      for (int k = warp; k < terms; k += unroll * kWarps) {
        Vector<T, width> piece[unroll];
#pragma unroll
        for (int u = 0; u < unroll; ++u) {
          const bool there = k + u * kWarps < terms;
          const T* const at = x + (k0 + k + u * kWarps) * args.x_term;
          piece[u] = {};
          if (there && whole) piece[u] = load<width>(at);
          if (there && !whole) {
#pragma unroll
            for (int v = 0; v < width; ++v)
              if (v < left) piece[u].at[v] = at[v * args.x_line];
          }
        }
#pragma unroll
        for (int u = 0; u < unroll; ++u) {
          if (k + u * kWarps >= terms) break;
          const Vector<Acc, small> few = load<small>(&shared[(k + u * kWarps) * small]);
#pragma unroll
          for (int s = 0; s < small; ++s)
#pragma unroll
            for (int v = 0; v < width; ++v)
              sums[s][v] = ::fma(few.at[s], widen(piece[u].at[v]), sums[s][v]);
        }
      }
    }
    __syncthreads();
#pragma unroll
    for (int s = 0; s < small; ++s)
#pragma unroll
      for (int v = 0; v < width; ++v)
        shared[(warp * small + s) * across + lane * width + v] = sums[s][v];
    __syncthreads();
    for (int i = thread; i < small * across; i += kThreads) {
      Acc sum = 0;
      for (int w = 0; w < kWarps; ++w) sum += shared[w * small * across + i];
      put(args, z, int64_t{blockIdx.x} * across + i % across, i / across, sum);
    }
  }
}

// The larger operand is X.
bool swapped(const GemmCall& call) { return call.n <= call.m; }
bool contiguous_terms(const GemmCall& call) {
  return (swapped(call) ? call.a_column : call.b_row) == 1;
}

struct SkinnyPlan {
  int64_t blocks, splits, chunk;
};

// Some blocks for each multiprocessor, of at least so many terms that a second pass pays.
SkinnyPlan plan_of(const Device& device, const GemmCall& call) {
  const bool dots = contiguous_terms(call);
  const int64_t lines = swapped(call) ? call.m : call.n, products = call.outer * call.batch;
  const int64_t at_once = dots ? kWarps * kLines : call.in == DType::float64 ? 64 : 128;
  const int64_t least = dots ? 1024 : 256;
  const int64_t blocks = ceil_div(lines, at_once);
  const int64_t room = int64_t{4} * device.multiprocessors / (blocks * products);
  const int64_t most = call.k / least < room ? call.k / least : room;
  const int64_t wanted = most < 1 ? 1 : most < 256 ? most : 256;
  const int64_t chunk = ceil_div(ceil_div(call.k, wanted), least) * least;
  return {blocks, chunk > 0 ? ceil_div(call.k, chunk) : 1, chunk};
}

template <class T, int small>
Status start(ExecContext* ctx, const GemmCall& call) {
  const SkinnyPlan plan = plan_of(*ctx->device, call);
  const bool turned = swapped(call), dots = contiguous_terms(call);
  const T *const a = static_cast<const T*>(call.a), *const b = static_cast<const T*>(call.b);
  SkinnyArgs<T> args;
  if (turned) {
    args.x = a, args.y = b;
    args.x_line = call.a_row, args.x_term = call.a_column;
    args.x_batch = call.a_batch, args.x_outer = call.a_outer;
    args.y_line = call.b_column, args.y_term = call.b_row;
    args.y_batch = call.b_batch, args.y_outer = call.b_outer;
  } else {
    args.x = b, args.y = a;
    args.x_line = call.b_column, args.x_term = call.b_row;
    args.x_batch = call.b_batch, args.x_outer = call.b_outer;
    args.y_line = call.a_row, args.y_term = call.a_column;
    args.y_batch = call.a_batch, args.y_outer = call.a_outer;
  }
  args.swapped = turned;
  args.lines = turned ? call.m : call.n;
  args.small = static_cast<int>(turned ? call.n : call.m);
  args.terms = call.k;
  args.chunk = plan.chunk;
  args.products = call.outer * call.batch;
  args.m = call.m, args.n = call.n;
  args.partials = plan.splits > 1 ? static_cast<Compute<T>*>(call.scratch) : nullptr;
  args.result = result_of(call);
  constexpr int64_t width = kLanes<T>;
  args.aligned = aligned16(args.x) && (dots ? args.x_line : args.x_term) % width == 0 &&
                 (dots ? args.x_term : args.x_line) == 1 && args.x_batch % width == 0 &&
                 args.x_outer % width == 0;
  const Grid grid{dim3(static_cast<unsigned>(plan.blocks), static_cast<unsigned>(plan.splits),
                       static_cast<unsigned>(args.products < 65535 ? args.products : 65535)),
                  dim3(kThreads)};
  TG_TRY(launch(ctx, dots ? skinny_dot<T, small> : skinny_axpy<T, small>, grid, args));
  return plan.splits > 1 ? finish_partials(ctx, call, plan.splits) : Status::ok;
}

template <class T>
Status start(ExecContext* ctx, const GemmCall& call) {
  const int64_t small = swapped(call) ? call.n : call.m;
  if (small == 1) return start<T, 1>(ctx, call);
  return small <= 4 ? start<T, 4>(ctx, call) : start<T, 8>(ctx, call);
}

}  // namespace

size_t gemm_skinny_scratch_bytes(const Device& device, const GemmCall& call) {
  return partial_bytes(call, plan_of(device, plain(call)).splits);
}

Status gemm_skinny(ExecContext* ctx, const GemmCall& given) {
  const GemmCall call = plain(given);
  ctx->trace.variant = "skinny gemm";
  switch (call.in) {
    case DType::float64:
      return start<double>(ctx, call);
    case DType::bfloat16:
      return start<bf16>(ctx, call);
    default:
      return start<float>(ctx, call);
  }
}

}  // namespace tg::cuda
