// Products with float32 sums by warp-wide matrix instructions (sm_80), for operands of any strides,
// as one template: of bfloat16 (gemm_mma.cu), and of float32 rounded to tf32 (gemm_mma_tf32.cu).
//
// A step's terms of an operand lie in shared memory as they do in device memory: lines (rows of A,
// columns of B) of 64 bytes of terms, or a row for each term with as many lines as the tile has.
// The 16-byte pieces of a row are permuted so that 8 rows' pieces of one column, which ldmatrix
// reads, lie in different banks. What ldmatrix cannot do is to transpose float32: a warp reads
// words then, 8 of each of 4 rows, which are padded to that end.
#pragma once

#include <type_traits>

#include "gemm_columns.h"
#include "ptx.h"

namespace tg::cuda {

namespace mma {

template <class T>
constexpr int kStep = 64 / static_cast<int>(sizeof(T));  // terms
template <class T>
constexpr int kDepth = 2 * kLanes<T>;  // terms of an instruction
template <class T>
constexpr int kWord = 4 / static_cast<int>(sizeof(T));  // elements of the least asynchronous copy
constexpr int kAnyPiece = 64;  // the tile that can be brought by smaller pieces than 16 bytes
constexpr int kStages = 3;     // steps in shared memory

// D[16, 8] += A[16, kDepth] B[kDepth, 8]; fragments as ptx.h has them.
template <class T>
__device__ __forceinline__ void multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                         uint32_t b1) {
  if constexpr (sizeof(T) == 4)
    mma_tf32(d, a, b0, b1);
  else
    mma_bf16(d, a, b0, b1);
}

template <class T>
struct Operand {
  const T* data;
  int64_t line, term;  // strides from line to line, and along k
  int64_t batch, outer;
  int piece;  // elements that can be copied at once: kLanes<T>, kWord<T> or 1
};

template <class T>
struct MmaArgs {
  Operand<T> a, b;
  int64_t m, n, k, chunk, products;
  float* partials;  // null if a block sums all terms
  GemmResult result;
};

// How an operand's part of a step lies in shared memory: what rows are padded by instead of being
// permuted, a row with that, and the whole, in elements.
template <class T, bool along_lines>
constexpr int kPad = along_lines && sizeof(T) == 4 ? 8 : 0;
template <class T, int lines, bool along_lines>
constexpr int kPitch = kPad<T, along_lines> + (along_lines ? lines : kStep<T>);
template <class T, int lines, bool along_lines>
constexpr int kSize = (along_lines ? kStep<T> : lines) * kPitch<T, lines, along_lines>;

// An operand's part of a step in shared memory, and a thread's part in bringing it there.
template <class T, int lines, bool along_lines, int threads, bool any_piece>
struct Tile {
  static constexpr int per = kLanes<T>;  // elements of 16 bytes
  static constexpr int columns = along_lines ? lines : kStep<T>;
  static constexpr int pitch = kPitch<T, lines, along_lines>;

  static __device__ __forceinline__ int slot(int row, int column) {
    if constexpr (kPad < T, along_lines >> 0) return row * pitch + column;
    const int permuted = column / per ^ (along_lines ? row & 7 : row >> 1 & 3);
    return row * pitch + permuted * per + column % per;
  }

  const T* from;
  int64_t hop, advance;  // from row to row, and from step to step
  int left;              // lines in range
  int piece;

  __device__ __forceinline__ void start(const Operand<T>& x, int64_t product, int64_t first,
                                        int64_t end, int64_t first_term) {
    piece = any_piece ? x.piece : per;
    const int64_t column = static_cast<int>(threadIdx.x) % (columns / piece) * piece;
    from = x.data + product + first * x.line + first_term * x.term +
           column * (along_lines ? x.line : x.term);
    hop = along_lines ? x.term : x.line;
    advance = kStep<T> * x.term;
    left = static_cast<int>(end - first < lines ? end - first : lines);
  }

