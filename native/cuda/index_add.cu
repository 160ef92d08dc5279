// Sums by index: the adjoint of selection. Slices with the same index are added in their order, in
// groups of fixed size, so that results repeat.
#include "copy.h"
#include "index_order.h"
#include "launch.h"
#include "shape_ops.h"
#include "strided.h"
#include "vector.h"

namespace tg::cuda {
namespace {

// Slices that one thread adds: of a row with more, such groups are added up first, so that a row
// that is everybody's does not keep everybody waiting.
constexpr uint32_t kGroup = 32;

// Sums of the groups of long rows, [outer][slot][inner]. A group's slot is its first place among
// the sorted keys over kGroup: whole groups begin kGroup apart or more, and so do last ones.
template <class T>
struct Groups {
  Compute<T>*whole, *last;
  int64_t slots;  // of each
};

__host__ __device__ inline int64_t slots_of(int64_t places) { return places / kGroup + 1; }

// Adds the group of slices that begins at a place, if one does: to out[outer][row][inner] if that
// is all of its row, else to its slot. `shape`: runs of inner, places, outer.
template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    add_groups(T* out, const T* g, Strided<1> shape, Keys keys, uint32_t none, int64_t size,
               Rows rows, Groups<T> groups) {
  const int64_t inner = shape.axis[0].size * N, places = shape.axis[1].size;
  for (int64_t run = first_item(); run < shape.count; run += item_stride()) {
    int64_t column = 0, place = 0, outer = 0;
    shape.locate(run, [&](int a, int64_t coordinate) {
      (a == 0 ? column : a == 1 ? place : outer) = coordinate;
    });
    column *= N;
    const uint32_t begin = static_cast<uint32_t>(place), row = keys.row[begin];
    if (row == none) continue;
    const uint32_t first = rows.first[row], past = rows.past[row];
    if ((begin - first) % kGroup != 0) continue;
    const bool is_last = past - begin <= kGroup;
    const uint32_t end = is_last ? past : begin + kGroup;
    const T* const from = g + outer * places * inner + column;
    Vector<Compute<T>, N> sum = {};
#pragma unroll 4
    for (uint32_t k = begin; k < end; ++k) {
      const Vector<T, N> v = load<N>(from + keys.position[k] * inner);
#pragma unroll
      for (int i = 0; i < N; ++i) sum.at[i] += widen(v.at[i]);
    }
    if (past - first <= kGroup) {
      Vector<T, N> result;
#pragma unroll
      for (int i = 0; i < N; ++i) result.at[i] = narrow<T>(sum.at[i]);
      store(out + (outer * size + row) * inner + column, result);
    } else {
      Compute<T>* const to = is_last ? groups.last : groups.whole;
      const int64_t slot = begin / kGroup;
      store(to + (outer * groups.slots + slot) * inner + column, sum);
    }
  }
}

// What add_groups left to do: rows without slices, and long ones. `shape`: runs of inner, rows,
// outer.
template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    finish_rows(T* out, Strided<1> shape, Rows rows, Groups<T> groups) {
  const int64_t inner = shape.axis[0].size * N;
  for (int64_t run = first_item(); run < shape.count; run += item_stride()) {
    int64_t column = 0, row = 0, outer = 0;
    shape.locate(run, [&](int a, int64_t coordinate) {
      (a == 0 ? column : a == 1 ? row : outer) = coordinate;
    });
    const uint32_t first = rows.first[row], past = rows.past[row];
    if (past > first && past - first <= kGroup) continue;
    Vector<Compute<T>, N> sum = {};
    if (past > first) {
      const int64_t base = outer * groups.slots * inner + column * N;
      const Compute<T>* const whole = groups.whole + base;
      const int64_t slot = first / kGroup, n = (past - first - 1) / kGroup;
#pragma unroll 4
      for (int64_t k = slot; k < slot + n; ++k) {
        const Vector<Compute<T>, N> v = load<N>(whole + k * inner);
#pragma unroll
        for (int i = 0; i < N; ++i) sum.at[i] += v.at[i];
      }
      const Vector<Compute<T>, N> v = load<N>(groups.last + base + (slot + n) * inner);
#pragma unroll
      for (int i = 0; i < N; ++i) sum.at[i] += v.at[i];
    }
    Vector<T, N> result;
#pragma unroll
    for (int i = 0; i < N; ++i) result.at[i] = narrow<T>(sum.at[i]);
    store(out + run * N, result);
  }
}

// Axes from the innermost.
Strided<1> box(int64_t inner, int64_t middle, int64_t outer) {
  Strided<1> shape = {};
  const int64_t sizes[] = {inner, middle, outer};
  shape.n_axes = 3;
  shape.count = inner * middle * outer;
  shape.narrow = shape.count < int64_t{1} << 31;
  for (int a = 0; a < 3 && shape.count > 0; ++a) shape.axis[a].set(sizes[a], shape.narrow);
  return shape;
}

// The result as rows: outer × size × inner.
struct Result {
  int64_t outer = 1, size, inner = 1;
  Result(const Shape& shape, int axis) : size(shape[axis]) {
    for (int i = 0; i < axis; ++i) outer *= shape[i];
    for (int i = axis + 1; i < shape.ndim; ++i) inner *= shape[i];
  }
};

template <class T, int N>
Status add_runs(ExecContext* ctx, T* out, const T* g, const Result& r, int64_t places,
                const Order& order, const Groups<T>& groups) {
  const Strided<1> read = box(r.inner / N, places, r.outer);
  const Strided<1> written = box(r.inner / N, r.size, r.outer);
  if (places > 0)
    TG_TRY(launch(ctx, add_groups<T, N>, grid_for(ctx, read.count), out, g, read, order.keys,
                  order.none, r.size, order.rows, groups));
  return launch(ctx, finish_rows<T, N>, grid_for(ctx, written.count), out, written, order.rows,
                groups);
}

template <class T>
Status add(ExecContext* ctx, const OpCall& call, const void* data, const Order& order, void* sums) {
  constexpr int kN = kLanes<T>;
  const Result r(call.out.shape, call.attrs.axis);
  const int64_t places = call.in[1].shape[0];
  T* const out = static_cast<T*>(call.out.data);
  const T* const g = static_cast<const T*>(data);
  Compute<T>* const whole = static_cast<Compute<T>*>(sums);
  const int64_t slots = slots_of(places);
  const Groups<T> groups{whole, whole + r.outer * slots * r.inner, slots};
  const bool vectors = r.inner % kN == 0 && aligned16(g);
  ctx->trace.variant = vectors ? "rows" : "elements";
  return vectors ? add_runs<T, kN>(ctx, out, g, r, places, order, groups)
                 : add_runs<T, 1>(ctx, out, g, r, places, order, groups);
}

}  // namespace

Status run_index_add(ExecContext* ctx, const OpCall& call) {
  const TensorView& g = call.in[0];
  const int axis = call.attrs.axis;
  const Indices indices(call.in[1], call.out.shape[axis]);
  const int64_t n = indices.count;
  if (n > INT32_MAX)
    return ctx->error->set(Status::range_error, "indexAdd: %lld indices are more than 2^31 - 1",
                           static_cast<long long>(n));
  const bool in_order = g.contiguous();
  Parts parts;
  const size_t sorted = parts.add(1, order_bytes(indices));
  const size_t copy = parts.add(in_order ? 0 : g.shape.count(), size_of(g.dtype));
  const Result r(call.out.shape, axis);
  const size_t sums = parts.add(2 * r.outer * slots_of(n) * r.inner,
                                g.dtype == DType::float64 ? sizeof(double) : sizeof(float));
  char* const memory = static_cast<char*>(scratch(ctx, parts.bytes));
  if (!memory) return Status::out_of_memory;

  Order order = {};
  TG_TRY(sort_indices(ctx, indices, memory + sorted, &order));
  if (call.out.shape.count() == 0) return Status::ok;
  const void* data = g.data;
  if (!in_order) {
    TG_TRY(copy_contiguous(ctx, g, memory + copy));
    data = memory + copy;
  }
  return g.dtype == DType::float32   ? add<float>(ctx, call, data, order, memory + sums)
         : g.dtype == DType::float64 ? add<double>(ctx, call, data, order, memory + sums)
                                     : add<bf16>(ctx, call, data, order, memory + sums);
}

}  // namespace tg::cuda
