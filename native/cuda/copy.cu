// Copies and casts between any strides. Runs of neighbours move in accesses of up to 16 bytes;
// where the two sides disagree about which axis is the densest, tiles are turned in shared memory,
// so that both sides are read and written in whole lines.
#include "copy.h"

#include "../core/convert.h"
#include "checked.h"
#include "strided.h"
#include "vector.h"

namespace tg::cuda {
namespace {

enum { kTo, kFrom };  // the operands of a copy's Strided

// Elements that one thread reads before it writes the first.
constexpr int kAhead = 4;

template <class To, class From>
__device__ __forceinline__ To converted(From x) {
  if constexpr (std::is_same_v<To, From>)
    return x;
  else
    return convert<To>(x);
}

// N neighbours at a time; if N > 1, runs of N lie together on both sides (or there is one axis, and
// what N does not divide comes last).
template <class To, class From, int N>
__global__ void __launch_bounds__(kThreads) copy_runs(To* to, const From* from, Strided<2> layout) {
  const int64_t runs = layout.count / N, step = item_stride();
  for (int64_t first = first_item(); first < runs; first += kAhead * step) {
    Vector<From, N> v[kAhead];
    int64_t target[kAhead];
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      const int64_t run = first + k * step;
      if (run >= runs) break;
      int64_t at[2];
      layout.offsets(run * N, at);
      target[k] = at[kTo];
      v[k] = load<N>(from + at[kFrom]);
    }
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      if (first + k * step >= runs) break;
      Vector<To, N> result;
#pragma unroll
      for (int i = 0; i < N; ++i) result.at[i] = converted<To>(v[k].at[i]);
      store(to + target[k], result);
    }
  }
  if constexpr (N > 1) {
    const int64_t i = runs * N + first_item();
    if (i < layout.count) to[i] = converted<To>(from[i]);
  }
}

// One element at a time from any type: for what is seldom asked for.
template <class To>
__global__ void __launch_bounds__(kThreads)
    cast_strided(To* to, const void* from, DType dtype, Strided<2> layout) {
  for (int64_t i = first_item(); i < layout.count; i += item_stride()) {
    int64_t at[2];
    layout.offsets(i, at);
    to[at[kTo]] = with_type(dtype, [&](auto zero) {
      return converted<To>(static_cast<const decltype(zero)*>(from)[at[kFrom]]);
    });
  }
}

// A plane that is dense along `columns` in the result and along `rows` in the source, once for each
// of `others`: the remaining axes.
struct Turned {
  int64_t rows, columns;
  int64_t to_row, to_column, from_row, from_column;  // strides
  Divisor tiles_down, tiles_across;                  // how many make a plane
  uint32_t tiles;                                    // in all
  Strided<2> others;
};

// Elements of a tile's side: whole sectors even of the narrowest types.
template <class T>
constexpr int kSide = sizeof(T) < 4 ? 64 : 32;

// Threads of a block are 32 along the side of the tile, and so many of these rows.
constexpr int kTileRows = kThreads / 32;

template <class To, class From>
__global__ void __launch_bounds__(kThreads) copy_turned(To* to, const From* from, Turned plane) {
  constexpr int kN = kSide<From>, kPad = sizeof(From) < 4 ? 4 / sizeof(From) : 1;
  __shared__ From tile[kN][kN + kPad];  // [column][row]; padded against bank conflicts
  const int across = threadIdx.x % 32, down = threadIdx.x / 32;
  for (uint32_t t = blockIdx.x; t < plane.tiles; t += gridDim.x) {
    const uint32_t left = plane.tiles_across.divide(t);
    const uint32_t other = plane.tiles_down.divide(left);
    const int64_t column = int64_t{t - left * static_cast<uint32_t>(plane.tiles_across.size)} * kN;
    const int64_t row = int64_t{left - other * static_cast<uint32_t>(plane.tiles_down.size)} * kN;
    int64_t base[2];
    plane.others.offsets(other, base);
    const From* source = from + base[kFrom] + row * plane.from_row + column * plane.from_column;
    To* target = to + base[kTo] + row * plane.to_row + column * plane.to_column;
    const int64_t rows = plane.rows - row, columns = plane.columns - column;
#pragma unroll
    for (int c = 0; c < kN; c += kTileRows)
#pragma unroll
      for (int r = 0; r < kN; r += 32)
        if (r + across < rows && c + down < columns)
          tile[c + down][r + across] =
              source[(r + across) * plane.from_row + (c + down) * plane.from_column];
    __syncthreads();
#pragma unroll
    for (int r = 0; r < kN; r += kTileRows)
#pragma unroll
      for (int c = 0; c < kN; c += 32)
        if (r + down < rows && c + across < columns) {
          const From x = tile[c + across][r + down];
          To* const place = target + (r + down) * plane.to_row + (c + across) * plane.to_column;
          *place = converted<To>(x);
        }
    __syncthreads();
  }
}

