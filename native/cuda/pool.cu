// Pooling: a thread per result. Adjoints gather: every element of the input asks the windows that
// it lies in, so that no sum depends on what runs first.
#include "pool.h"

#include <type_traits>

#include "exact.h"
#include "images.h"
#include "launch.h"

namespace tg::cuda {
namespace {

constexpr int64_t kFewReads = 16;  // up to which maxima are searched anew rather than stored

// I is what indices are counted in: uint32_t where all fit, since its divisions are far cheaper.
template <class I>
struct Plane {
  using Signed = typename std::conditional<sizeof(I) == 4, int, int64_t>::type;
  I channels, size[2], windows[2];  // rows, columns
  Signed kernel[2], stride[2], padding[2];

  // Rows or columns of window `at` that lie inside: begin … end - 1.
  __device__ I begin(int axis, I at) const {
    const Signed first = static_cast<Signed>(at) * stride[axis] - padding[axis];
    return static_cast<I>(first < 0 ? 0 : first);
  }
  __device__ I end(int axis, I at) const {
    const Signed last = static_cast<Signed>(at) * stride[axis] - padding[axis] + kernel[axis];
    return last < static_cast<Signed>(size[axis]) ? static_cast<I>(last) : size[axis];
  }
  // Windows that have row or column `at`: first_window … last_window; none if that is less.
  __device__ Signed first_window(int axis, I at) const {
    const Signed before = static_cast<Signed>(at) + padding[axis] - kernel[axis];
    return before < 0 ? 0 : before / stride[axis] + 1;
  }
  __device__ Signed last_window(int axis, I at) const {
    const Signed last = (static_cast<Signed>(at) + padding[axis]) / stride[axis];
    return last < static_cast<Signed>(windows[axis]) ? last
                                                     : static_cast<Signed>(windows[axis]) - 1;
  }
};

// Where element or window `i` of all planes is.
template <class I>
struct Place {
  I plane, image, channel, row, column;
  __device__ Place(I i, const I (&size)[2], I channels) {
    const I line = i / size[1];
    column = i - line * size[1];
    plane = line / size[0];
    row = line - plane * size[0];
    image = plane / channels;
    channel = plane - image * channels;
  }
};

template <class T>
__device__ __forceinline__ int64_t plane_offset(const Images<T>& x, int64_t image,
                                                int64_t channel) {
  return image * x.image + channel * x.channel;
}

template <class T>
__device__ __forceinline__ Compute<T> element(const Images<T>& x, int64_t plane, int64_t row,
                                              int64_t column) {
  return widen(x.data[plane + row * x.row + column * x.column]);
}

// The first NaN, or else the first maximum, of a window of the plane at x.data[plane].
template <class T>
struct Maximum {
  Compute<T> value;
  int64_t row, column;

