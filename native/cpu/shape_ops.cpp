// Copies, casts, joins, selections, padding and constants; see shape_ops.h. No instruction set
// beyond the baseline.
#include "shape_ops.h"

#include <cstring>

#include "../core/convert.h"
#include "copy.h"

namespace tg::cpu {
namespace {

constexpr int64_t kChunk = 1024;  // elements gathered at a time where a view is converted or added

// Cuts [0, count) for the threads, in proportion to the bytes moved; f(begin, end).
template <class F>
void split(ThreadPool& threads, int64_t count, int64_t bytes, F&& f) {
  if (count <= 0) return;
  int64_t pieces = parts(threads, bytes);
  if (pieces > count) pieces = count;
  const int64_t step = (count + pieces - 1) / pieces;
  parallel(threads, (count + step - 1) / step, [&](int64_t t) {
    const int64_t begin = t * step;
    f(begin, begin + step < count ? begin + step : count);
  });
}

template <class From, class To>
void cast_all(ThreadPool& threads, const TensorView& x, To* out, int64_t count) {
  const GatherPlan plan(x);
  const int64_t bytes = count * static_cast<int64_t>(sizeof(From) + sizeof(To));
  split(threads, count, bytes, [&](int64_t begin, int64_t end) {
    alignas(64) From buffer[kChunk];
    for (int64_t i = begin; i < end; i += kChunk) {
      const int64_t n = end - i < kChunk ? end - i : kChunk;
      const From* __restrict from = static_cast<const From*>(plan.direct(i));
      if (!from) plan.gather(i, n, buffer), from = buffer;
      To* __restrict to = out + i;
      for (int64_t k = 0; k < n; ++k) to[k] = convert<To>(from[k]);
    }
  });
}

// A tensor seen as outer × axis × inner.
struct Slices {
  const TensorView& x;
  int axis;
  int64_t outer = 1, inner = 1;
  TensorView slice;  // the axes behind `axis`

  Slices(const TensorView& view, int along) : x(view), axis(along) {
    slice.data = view.data;
    slice.dtype = view.dtype;
    for (int i = 0; i < axis; ++i) outer *= x.shape[i];
    for (int i = axis + 1; i < x.shape.ndim; ++i) {
      slice.strides[slice.shape.ndim] = x.strides[i];
      slice.shape.push(x.shape[i]);
      inner *= x.shape[i];
    }
  }
  // The element where slice 0 of this outer position starts.
  int64_t offset(int64_t position) const {
    int64_t sum = 0;
    for (int i = axis - 1; i >= 0 && position > 0; --i) {
      sum += position % x.shape[i] * x.strides[i];
      position /= x.shape[i];
    }
    return sum;
  }
};

// A 1-d int32 view.
struct Index {
  const int32_t* data;
  int64_t stride, count;