int64_t distance(int64_t stride) { return stride < 0 ? -stride : stride; }

// Whether neighbours in the result are far from each other in the source, while another axis is
// dense there: then that axis, else 0.
int dense_axis(const Strided<2>& layout, int64_t bytes) {
  constexpr int64_t kSector = 32, kWorthwhile = 16;
  const int64_t* from = layout.stride[kFrom];
  if (distance(from[0]) * bytes < kSector || layout.axis[0].size < kWorthwhile) return 0;
  int best = 0;
  for (int a = 1; a < layout.n_axes; ++a)
    if (from[a] != 0 && distance(from[a]) < distance(from[best]) &&
        layout.axis[a].size >= kWorthwhile)
      best = a;
  return best;
}

// False if there are too many tiles to number.
bool turn(const Strided<2>& layout, int rows, int64_t side, Turned* plane) {
  plane->rows = layout.axis[rows].size;
  plane->columns = layout.axis[0].size;
  plane->to_row = layout.stride[kTo][rows];
  plane->to_column = layout.stride[kTo][0];
  plane->from_row = layout.stride[kFrom][rows];
  plane->from_column = layout.stride[kFrom][0];
  const int64_t down = (plane->rows + side - 1) / side, across = (plane->columns + side - 1) / side;
  Shape shape;
  TensorView views[2];
  for (int a = layout.n_axes - 1; a > 0; --a) {
    if (a == rows) continue;
    for (int k = 0; k < 2; ++k) views[k].strides[shape.ndim] = layout.stride[k][a];
    shape.push(layout.axis[a].size);
  }
  views[kTo].shape = views[kFrom].shape = shape;
  plane->others.set(shape, views, 2);
  constexpr int64_t kMost = INT32_MAX;
  if (down > kMost / across || down * across > kMost / plane->others.count) return false;
  plane->tiles_down.set(down, true);
  plane->tiles_across.set(across, true);
  plane->tiles = static_cast<uint32_t>(down * across * plane->others.count);
  return true;
}

// Pairs of types that are often copied from layouts of all kinds: what is moved, and what mixed
// precision casts. The others have fewer kernels.
template <class To, class From>
constexpr bool kFrequent =
    std::is_same_v<To, From> || (std::is_same_v<To, BFloat16> && std::is_same_v<From, float>) ||
    (std::is_same_v<To, float> && std::is_same_v<From, BFloat16>);

