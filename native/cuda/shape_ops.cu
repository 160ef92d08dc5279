// Joins, padding and constants.
#include "shape_ops.h"

#include "../core/convert.h"
#include "batch.h"
#include "copy.h"
#include "exact.h"
#include "launch.h"
#include "strided.h"
#include "vector.h"

namespace tg::cuda {
namespace {

// Bytes of an input that one block copies in a join.
constexpr int64_t kJoinPiece = 4 * 16 * kThreads;

// Units begin … end - 1 of rows of `width` units that lie in order, to rows that are `pitch` apart.
template <class Unit>
__device__ __forceinline__ void join_piece(const char* from, char* to, int64_t begin, int64_t end,
                                           int64_t width, int64_t pitch) {
  const Unit* __restrict source = reinterpret_cast<const Unit*>(from);
  Unit* __restrict target = reinterpret_cast<Unit*>(to);
  const bool narrow = end <= UINT32_MAX;  // a division in 32 bits is several times faster
#pragma unroll 4
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    const int64_t row =
        narrow ? static_cast<uint32_t>(i) / static_cast<uint32_t>(width) : i / width;
    target[row * pitch + (i - row * width)] = source[i];
  }
}

// Inputs in order in memory, each of `rows` rows, to their places in rows of `pitch` bytes. In the
// widest accesses that an input's size and places allow.
__global__ void __launch_bounds__(kThreads)
    join(const __grid_constant__ Batch<2> batch, int64_t rows, int64_t pitch) {
  const int item = batch.item();
  const char* from = static_cast<const char*>(batch.array[0][item]);
  char* to = static_cast<char*>(batch.array[1][item]);
  const int64_t count = batch.count[item], width = count / rows;
  const int64_t begin = int64_t{static_cast<int>(blockIdx.x) - batch.first[item]} * kJoinPiece;
  const int64_t end = begin + kJoinPiece < count ? begin + kJoinPiece : count;
  const uint64_t places = reinterpret_cast<uintptr_t>(from) | reinterpret_cast<uintptr_t>(to) |
                          static_cast<uint64_t>(width) |
                          static_cast<uint64_t>(rows > 1 ? pitch : 0);
  if (places % 16 == 0)
    join_piece<uint4>(from, to, begin / 16, end / 16, width / 16, pitch / 16);
  else if (places % 8 == 0)
    join_piece<uint64_t>(from, to, begin / 8, end / 8, width / 8, pitch / 8);
  else if (places % 4 == 0)
    join_piece<uint32_t>(from, to, begin / 4, end / 4, width / 4, pitch / 4);
  else if (places % 2 == 0)
    join_piece<uint16_t>(from, to, begin / 2, end / 2, width / 2, pitch / 2);
  else
    join_piece<uint8_t>(from, to, begin, end, width, pitch);
}

Status launch_join(ExecContext* ctx, Batch<2>* batch, int64_t rows, int64_t pitch) {
  if (batch->n == 0) return Status::ok;
  const Grid grid{dim3(static_cast<unsigned>(batch->blocks())), dim3(kThreads)};
  const Status status = launch(ctx, join, grid, *batch, rows, pitch);
  batch->n = 0;
  return status;
}

// The axes of a padded result, innermost first, and where x lies within them.
struct Padded {
  Strided<1> layout;  // of the result; strides of x
  int64_t before[kMaxDims], size[kMaxDims];