  explicit Index(const TensorView& view)
      : data(static_cast<const int32_t*>(view.data)),
        stride(view.strides[0]),
        count(view.shape[0]) {}
  int64_t operator[](int64_t i) const { return data[i * stride]; }
};

Status check_index(ExecContext* ctx, const char* name, const Index& index, int axis, int64_t size) {
  for (int64_t i = 0; i < index.count; ++i)
    if (index[i] < 0 || index[i] >= size)
      return ctx->error->set(Status::range_error,
                             "%s: index[%lld] is %lld, but axis %d has size %lld", name,
                             static_cast<long long>(i), static_cast<long long>(index[i]), axis,
                             static_cast<long long>(size));
  return Status::ok;
}

template <class E>
void select_single(const Slices& s, const Index& index, int64_t begin, int64_t end, E* out) {
  const int64_t stride = s.x.strides[s.axis];
  for (int64_t k = begin; k < end;) {
    const E* from = static_cast<const E*>(s.x.data) + s.offset(k / index.count);
    const int64_t first = k % index.count;
    const int64_t n = end - k < index.count - first ? end - k : index.count - first;
    for (int64_t i = 0; i < n; ++i) out[k + i] = from[index[first + i] * stride];
    k += n;
  }
}

template <class T>
void add_to(T* __restrict y, const T* __restrict x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}

// Output rows [begin, end) of outer × size: each index that names one of them adds its slice.
template <class T>
void add_slices(const Slices& s, const GatherPlan& plan, const Index& index, int64_t size,
                int64_t begin, int64_t end, T* out) {
  std::memset(out + begin * s.inner, 0, static_cast<size_t>((end - begin) * s.inner) * sizeof(T));
  const bool dense = plan.direct(0) != nullptr;
  alignas(64) T buffer[kChunk];
  for (int64_t o = begin / size; o * size < end; ++o) {
    const int64_t low = begin > o * size ? begin - o * size : 0;
    const int64_t high = end - o * size < size ? end - o * size : size;
    T* y = out + o * size * s.inner;
    const T* g = static_cast<const T*>(s.x.data) + s.offset(o);
    for (int64_t i = 0; i < index.count; ++i) {
      const int64_t row = index[i];
      if (row < low || row >= high) continue;
      const T* from = g + i * s.x.strides[s.axis];
      if (dense) {
        add_to(y + row * s.inner, from, s.inner);
        continue;
      }
      for (int64_t k = 0; k < s.inner; k += kChunk) {
        const int64_t n = s.inner - k < kChunk ? s.inner - k : kChunk;
        plan.gather_from(from, k, n, buffer);
        add_to(y + row * s.inner + k, buffer, n);
      }
    }
  }
}

void fill_number(ThreadPool& threads, const TensorView& out, double number) {
  with_type(out.dtype, [&](auto zero) {
    const auto value = convert<decltype(zero)>(number);
    fill(threads, out.data, out.shape.count(), &value, sizeof value);
  });
}

}  // namespace

Status run_clone(ExecContext* ctx, const OpCall& call) {
  ctx->trace.variant = call.in[0].contiguous() ? "contiguous" : "strided";
  copy_strided(*ctx->threads, call.in[0], call.out.data);
  return Status::ok;
}

Status run_cast(ExecContext* ctx, const OpCall& call) {
  const TensorView& x = call.in[0];
  if (x.dtype == call.out.dtype) return run_clone(ctx, call);
  ctx->trace.variant = x.contiguous() ? "contiguous" : "strided";
  with_type(x.dtype, [&](auto from) {
    with_type(call.out.dtype, [&](auto to) {
      using To = decltype(to);
      cast_all<decltype(from), To>(*ctx->threads, x, static_cast<To*>(call.out.data),
                                   call.out.shape.count());
    });
  });
  return Status::ok;
}

Status run_concat(ExecContext* ctx, const OpCall& call) {
  const int axis = call.attrs.axis;
  ctx->trace.variant = "copy";
  int64_t strides[kMaxDims];
  contiguous_strides(call.out.shape, strides);
  char* to = static_cast<char*>(call.out.data);
  for (int k = 0; k < call.n_in; ++k) {
    const TensorView& x = call.in[k];
    copy_into(*ctx->threads, x, to, strides);
    to += x.shape[axis] * strides[axis] * static_cast<int64_t>(size_of(x.dtype));
  }
  return Status::ok;
}

Status run_pad(ExecContext* ctx, const OpCall& call) {
  const TensorView& x = call.in[0];
  ctx->trace.variant = "copy";
  int64_t strides[kMaxDims], offset = 0;
  contiguous_strides(call.out.shape, strides);
  for (int i = 0; i < x.shape.ndim; ++i) offset += call.attrs.pads[2 * i] * strides[i];
  if (call.out.shape != x.shape) fill_number(*ctx->threads, call.out, call.attrs.p[0]);
  if (x.shape.count() > 0)
    copy_into(*ctx->threads, x,
              static_cast<char*>(call.out.data) + offset * static_cast<int64_t>(size_of(x.dtype)),
              strides);
  return Status::ok;
}

Status run_index_select(ExecContext* ctx, const OpCall& call) {
  const TensorView& x = call.in[0];
  const Index index(call.in[1]);
  const int axis = call.attrs.axis;
  TG_TRY(check_index(ctx, "indexSelect", index, axis, x.shape[axis]));
  const Slices s(x, axis);
  const GatherPlan plan(s.slice);
  const int64_t element = static_cast<int64_t>(size_of(x.dtype)), bytes = s.inner * element;
  const int64_t slices = s.outer * index.count;
  const bool dense = plan.direct(0) != nullptr;
  ctx->trace.variant = s.inner == 1 ? "elements" : dense ? "rows" : "strided";
  if (bytes == 0) return Status::ok;
  split(*ctx->threads, slices, 2 * slices * bytes, [&](int64_t begin, int64_t end) {
    if (s.inner == 1)
      return with_type(x.dtype, [&](auto zero) {
        select_single(s, index, begin, end, static_cast<decltype(zero)*>(call.out.data));
      });
    char* to = static_cast<char*>(call.out.data) + begin * bytes;
    int64_t i = begin % index.count, o = begin / index.count, offset = s.offset(o);
    for (int64_t k = begin; k < end; ++k, to += bytes) {
      const char* from =
          static_cast<const char*>(x.data) + (offset + index[i] * x.strides[axis]) * element;
      if (dense)
        std::memcpy(to, from, static_cast<size_t>(bytes));
      else
        plan.gather_from(from, 0, s.inner, to);
      if (++i == index.count) i = 0, offset = s.offset(++o);
    }
  });
  return Status::ok;
}

Status run_index_add(ExecContext* ctx, const OpCall& call) {
  const TensorView& g = call.in[0];
  const Index index(call.in[1]);
  const int axis = call.attrs.axis;
  const int64_t size = call.out.shape[axis];
  TG_TRY(check_index(ctx, "indexAdd", index, axis, size));
  if (!is_float(g.dtype))
    return ctx->error->set(Status::type_error, "indexAdd: g must be float32 or float64, got %s",
                           name_of(g.dtype));
  const Slices s(g, axis);
  const GatherPlan plan(s.slice);
  ctx->trace.variant = plan.direct(0) ? "rows" : "strided";
  if (s.inner == 0) return Status::ok;
  const int64_t moved = (call.out.shape.count() + g.shape.count()) * 2;
  split(*ctx->threads, s.outer * size, moved * static_cast<int64_t>(size_of(g.dtype)),
        [&](int64_t begin, int64_t end) {
          if (g.dtype == DType::float32)
            add_slices(s, plan, index, size, begin, end, static_cast<float*>(call.out.data));
          else
            add_slices(s, plan, index, size, begin, end, static_cast<double*>(call.out.data));
        });
  return Status::ok;
}

Status run_full(ExecContext* ctx, const OpCall& call) {
  ctx->trace.variant = "fill";
  fill_number(*ctx->threads, call.out, call.attrs.p[0]);
  return Status::ok;
}

Status run_arange(ExecContext* ctx, const OpCall& call) {
  ctx->trace.variant = "fill";
  const double start = call.attrs.p[0], step = call.attrs.p[1];
  const int64_t count = call.out.shape.count();
  with_type(call.out.dtype, [&](auto zero) {
    using T = decltype(zero);
    split(*ctx->threads, count, count * static_cast<int64_t>(sizeof(T)),
          [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
              static_cast<T*>(call.out.data)[i] = convert<T>(start + static_cast<double>(i) * step);
          });
  });
  return Status::ok;
}

Status run_eye(ExecContext* ctx, const OpCall& call) {
  ctx->trace.variant = "fill";
  const int64_t rows = call.out.shape[0], columns = call.out.shape[1];
  fill_number(*ctx->threads, call.out, 0);
  with_type(call.out.dtype, [&](auto zero) {
    for (int64_t i = 0; i < rows && i < columns; ++i)
      static_cast<decltype(zero)*>(call.out.data)[i * columns + i] = convert<decltype(zero)>(1.0);
  });
  return Status::ok;
}

}  // namespace tg::cpu
