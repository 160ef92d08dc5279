// Selection of slices by index.
#include "indices.h"
#include "launch.h"
#include "shape_ops.h"
#include "strided.h"
#include "vector.h"

namespace tg::cuda {
namespace {

// Where there is nothing to select.
__global__ void __launch_bounds__(kThreads) check_indices(Indices indices, Check check) {
  for (int64_t i = first_item(); i < indices.count; i += item_stride()) (void)indices.at(i, check);
}

// x's axes, innermost first, with those merged that one stride walks; `along` alone stays apart,
// and has as many places as there are indices.
struct Selection {
  Strided<1> layout;
  int along;

  void set(const TensorView& x, const Shape& shape, int axis) {
    layout = {};
    layout.count = shape.count();
    layout.narrow = layout.count < int64_t{1} << 31;
    int64_t sizes[kMaxDims];
    int n = 0;
    along = -1;
    for (int d = shape.ndim - 1; d >= 0; --d) {
      if (d != axis && shape[d] == 1) continue;
      if (d == axis) {
        along = n;
      } else if (n > 0 && along != n - 1 &&
                 x.strides[d] == layout.stride[0][n - 1] * sizes[n - 1]) {
        sizes[n - 1] *= shape[d];
        continue;
      }
      layout.stride[0][n] = x.strides[d];
      sizes[n++] = shape[d];
    }
    layout.n_axes = n;
    for (int a = 0; a < n && layout.count > 0; ++a) layout.axis[a].set(sizes[a], layout.narrow);
  }
};

// E: an integer of an element's size. Slices without a place in x become `missing`.
template <class E, int N>
__global__ void __launch_bounds__(kThreads) select_slices(E* out, const E* x, Selection selection,
                                                          Indices indices, E missing, Check check) {
  const int64_t runs = selection.layout.count / N;
  for (int64_t run = first_item(); run < runs; run += item_stride()) {
    bool found = true;
    int64_t from = 0;
    selection.layout.locate(run * N, [&](int a, int64_t coordinate) {
      if (a == selection.along) {
        coordinate = indices.at(coordinate, check);
        found = coordinate >= 0;
      }
      from += coordinate * selection.layout.stride[0][a];
    });
    Vector<E, N> v;
    if (found) {
      v = load<N>(x + from);
    } else {
#pragma unroll
      for (int i = 0; i < N; ++i) v.at[i] = missing;
    }
    store(out + run * N, v);
  }
}

template <class E>
Status launch_select(ExecContext* ctx, const OpCall& call, const Indices& indices, E missing) {
  constexpr int kN = kLanes<E>;
  E* const out = static_cast<E*>(call.out.data);
  const E* const x = static_cast<const E*>(call.in[0].data);
  Selection selection;
  selection.set(call.in[0], call.out.shape, call.attrs.axis);
  const int64_t count = selection.layout.count;
  const Check check(ctx);
  if (count == 0) return launch(ctx, check_indices, grid_for(ctx, indices.count), indices, check);
  if (selection.along > 0 && selection.layout.vectors_of(kN, 0, x, sizeof(E))) {
    ctx->trace.variant = "rows";
    return launch(ctx, select_slices<E, kN>, grid_for(ctx, count / kN), out, x, selection, indices,
                  missing, check);
  }
  ctx->trace.variant = "elements";
  return launch(ctx, select_slices<E, 1>, grid_for(ctx, count), out, x, selection, indices, missing,
                check);
}

// NaN, or 0 in types that have none, as bits.
Status select(ExecContext* ctx, const OpCall& call, const Indices& indices) {
  switch (call.out.dtype) {
    case DType::float32:
      return launch_select<uint32_t>(ctx, call, indices, 0x7fc00000u);
    case DType::float64:
      return launch_select<uint64_t>(ctx, call, indices, uint64_t{0x7ff8} << 48);
    case DType::bfloat16:
      return launch_select<uint16_t>(ctx, call, indices, 0x7fc0);
    case DType::int32:
      return launch_select<uint32_t>(ctx, call, indices, 0);
    case DType::boolean:
      break;
  }
  return launch_select<uint8_t>(ctx, call, indices, 0);
}

}  // namespace

Status run_index_select(ExecContext* ctx, const OpCall& call) {
  const Indices indices(call.in[1], call.in[0].shape[call.attrs.axis]);
  if (indices.count == 0) return Status::ok;
  return select(ctx, call, indices);
}

}  // namespace tg::cuda