  // Lines and terms (of which `terms` are left) out of range become zeros.
  template <int width>
  __device__ __forceinline__ void bring_pieces(T* shared, int terms) {
    constexpr int all = lines * kStep<T>;
    constexpr int across = columns / width, apart = threads / across,
                  copies = all / width / threads;
    static_assert(threads % across == 0 && copies * width * threads == all, "threads share evenly");
    const int row = static_cast<int>(threadIdx.x) / across;
    const int column = static_cast<int>(threadIdx.x) % across * width;
    const int rows = along_lines ? terms : left, wide = (along_lines ? left : terms) - column;
    const int some = wide < width ? wide < 0 ? 0 : wide : width;
    constexpr int bytes = width * static_cast<int>(sizeof(T)), each = static_cast<int>(sizeof(T));
    if constexpr (bytes == 16) {
#pragma unroll
      for (int i = 0; i < copies; ++i)
        cp_async<16>(shared + slot(row + i * apart, column), from + (row + i * apart) * hop,
                     row + i * apart < rows ? each * some : 0);
    } else if constexpr (bytes == 4) {
#pragma unroll 1  // saves registers
      for (int i = 0; i < copies; ++i)
        cp_async<4>(shared + slot(row + i * apart, column), from + (row + i * apart) * hop,
                    row + i * apart < rows ? each * some : 0);
    } else {  // too small for asynchronous copies
      constexpr int at_once = 4;
#pragma unroll 1
      for (int i = 0; i < copies; i += at_once) {
        T held[at_once];
#pragma unroll
        for (int u = 0; u < at_once; ++u)
          held[u] =
              row + (i + u) * apart < rows && some ? from[(row + (i + u) * apart) * hop] : T{0};
#pragma unroll
        for (int u = 0; u < at_once; ++u) shared[slot(row + (i + u) * apart, column)] = held[u];
      }
    }
  }
  __device__ __forceinline__ void bring(T* shared, int terms) {
    if (!any_piece || piece == per)
      bring_pieces<per>(shared, terms);
    else if (piece == kWord<T>)
      bring_pieces<kWord<T>>(shared, terms);
    else
      bring_pieces<1>(shared, terms);
    from += advance;
  }

  // 16 lines' kDepth terms from there on as four matrices of 8 lines: the lines' halves one after
  // the other within a half of the terms, or (`terms_first`) the other way round.
  template <bool terms_first>
  static __device__ __forceinline__ void matrices(uint32_t (&d)[4], const T* shared, int line,
                                                  int term) {
    const int lane = static_cast<int>(threadIdx.x) % 32, low = lane >> 3 & 1, high = lane >> 4;
    if constexpr (along_lines && sizeof(T) == 4) {  // what ldmatrix cannot transpose
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int later_line = (terms_first ? i / 2 : i % 2) * 8;
        const int later_term = (terms_first ? i % 2 : i / 2) * per;
        d[i] = __float_as_uint(
            shared[slot(term + later_term + lane % 4, line + later_line + lane / 4)]);
      }
    } else {
      line += (terms_first ? high : low) * 8;
      term += (terms_first ? low : high) * per;
      if constexpr (along_lines)
        ldmatrix_transposed(d, shared + slot(term + lane % 8, line));
      else
        ldmatrix(d, shared + slot(line + lane % 8, term));
    }
    if constexpr (sizeof(T) == 4)
#pragma unroll
      for (uint32_t& x : d) x = round_tf32(__uint_as_float(x));
  }
};

// f(n) with n as a constant, for an n of 0 … count - 1.
template <int count, class F>
__device__ __forceinline__ void nth(int n, F&& f) {
  if constexpr (count > 0) {
    if (n == count - 1)
      f(std::integral_constant<int, count - 1>());
    else
      nth<count - 1>(n, f);
  }
}