  template <class I>
  __device__ Maximum(const Plane<I>& s, const Images<T>& x, int64_t plane, I oy, I ox) {
    const I y0 = s.begin(0, oy), y1 = s.end(0, oy), x0 = s.begin(1, ox), x1 = s.end(1, ox);
    row = y0, column = x0;
    value = element(x, plane, y0, x0);
    for (I r = y0; r < y1; ++r)
      for (I c = x0; c < x1; ++c) {
        const Compute<T> v = element(x, plane, r, c);
        if (v > value || (v != v && value == value)) value = v, row = r, column = c;
      }
  }
};

enum class Pick { maximum, average, select, position };

// What a window comes to: x's maximum or average, y's element at the maximum, or the place of the
// maximum in its plane.
template <class T, class I>
__global__ void pool_windows(Plane<I> s, Images<T> x, Images<T> y, Pick pick, I count, T* out,
                             I* positions) {
  const Compute<T> area =
      static_cast<Compute<T>>(s.kernel[0]) * static_cast<Compute<T>>(s.kernel[1]);
  const I step = static_cast<I>(item_stride());
  for (I i = static_cast<I>(first_item()); i < count; i += step) {
    const Place<I> at(i, s.windows, s.channels);
    const int64_t plane = plane_offset(x, at.image, at.channel);
    if (pick == Pick::average) {
      Compute<T> sum = 0;
      const I y1 = s.end(0, at.row), x0 = s.begin(1, at.column), x1 = s.end(1, at.column);
      for (I r = s.begin(0, at.row); r < y1; ++r)
        for (I c = x0; c < x1; ++c) sum += element(x, plane, r, c);
      out[i] = narrow<T>(sum / area);
      continue;
    }
    const Maximum<T> top(s, x, plane, at.row, at.column);
    if (pick == Pick::maximum)
      out[i] = narrow<T>(top.value);
    else if (pick == Pick::position)
      positions[i] = static_cast<I>(top.row) * s.size[1] + static_cast<I>(top.column);
    else
      out[i] =
          y.data[plane_offset(y, at.image, at.channel) + top.row * y.row + top.column * y.column];
  }
}

enum class Give { average, searched, stored };

// What an element gets from the windows that it lies in: g's share, or g where it is the maximum,
// which is searched in x or stored.
template <class T, class I>
__global__ void pool_elements(Plane<I> s, Images<T> g, Images<T> x, Give give, I count, T* out,
                              const I* positions) {
  using Signed = typename Plane<I>::Signed;
  const Compute<T> share =
      1 / (static_cast<Compute<T>>(s.kernel[0]) * static_cast<Compute<T>>(s.kernel[1]));
  const I step = static_cast<I>(item_stride());
  for (I i = static_cast<I>(first_item()); i < count; i += step) {
    const Place<I> at(i, s.size, s.channels);
    const int64_t plane = plane_offset(g, at.image, at.channel);
    const int64_t searched = plane_offset(x, at.image, at.channel);
    const Signed y1 = s.last_window(0, at.row), x0 = s.first_window(1, at.column);
    const Signed x1 = s.last_window(1, at.column);
    const I here = at.row * s.size[1] + at.column;
    Compute<T> sum = 0;
    for (Signed oy = s.first_window(0, at.row); oy <= y1; ++oy)
      for (Signed n = x0; n <= x1; ++n) {
        const Signed ox = give == Give::average ? x0 + x1 - n : n;  // the CPU's order
        if (give == Give::stored) {
          const I window =
              (at.plane * s.windows[0] + static_cast<I>(oy)) * s.windows[1] + static_cast<I>(ox);
          if (positions[window] != here) continue;
        } else if (give == Give::searched) {
          const Maximum<T> top(s, x, searched, static_cast<I>(oy), static_cast<I>(ox));
          if (static_cast<I>(top.row) != at.row || static_cast<I>(top.column) != at.column)
            continue;
        }
        const Compute<T> v = element(g, plane, oy, ox);
        sum += give == Give::average ? product(v, share) : v;
      }
    out[i] = narrow<T>(sum);
  }
}

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }

template <class I>
Plane<I> plane_of(const Shape& wide, const Shape& windows, const Attrs::Window& w) {
  using Signed = typename Plane<I>::Signed;
  Plane<I> s;
  s.channels = static_cast<I>(wide[1]);
  for (int i = 0; i < 2; ++i) {
    s.size[i] = static_cast<I>(wide[2 + i]);
    s.windows[i] = static_cast<I>(windows[2 + i]);
    s.kernel[i] = static_cast<Signed>(w.kernel[i]);
    s.stride[i] = static_cast<Signed>(w.stride[i]);
    s.padding[i] = static_cast<Signed>(w.padding[i]);
  }
  return s;
}

// Elements that one input of a maximum's adjoint reads if it searches all windows it lies in.
bool few_reads(const Attrs::Window& w, const Shape& wide) {
  int64_t reads = 1;
  for (int i = 0; i < 2; ++i) {
    const int64_t kernel = smaller(w.kernel[i], wide[2 + i]);
    if (kernel > kFewReads) return false;
    reads *= kernel * ceil_div(kernel, w.stride[i]);
  }
  return reads <= kFewReads;
}

template <class T, class I>
Status run(ExecContext* ctx, const OpCall& call, const Shape& wide, const Shape& windows) {
  const Plane<I> s = plane_of<I>(wide, windows, call.attrs.window);
  const Images<T> first(call.in[0]), second(call.in[call.n_in - 1]);
  const int64_t count = call.out.shape.count(), to = windows.count();
  T* const out = static_cast<T*>(call.out.data);
  I* const none = nullptr;
  const auto over_windows = [&](const Images<T>& x, Pick pick, I* positions) {
    return launch(ctx, pool_windows<T, I>, grid_for(ctx, to), s, x, first, pick, static_cast<I>(to),
                  out, positions);
  };
  const auto over_elements = [&](Give give, const I* positions) {
    return launch(ctx, pool_elements<T, I>, grid_for(ctx, count), s, first, second, give,
                  static_cast<I>(count), out, positions);
  };
  switch (call.op) {
    case op_maxPool2d:
      return over_windows(first, Pick::maximum, none);
    case op_avgPool2d:
      return over_windows(first, Pick::average, none);
    case op_maxPool2dSelect:
      return over_windows(second, Pick::select, none);
    case op_avgPool2dBackward:
      return over_elements(Give::average, none);
    default:
      break;
  }
  if (few_reads(call.attrs.window, wide)) return over_elements(Give::searched, none);
  I* const positions = static_cast<I*>(scratch(ctx, static_cast<size_t>(to) * sizeof(I)));
  if (!positions) return Status::out_of_memory;
  TG_TRY(over_windows(second, Pick::position, positions));
  return over_elements(Give::stored, positions);
}

// Whether every index and every corner of a window is below 2^31.
bool narrow_indices(const Shape& wide, const Shape& windows, const Attrs::Window& w) {
  constexpr int64_t kLimit = int64_t{1} << 30;
  bool narrow = wide.count() < kLimit && windows.count() < kLimit;
  for (int i = 0; i < 2; ++i)
    narrow = narrow && w.kernel[i] < kLimit && w.stride[i] < kLimit && w.padding[i] < kLimit;
  return narrow;
}

template <class T>
Status run_typed(ExecContext* ctx, const OpCall& call) {
  const bool adjoint = call.op == op_maxPool2dBackward || call.op == op_avgPool2dBackward;
  const Shape& wide = adjoint ? call.out.shape : call.in[0].shape;
  const Shape& windows = adjoint ? call.in[0].shape : call.out.shape;
  ctx->trace.variant = "windows";
  if (call.out.shape.count() == 0) return Status::ok;
  return narrow_indices(wide, windows, call.attrs.window)
             ? run<T, uint32_t>(ctx, call, wide, windows)
             : run<T, int64_t>(ctx, call, wide, windows);
}

}  // namespace

Status run_pool(ExecContext* ctx, const OpCall& call) {
  return by_float(call.out.dtype, [&](auto t) { return run_typed<decltype(t)>(ctx, call); });
}

}  // namespace tg::cuda
