// Pooling, plane by plane, by the kernels of the table; gradients of maxima go where they found
// them. No N-API.
#include "pool.h"

#include <cstring>

#include "../core/thread_pool.h"
#include "contiguous.h"

namespace tg::cpu {
namespace {

constexpr int64_t kThreadWork = 32768;  // window elements below which threads cost more
constexpr int64_t kFewWindows = 4;      // in a row: searched one by one

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Rows or columns of the window at `at` that lie inside: begin … end - 1.
int64_t begin(const PoolPlane& s, int axis, int64_t at) {
  return larger(0, at * s.stride[axis] - s.padding[axis]);
}
int64_t end(const PoolPlane& s, int axis, int64_t at) {
  return smaller(axis ? s.w : s.h, at * s.stride[axis] - s.padding[axis] + s.kernel[axis]);
}

// The first NaN, or else the first maximum, of one window.
template <class T>
int64_t maximum_of(const PoolPlane& s, const T* x, int64_t oy, int64_t ox) {
  const int64_t y0 = begin(s, 0, oy), y1 = end(s, 0, oy);
  const int64_t x0 = begin(s, 1, ox), x1 = end(s, 1, ox);
  int64_t best = y0 * s.w + x0;
  T top = x[best];
  for (int64_t y = y0; y < y1; ++y)
    for (int64_t i = y * s.w + x0; i < y * s.w + x1; ++i)
      if (x[i] > top || (x[i] != x[i] && top == top)) {
        best = i;
        top = x[i];
      }
  return best;
}

// f(window, element): the maximum of every window of x. `at` has room for all windows,
// or is null: then they are searched one by one.
template <class T, class F>
void each_maximum(const PoolKernels<T>& kernels, const PoolPlane& s, const T* x,
                  typename PoolIndex<T>::type* at, F f) {
  if (at) {
    kernels.maxima(s, x, at);
    for (int64_t i = 0; i < s.oh * s.ow; ++i) f(i, at[i]);
    return;
  }
  for (int64_t oy = 0; oy < s.oh; ++oy)
    for (int64_t ox = 0; ox < s.ow; ++ox) f(oy * s.ow + ox, maximum_of(s, x, oy, ox));
}

template <class T>
void average_pool_adjoint(const PoolPlane& s, const T* g, T* dx) {
  std::memset(dx, 0, static_cast<size_t>(s.h * s.w) * sizeof(T));
  const T share = 1 / static_cast<T>(s.kernel[0] * s.kernel[1]);
  const int64_t step = s.stride[1], pad = s.padding[1];
  // Columns of windows that any window has inside the plane: kernels may be far wider than it.
  const int64_t first = larger(0, pad - (s.ow - 1) * step), last = smaller(s.kernel[1], s.w + pad);
  for (int64_t oy = 0; oy < s.oh; ++oy, g += s.ow)
    for (int64_t r = begin(s, 0, oy); r < end(s, 0, oy); ++r)
      for (int64_t kx = first; kx < last; ++kx) {
        // Windows lo … hi - 1 have their column kx inside, at ox · step + offset.
        const int64_t offset = kx - pad;
        const int64_t lo = offset < 0 ? (-offset + step - 1) / step : 0;
        const int64_t hi = smaller(offset < s.w ? (s.w - offset + step - 1) / step : 0, s.ow);
        T* line = dx + r * s.w + offset;
        for (int64_t i = lo; i < hi; ++i) line[i * step] += g[i] * share;
      }
}

template <class T>
Status run(const PoolKernels<T>& kernels, ExecContext* ctx, const OpCall& call) {
  using Index = typename PoolIndex<T>::type;
  const bool adjoint = call.op == op_maxPool2dBackward || call.op == op_avgPool2dBackward;
  const bool search = call.op == op_maxPool2dBackward || call.op == op_maxPool2dSelect;
  const Shape& wide = call.op == op_maxPool2dSelect || !adjoint ? call.in[0].shape : call.out.shape;
  const Shape& narrow = adjoint ? call.in[0].shape : call.out.shape;
  const Attrs::Window& win = call.attrs.window;
  const PoolPlane s{wide[2],
                    wide[3],
                    narrow[2],
                    narrow[3],
                    {win.kernel[0], win.kernel[1]},
                    {win.stride[0], win.stride[1]},
                    {win.padding[0], win.padding[1]}};
  const int64_t planes = wide[0] * wide[1], from = s.h * s.w, to = s.oh * s.ow;
  ctx->trace.variant = "planes";
  if (planes == 0) return Status::ok;
  const double work = static_cast<double>(planes) * static_cast<double>(to) *
                      static_cast<double>(s.kernel[0]) * static_cast<double>(s.kernel[1]);
  const int64_t tasks =
      work < kThreadWork ? 1 : smaller(planes, 4 * static_cast<int64_t>(ctx->threads->size()));
  const bool fits = sizeof(Index) == 8 || from < int64_t{1} << 31;
  const int64_t room = search && fits && s.ow >= kFewWindows
                           ? Contiguous::aligned(to * static_cast<int64_t>(sizeof(Index)))
                           : 0;
  Contiguous in(ctx, call);
  TG_TRY(in.prepare(tasks * room));
  const T* first = in.in<T>(0);
  const T* x = call.n_in > 1 ? in.in<T>(1) : nullptr;
  T* out = static_cast<T*>(call.out.data);
  const auto plane = [&](int64_t p, Index* at) {
    switch (call.op) {
      case op_maxPool2d:
        return kernels.max(s, first + p * from, out + p * to);
      case op_avgPool2d:
        return kernels.average(s, first + p * from, out + p * to);
      case op_avgPool2dBackward:
        return average_pool_adjoint(s, first + p * to, out + p * from);
      case op_maxPool2dBackward: {
        const T* g = first + p * to;
        T* dx = out + p * from;
        std::memset(dx, 0, static_cast<size_t>(from) * sizeof(T));
        return each_maximum(kernels, s, x + p * from, at,
                            [&](int64_t window, int64_t best) { dx[best] += g[window]; });
      }
      default: {
        const T* y = first + p * from;
        T* picked = out + p * to;
        return each_maximum(kernels, s, x + p * from, at,
                            [&](int64_t window, int64_t best) { picked[window] = y[best]; });
      }
    }
  };
  parallel(*ctx->threads, tasks, [&](int64_t task) {
    Index* at = room ? reinterpret_cast<Index*>(in.extra() + task * room) : nullptr;
    for (int64_t p = planes * task / tasks; p < planes * (task + 1) / tasks; ++p) plane(p, at);
  });
  return Status::ok;
}

}  // namespace

Status run_pool(const PoolTable& table, ExecContext* ctx, const OpCall& call) {
  return call.out.dtype == DType::float32 ? run(table.f32, ctx, call) : run(table.f64, ctx, call);
}

}  // namespace tg::cpu
