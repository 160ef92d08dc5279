// Pooling, plane by plane: results a row at a time, gradients of maxima window by window. No N-API.
#include "pool.h"

#include <cstring>

#include "../core/thread_pool.h"
#include "contiguous.h"

namespace tg::cpu {
namespace {

constexpr int64_t kThreadWork = 32768;  // window elements below which threads cost more

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// A plane of h × w elements and its oh × ow windows.
struct Windows {
  int64_t h, w, oh, ow;
  Attrs::Window win;

  // Windows ox in lo … hi - 1 have their column kx inside the plane, at ox · stride + offset.
  struct Tap {
    int64_t offset, lo, hi;
  };
  Tap tap(int64_t kx) const {
    const int64_t stride = win.stride[1], offset = kx - win.padding[1];
    const int64_t lo = offset < 0 ? (-offset + stride - 1) / stride : 0;
    const int64_t hi = offset < w ? (w - offset + stride - 1) / stride : 0;
    return {offset, lo, smaller(hi, ow)};
  }
  // Columns of windows that any window has inside the plane: kernels may be far wider than it.
  int64_t first_tap() const { return larger(0, win.padding[1] - (ow - 1) * win.stride[1]); }
  int64_t last_tap() const { return smaller(win.kernel[1], w + win.padding[1]); }
  // Rows of the windows of row oy that lie inside: y0 … y1 - 1. Likewise columns.
  int64_t begin(int axis, int64_t at) const {
    return larger(0, at * win.stride[axis] - win.padding[axis]);
  }
  int64_t end(int axis, int64_t at) const {
    return smaller(axis ? w : h, at * win.stride[axis] - win.padding[axis] + win.kernel[axis]);
  }

  // f(window, element): the first maximum of every window of x.
  template <class T, class F>
  void each_maximum(const T* x, F f) const {
    for (int64_t oy = 0; oy < oh; ++oy) {
      const int64_t y0 = begin(0, oy), y1 = end(0, oy);
      for (int64_t ox = 0; ox < ow; ++ox) {
        const int64_t x0 = begin(1, ox), x1 = end(1, ox);
        int64_t best = y0 * w + x0;
        T top = x[best];
        for (int64_t y = y0; y < y1; ++y)
          for (int64_t i = y * w + x0; i < y * w + x1; ++i)
            if (x[i] > top || (x[i] != x[i] && top == top)) {
              best = i;
              top = x[i];
            }
        f(oy * ow + ox, best);
      }
    }
  }
};

// Joins every element of its windows to the result, row by row, so that the inner loop has neither
// conditions nor dependencies.
template <class T, class F>
void fold_rows(const Windows& s, const T* x, T* y, F join) {
  const int64_t step = s.win.stride[1];
  for (int64_t oy = 0; oy < s.oh; ++oy, y += s.ow)
    for (int64_t r = s.begin(0, oy); r < s.end(0, oy); ++r)
      for (int64_t kx = s.first_tap(); kx < s.last_tap(); ++kx) {
        const Windows::Tap t = s.tap(kx);
        const T* line = x + r * s.w + t.offset;
        if (step == 1)
          for (int64_t i = t.lo; i < t.hi; ++i) y[i] = join(y[i], line[i]);
        else if (step == 2)
          for (int64_t i = t.lo; i < t.hi; ++i) y[i] = join(y[i], line[2 * i]);
        else
          for (int64_t i = t.lo; i < t.hi; ++i) y[i] = join(y[i], line[i * step]);
      }
}

template <class T>
void max_pool(const Windows& s, const T* x, T* y) {
  const T lowest = -static_cast<T>(__builtin_inf());
  for (int64_t i = 0; i < s.oh * s.ow; ++i) y[i] = lowest;
  fold_rows(s, x, y, [](T a, T b) { return ((b > a) | (b != b)) ? b : a; });
}

template <class T>
void average_pool(const Windows& s, const T* x, T* y) {
  std::memset(y, 0, static_cast<size_t>(s.oh * s.ow) * sizeof(T));
  fold_rows(s, x, y, [](T a, T b) { return a + b; });
  const T count = static_cast<T>(s.win.kernel[0] * s.win.kernel[1]);
  for (int64_t i = 0; i < s.oh * s.ow; ++i) y[i] /= count;
}

template <class T>
void average_pool_adjoint(const Windows& s, const T* g, T* dx) {
  std::memset(dx, 0, static_cast<size_t>(s.h * s.w) * sizeof(T));
  const T share = 1 / static_cast<T>(s.win.kernel[0] * s.win.kernel[1]);
  const int64_t step = s.win.stride[1];
  for (int64_t oy = 0; oy < s.oh; ++oy, g += s.ow)
    for (int64_t r = s.begin(0, oy); r < s.end(0, oy); ++r)
      for (int64_t kx = s.first_tap(); kx < s.last_tap(); ++kx) {
        const Windows::Tap t = s.tap(kx);
        T* line = dx + r * s.w + t.offset;
        for (int64_t i = t.lo; i < t.hi; ++i) line[i * step] += g[i] * share;
      }
}

template <class T>
Status run(ExecContext* ctx, const OpCall& call) {
  const bool adjoint = call.op == op_maxPool2dBackward || call.op == op_avgPool2dBackward;
  const Shape& wide = call.op == op_maxPool2dSelect || !adjoint ? call.in[0].shape : call.out.shape;
  const Shape& narrow = adjoint ? call.in[0].shape : call.out.shape;
  const Windows s{wide[2], wide[3], narrow[2], narrow[3], call.attrs.window};
  const int64_t planes = wide[0] * wide[1], from = s.h * s.w, to = s.oh * s.ow;
  ctx->trace.variant = "planes";
  if (planes == 0) return Status::ok;
  Contiguous in(ctx, call);
  TG_TRY(in.prepare(0));
  const T* first = in.in<T>(0);
  const T* x = call.n_in > 1 ? in.in<T>(1) : nullptr;
  T* out = static_cast<T*>(call.out.data);
  const auto plane = [&](int64_t p) {
    switch (call.op) {
      case op_maxPool2d:
        return max_pool(s, first + p * from, out + p * to);
      case op_avgPool2d:
        return average_pool(s, first + p * from, out + p * to);
      case op_avgPool2dBackward:
        return average_pool_adjoint(s, first + p * to, out + p * from);
      case op_maxPool2dBackward: {
        const T* g = first + p * to;
        T* dx = out + p * from;
        std::memset(dx, 0, static_cast<size_t>(from) * sizeof(T));
        return s.each_maximum(x + p * from, [&](int64_t at, int64_t best) { dx[best] += g[at]; });
      }
      default: {
        const T* y = first + p * from;
        T* picked = out + p * to;
        return s.each_maximum(x + p * from,
                              [&](int64_t at, int64_t best) { picked[at] = y[best]; });
      }
    }
  };
  const double work = static_cast<double>(planes) * static_cast<double>(to) *
                      static_cast<double>(s.win.kernel[0]) * static_cast<double>(s.win.kernel[1]);
  const int64_t tasks =
      work < kThreadWork ? 1 : smaller(planes, 4 * static_cast<int64_t>(ctx->threads->size()));
  parallel(*ctx->threads, tasks, [&](int64_t task) {
    for (int64_t p = planes * task / tasks; p < planes * (task + 1) / tasks; ++p) plane(p);
  });
  return Status::ok;
}

}  // namespace

Status run_pool(ExecContext* ctx, const OpCall& call) {
  return call.out.dtype == DType::float32 ? run<float>(ctx, call) : run<double>(ctx, call);
}

}  // namespace tg::cpu