template <class T, int bm, int bn, int warps_m, int warps_n, bool a_lines, bool b_lines>
__global__ void __launch_bounds__(warps_m* warps_n * 32, 2) mma_tile(MmaArgs<T> args) {
  constexpr int threads = warps_m * warps_n * 32;
  constexpr int tall = bm / warps_m / 16, wide = bn / warps_n / 16;  // a warp's 16 x 16 pieces
  constexpr bool any_piece = bm <= kAnyPiece;
  using TileA = Tile<T, bm, a_lines, threads, any_piece>;
  using TileB = Tile<T, bn, b_lines, threads, any_piece>;
  constexpr int size_a = kSize<T, bm, a_lines>, stage = size_a + kSize<T, bn, b_lines>;
  constexpr int pitch = bn + 8;  // of finished sums on their way out, in floats
  constexpr int out_rows = warps_m * 16;
  static_assert(kStages * stage * sizeof(T) >= out_rows * pitch * 4, "finished sums fit");
  T* const shared = dynamic_shared<T>();

  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int warp_row = warp / warps_n, warp_column = warp % warps_n;
  const TilePlace tile = tile_place(args.m, args.n, bm, bn);
  const int64_t k0 = int64_t{blockIdx.y} * args.chunk;
  const int64_t terms = args.k - k0 < args.chunk ? args.k - k0 : args.chunk;

  for (int64_t z = blockIdx.z; z < args.products; z += gridDim.z) {
    TileA a;
    TileB b;
    a.start(args.a, place_of(z, args.result.batch, args.a.batch, args.a.outer),
            int64_t{tile.row} * bm, args.m, k0);
    b.start(args.b, place_of(z, args.result.batch, args.b.batch, args.b.outer),
            int64_t{tile.column} * bn, args.n, k0);
    const auto bring = [&](int slot, int64_t rest) {
      if (rest > 0) {
        const int some = rest < kStep<T> ? static_cast<int>(rest) : kStep<T>;
        a.bring(shared + slot * stage, some);
        b.bring(shared + slot * stage + size_a, some);
      }
      cp_async_commit();
    };
#pragma unroll 1
    for (int s = 0; s < kStages - 1; ++s) bring(s, terms - s * kStep<T>);

    float sums[tall][2 * wide][4] = {};
    int slot = 0;
    for (int64_t rest = terms; rest > 0; rest -= kStep<T>) {
      cp_async_wait<kStages - 2>();
      __syncthreads();
      bring(slot == 0 ? kStages - 1 : slot - 1, rest - (kStages - 1) * kStep<T>);
      const T* const tile_a = shared + slot * stage;
      const T* const tile_b = tile_a + size_a;
#pragma unroll
      for (int kk = 0; kk < kStep<T>; kk += kDepth<T>) {
        uint32_t left[tall][4], right[wide][4];
#pragma unroll
        for (int i = 0; i < tall; ++i)
          TileA::template matrices<false>(left[i], tile_a, (warp_row * tall + i) * 16, kk);
#pragma unroll
        for (int j = 0; j < wide; ++j)
          TileB::template matrices<true>(right[j], tile_b, (warp_column * wide + j) * 16, kk);
#pragma unroll
        for (int i = 0; i < tall; ++i)
#pragma unroll
          for (int j = 0; j < 2 * wide; ++j)
            multiply<T>(sums[i][j], left[i], right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]);
      }
      slot = slot == kStages - 1 ? 0 : slot + 1;
    }
    cp_async_wait<0>();

    const TilePlace here = {from_here(tile.row), from_here(tile.column)};
    // By way of shared memory, 16 rows of each warp at a time, so that whole rows are written.
    float* const staged = reinterpret_cast<float*>(shared);
    const int64_t product =
        place_of(z, args.result.batch, args.result.c_batch, args.result.c_outer);
    float* const partial =
        args.partials ? args.partials + (int64_t{blockIdx.y} * args.products + z) * args.m * args.n
                      : nullptr;
    ColumnSum<float, threads, bn> column_sum;
    const auto row_of = [&](int line, int pass) {
      return int64_t{here.row} * bm + (line / 16 * tall + pass) * 16 + line % 16;
    };
#pragma unroll 1  // much code
    for (int pass = 0; pass < tall; ++pass) {
      __syncthreads();
      float* const corner = staged + (from_here(warp_row) * 16 + from_here(lane) / 4) * pitch +
                            warp_column * wide * 16 + lane % 4 * 2;
      nth<tall>(pass, [&](auto i) {  // registers have no run-time index
#pragma unroll
        for (int j = 0; j < 2 * wide; ++j)
#pragma unroll
          for (int half = 0; half < 2; ++half)
            store(corner + half * 8 * pitch + j * 8,
                  Vector<float, 2>{{sums[i][j][half * 2], sums[i][j][half * 2 + 1]}});
      });
      __syncthreads();
#pragma unroll 1
      for (int at = from_here(thread); at < out_rows * bn / 4; at += threads) {
        const int line = at / (bn / 4), quad = at % (bn / 4) * 4;
        const int64_t row = row_of(line, pass);
        const int64_t column = int64_t{here.column} * bn + quad;
        if (row >= args.m || column >= args.n) continue;
        const int count = static_cast<int>(args.n - column < 4 ? args.n - column : 4);
        Vector<float, 4> out = load<4>(staged + line * pitch + quad);
        if (partial) {
          float* const to = partial + row * args.n + column;
#pragma unroll
          for (int j = 0; j < 4; ++j)
            if (j < count) to[j] = out.at[j];
        } else {
          finish(args.result, product, row, column, count, out.at);
          if (args.result.parts) store(staged + line * pitch + quad, out);
        }
      }
      if (args.result.parts)
        column_sum.add(staged, pitch, out_rows,
                       [&](int line) { return row_of(line, pass) < args.m; });
    }
    if (args.result.parts)
      column_sum.finish(args.result, here, (args.m + bm - 1) / bm, args.n, shared);
    __syncthreads();
  }
}