template <class To, class From>
Status copy_elements(ExecContext* ctx, const TensorView& x, const TensorView& to) {
  To* const target = static_cast<To*>(to.data);
  const From* const source = static_cast<const From*>(x.data);
  const TensorView views[2] = {to, x};
  Strided<2> layout = {};
  layout.set(x.shape, views, 2);
  if (layout.count == 0) return Status::ok;

  constexpr int kN = 16 / static_cast<int>(sizeof(To) > sizeof(From) ? sizeof(To) : sizeof(From));
  const bool flat = layout.in_order(kTo) && layout.in_order(kFrom) && layout.n_axes == 1 &&
                    reinterpret_cast<uintptr_t>(target) % (kN * sizeof(To)) == 0 &&
                    reinterpret_cast<uintptr_t>(source) % (kN * sizeof(From)) == 0;
  if (flat || (layout.vectors_of(kN, kTo, target, sizeof(To)) &&
               layout.vectors_of(kN, kFrom, source, sizeof(From)))) {
    ctx->trace.variant = flat ? "contiguous" : "rows";
    return launch(ctx, copy_runs<To, From, kN>,
                  grid_for(ctx, (layout.count / kN + kAhead - 1) / kAhead), target, source, layout);
  }
  if constexpr (!kFrequent<To, From>) {
    ctx->trace.variant = "strided";
    return launch(ctx, cast_strided<To>, grid_for(ctx, layout.count), target, source, x.dtype,
                  layout);
  } else {
    Turned plane = {};
    const int rows = dense_axis(layout, sizeof(From));
    if (rows > 0 && turn(layout, rows, kSide<From>, &plane)) {
      ctx->trace.variant = "turned";
      const uint32_t most = 8u * static_cast<uint32_t>(ctx->device->multiprocessors);
      return launch(ctx, copy_turned<To, From>,
                    Grid{dim3(plane.tiles < most ? plane.tiles : most), dim3(kThreads)}, target,
                    source, plane);
    }
    ctx->trace.variant = "strided";
    return launch(ctx, copy_runs<To, From, 1>, grid_for(ctx, (layout.count + kAhead - 1) / kAhead),
                  target, source, layout);
  }
}

// Elements of one dtype move as what they are made of.
Status move_elements(ExecContext* ctx, const TensorView& x, const TensorView& to) {
  switch (size_of(x.dtype)) {
    case 1:
      return copy_elements<uint8_t, uint8_t>(ctx, x, to);
    case 2:
      return copy_elements<uint16_t, uint16_t>(ctx, x, to);
    case 4:
      return copy_elements<uint32_t, uint32_t>(ctx, x, to);
    default:
      return copy_elements<uint64_t, uint64_t>(ctx, x, to);
  }
}

template <class E>
__global__ void __launch_bounds__(kThreads)
    assign_elements(E* __restrict__ to, const E* __restrict__ from, int64_t count,
                    const uint32_t* any_fault) {
  if (!may_write(any_fault)) return;
#pragma unroll 4
  for (int64_t i = first_item(); i < count; i += item_stride()) to[i] = from[i];
}

template <class E>
Status assign_as(ExecContext* ctx, void* to, const void* from, size_t bytes) {
  const int64_t count = static_cast<int64_t>(bytes / sizeof(E));
  return launch(ctx, assign_elements<E>, grid_for(ctx, (count + 3) / 4), static_cast<E*>(to),
                static_cast<const E*>(from), count, ctx->faults.any);
}

}  // namespace

Status assign(ExecContext* ctx, void* to, const void* from, size_t bytes) {
  if (bytes == 0) return Status::ok;
  const uintptr_t all = reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from) | bytes;
  return all % 16 == 0  ? assign_as<Vector<uint32_t, 4>>(ctx, to, from, bytes)
         : all % 4 == 0 ? assign_as<uint32_t>(ctx, to, from, bytes)
                        : assign_as<uint8_t>(ctx, to, from, bytes);
}

Status copy_into(ExecContext* ctx, const TensorView& x, const TensorView& to) {
  if (x.dtype == to.dtype) return move_elements(ctx, x, to);
  return with_type(x.dtype, [&](auto from) {
    return with_type(to.dtype, [&](auto target) -> Status {
      using From = decltype(from);
      using To = decltype(target);
      if constexpr (std::is_same_v<From, To>)
        return Status::internal;  // moved above
      else
        return copy_elements<To, From>(ctx, x, to);
    });
  });
}

Status copy_contiguous(ExecContext* ctx, const TensorView& x, void* to) {
  TensorView target = x;
  target.data = to;
  contiguous_strides(x.shape, target.strides);
  return copy_into(ctx, x, target);
}

// The result may have another shape: a reshape of what is not contiguous is a copy.
Status run_copy(ExecContext* ctx, const OpCall& call) {
  TensorView to = call.out;
  to.shape = call.in[0].shape;
  contiguous_strides(to.shape, to.strides);
  return copy_into(ctx, call.in[0], to);
}

}  // namespace tg::cuda