  void set(const TensorView& x, const Shape& shape, const int64_t* pads) {
    layout = {};
    layout.count = shape.count();
    layout.narrow = layout.count < int64_t{1} << 31;
    int64_t sizes[kMaxDims];
    int n = 0;
    for (int d = shape.ndim - 1; d >= 0; --d) {
      if (shape[d] == 1 && x.shape[d] == 1) continue;
      // An axis that is not padded goes together with the next one out.
      if (n > 0 && before[n - 1] == 0 && size[n - 1] == sizes[n - 1] &&
          x.strides[d] == layout.stride[0][n - 1] * sizes[n - 1]) {
        before[n - 1] = pads[2 * d] * sizes[n - 1];
        size[n - 1] = x.shape[d] * sizes[n - 1];
        sizes[n - 1] *= shape[d];
        continue;
      }
      before[n] = pads[2 * d];
      size[n] = x.shape[d];
      layout.stride[0][n] = x.strides[d];
      sizes[n++] = shape[d];
    }
    if (n == 0) {
      before[0] = 0;
      size[0] = sizes[0] = 1;
      n = 1;
    }
    layout.n_axes = n;
    for (int a = 0; a < n && layout.count > 0; ++a) layout.axis[a].set(sizes[a], layout.narrow);
  }
  // Whether runs of n lie wholly inside or outside of x, in whole accesses.
  bool vectors_of(int n, const void* data, size_t bytes) const {
    return before[0] % n == 0 && size[0] % n == 0 && layout.vectors_of(n, 0, data, bytes);
  }
};

template <class T, int N>
__global__ void __launch_bounds__(kThreads) pad(T* out, const T* x, Padded padded, double number) {
  const T value = convert<T>(number);
  const int64_t runs = padded.layout.count / N;
  for (int64_t run = first_item(); run < runs; run += item_stride()) {
    bool inside = true;
    int64_t from = 0;
    padded.layout.locate(run * N, [&](int a, int64_t coordinate) {
      const int64_t at = coordinate - padded.before[a];
      inside = inside && at >= 0 && at < padded.size[a];
      from += at * padded.layout.stride[0][a];
    });
    Vector<T, N> v;
    if (inside) {
      v = load<N>(x + from);
    } else {
#pragma unroll
      for (int i = 0; i < N; ++i) v.at[i] = value;
    }
    store(out + run * N, v);
  }
}

template <class T>
Status pad_elements(ExecContext* ctx, const OpCall& call) {
  constexpr int kN = kLanes<T>;
  T* const out = static_cast<T*>(call.out.data);
  const T* const x = static_cast<const T*>(call.in[0].data);
  Padded padded;
  padded.set(call.in[0], call.out.shape, call.attrs.pads);
  const int64_t count = padded.layout.count;
  if (count == 0) return Status::ok;
  if (padded.vectors_of(kN, x, sizeof(T)))
    return launch(ctx, pad<T, kN>, grid_for(ctx, count / kN), out, x, padded, call.attrs.p[0]);
  return launch(ctx, pad<T, 1>, grid_for(ctx, count), out, x, padded, call.attrs.p[0]);
}

// Element i of a constant, in double.
struct Constant {
  Op op;
  double start, step;  // of full (start alone) and arange
  Divisor diagonal;    // of eye: columns + 1, the distance of its ones
  bool narrow;

  __device__ __forceinline__ double operator()(int64_t i) const {
    if (op == op_full) return start;
    if (op == op_arange) return start + product(static_cast<double>(i), step);
    const int64_t row = narrow ? static_cast<int64_t>(diagonal.divide(static_cast<uint32_t>(i)))
                               : static_cast<int64_t>(diagonal.divide(static_cast<uint64_t>(i)));
    return row * diagonal.size == i && row < diagonal.size - 1 ? 1 : 0;
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads) make_constant(T* out, int64_t count, Constant f) {
  constexpr int kN = kLanes<T>;
  for (int64_t i = first_item() * kN; i < count; i += item_stride() * kN) {
    Vector<T, kN> v;
#pragma unroll
    for (int lane = 0; lane < kN; ++lane) v.at[lane] = convert<T>(f(i + lane));
    if (i + kN <= count) {
      store(out + i, v);
    } else {
#pragma unroll
      for (int lane = 0; lane < kN; ++lane)
        if (i + lane < count) out[i + lane] = v.at[lane];
    }
  }
}

}  // namespace

Status run_concat(ExecContext* ctx, const OpCall& call) {
  const int axis = call.attrs.axis;
  const int64_t element = static_cast<int64_t>(size_of(call.out.dtype));
  int64_t rows = 1;
  for (int i = 0; i < axis; ++i) rows *= call.out.shape[i];
  if (call.out.shape.count() == 0) return Status::ok;
  const int64_t step = call.out.strides[axis] * element;  // along the axis, in bytes
  const int64_t pitch = call.out.shape[axis] * step;
  ctx->trace.variant = "join";
  char* to = static_cast<char*>(call.out.data);
  Batch<2> batch;
  for (int k = 0; k < call.n_in; ++k) {
    const TensorView& x = call.in[k];
    if (x.shape[axis] == 0) continue;
    if (x.contiguous()) {
      batch.push({x.data, to}, static_cast<int64_t>(x.bytes()), kJoinPiece);
      if (batch.full()) TG_TRY(launch_join(ctx, &batch, rows, pitch));
    } else {
      TensorView place = call.out;
      place.data = to;
      place.shape = x.shape;
      TG_TRY(copy_into(ctx, x, place));
    }
    to += x.shape[axis] * step;
  }
  return launch_join(ctx, &batch, rows, pitch);
}

Status run_pad(ExecContext* ctx, const OpCall& call) {
  ctx->trace.variant = "pad";
  return with_type(call.out.dtype,
                   [&](auto zero) { return pad_elements<decltype(zero)>(ctx, call); });
}

Status run_constant(ExecContext* ctx, const OpCall& call) {
  ctx->trace.variant = "fill";
  const int64_t count = call.out.shape.count();
  if (count == 0) return Status::ok;
  Constant f{call.op, call.attrs.p[0], call.attrs.p[1], {}, count < int64_t{1} << 31};
  if (call.op == op_eye) f.diagonal.set(call.out.shape[1] + 1, f.narrow);
  return with_type(call.out.dtype, [&](auto zero) {
    using T = decltype(zero);
    return launch(ctx, make_constant<T>, grid_for(ctx, (count + kLanes<T> - 1) / kLanes<T>),
                  static_cast<T*>(call.out.data), count, f);
  });
}

}  // namespace tg::cuda