// On tensor cores a term of float32 takes twice as long as one of bfloat16.
template <class T>
constexpr double kRate = 2.0 / sizeof(T);
template <class T>
constexpr GemmTile kTiles[] = {{128, 128, 900 * kRate<T>, kStep<T>, 600 * kRate<T>},
                               {64, 64, 500 * kRate<T>, kStep<T>, 220 * kRate<T>}};
template <class T>
constexpr GemmTile kTileOfAnyPiece[] = {kTiles<T>[1]};

template <class T>
Operand<T> operand(const void* data, int64_t line, int64_t term, int64_t batch, int64_t outer) {
  const int64_t across = line == 1 ? term : line;  // the stride that is not 1
  const auto fits = [&](int64_t piece) {
    return reinterpret_cast<uintptr_t>(data) % (sizeof(T) * piece) == 0 && across % piece == 0 &&
           batch % piece == 0 && outer % piece == 0;
  };
  const bool dense = line == 1 || term == 1;
  return {static_cast<const T*>(data),
          line,
          term,
          batch,
          outer,
          !dense            ? 1
          : fits(kLanes<T>) ? kLanes<T>
          : fits(kWord<T>)  ? kWord<T>
                            : 1};
}

template <class T>
struct Choice {
  Operand<T> a, b;
  GemmPlan plan;
  bool large;  // the tile of 128 x 128
};

template <class T>
Choice<T> choose(const Device& device, const GemmCall& call) {
  Choice<T> choice;
  choice.a = operand<T>(call.a, call.a_row, call.a_column, call.a_batch, call.a_outer);
  choice.b = operand<T>(call.b, call.b_column, call.b_row, call.b_batch, call.b_outer);
  const bool whole = choice.a.piece == kLanes<T> && choice.b.piece == kLanes<T>;
  const auto among = [&](const auto& tiles) {
    return plan_gemm(tiles, device.multiprocessors, call.m, call.n, call.k,
                     call.outer * call.batch);
  };
  choice.plan = whole ? among(kTiles<T>) : among(kTileOfAnyPiece<T>);
  choice.large = whole && choice.plan.tile == 0;
  return choice;
}

template <int bm, int bn, int warps_m, int warps_n, class T>
Status start(ExecContext* ctx, const GemmCall& call, const Choice<T>& choice) {
  const int64_t splits = choice.plan.splits;
  MmaArgs<T> args = {choice.a,
                     choice.b,
                     call.m,
                     call.n,
                     call.k,
                     choice.plan.chunk,
                     call.outer * call.batch,
                     splits > 1 ? static_cast<float*>(call.scratch) : nullptr,
                     result_of(call)};
  sum_columns_of(*ctx->device, call, &args.result);
  Grid grid = tile_grid(call, bm, bn, splits, warps_m * warps_n * 32);
  const auto with = [&](auto a_lines, auto b_lines) {
    grid.shared = sizeof(T) * kStages * (kSize<T, bm, a_lines> + kSize<T, bn, b_lines>);
    return launch(ctx, mma_tile<T, bm, bn, warps_m, warps_n, a_lines, b_lines>, grid, args);
  };
  const std::true_type yes;
  const std::false_type no;
  const bool a = args.a.line == 1, b = args.b.line == 1;
  TG_TRY(a ? b ? with(yes, yes) : with(yes, no) : b ? with(no, yes) : with(no, no));
  return splits > 1 ? finish_partials(ctx, call, splits) : Status::ok;
}

// The call is plain().
template <class T>
Status run(ExecContext* ctx, const GemmCall& call) {
  const Choice<T> choice = choose<T>(*ctx->device, call);
  constexpr bool tf32 = sizeof(T) == 4;
  if (choice.large) {
    ctx->trace.variant = tf32 ? "tf32 gemm 128x128" : "bf16 gemm 128x128";
    return start<128, 128, 2, 4>(ctx, call, choice);
  }
  ctx->trace.variant = tf32 ? "tf32 gemm 64x64" : "bf16 gemm 64x64";
  return start<64, 64, 2, 2>(ctx, call, choice);
}
extern template Status run<float>(ExecContext*, const GemmCall&);  // gemm_mma_tf32.cu

}  // namespace mma

}  // namespace tg::cuda
