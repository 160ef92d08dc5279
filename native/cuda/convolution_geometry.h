// The sizes of a convolution, and which taps of its kernel a result sees. Includes no kernels.
//
// A convolution and its adjoint in the input are both a Correlation: result i of an axis is the sum
// over taps t of weight[first + t · tap_step] · source[i · scale + offset + t · step], where what
// lies outside of the source counts as 0. The adjoint of a stride falls apart into phases: results
// that lie a stride apart use the same taps of the kernel, and see the source with stride 1.
#pragma once

#include "../core/backend.h"
#include "images.h"

namespace tg::cuda {

TG_DEVICE_TOO inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
TG_DEVICE_TOO inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
TG_DEVICE_TOO inline int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }

// The results r, r + phases, r + 2 · phases, … of an axis.
template <class I>
struct Phase {
  I count;   // of these results
  I taps;    // of the kernel that they use
  I first;   // of these taps
  I offset;  // what result 0 and tap 0 see
};

// I is what coordinates are counted in.
template <class I>
struct Axis {
  I source, result;  // sizes
  I kernel, padding, stride, dilation;
  I phases, tap_step, scale, step;
  bool adjoint;

  // `source` and `result` are exchanged for the adjoint, where `result` is the input's size.
  Axis(const Attrs::Window& w, int axis, int64_t from, int64_t to, bool is_adjoint)
      : source(static_cast<I>(from)), result(static_cast<I>(to)), adjoint(is_adjoint) {
    // Steps past all of the input are the same as one to its end.
    const int64_t end = larger(1, (adjoint ? to : from) + 2 * w.padding[axis]);
    const int64_t s = smaller(w.stride[axis], end), d = smaller(w.dilation[axis], end);
    int64_t a = s, b = d;
    while (b != 0) {
      const int64_t rest = a % b;
      a = b, b = rest;
    }
    kernel = static_cast<I>(w.kernel[axis]);
    padding = static_cast<I>(w.padding[axis]);
    stride = static_cast<I>(s), dilation = static_cast<I>(d);
    phases = static_cast<I>(adjoint ? larger(1, smaller(s, to)) : 1);
    tap_step = static_cast<I>(adjoint ? s / a : 1);
    scale = static_cast<I>(adjoint ? 1 : s);
    step = static_cast<I>(adjoint ? -d / a : d);
  }

  I reach() const { return dilation * (kernel - 1) + 1; }

  __host__ __device__ Phase<I> phase(I r) const {
    Phase<I> p = {(result - r + phases - 1) / phases, kernel, 0, -padding};
    if (!adjoint) return p;
    while (p.first < tap_step && p.first < kernel &&
           (r + padding - p.first * dilation) % stride != 0)
      ++p.first;
    const bool any = p.first < tap_step && p.first < kernel;
    p.taps = any ? (kernel - p.first + tap_step - 1) / tap_step : 0;
    p.offset = any ? (r + padding - p.first * dilation) / stride : 0;
    return p;
  }
};

// A convolution, or its adjoint in the input: what kernels need to know. `rows` are the channels of
// the result in a group, `channels` those of the source; weight (group, row, channel, ky, kx) lies
// at group · group_stride + row · w.image + channel · w.channel + ky · w.row + kx · w.column.
template <class T, class I>
struct Correlation {
  Images<T> x, w;
  int64_t group_stride;
  const T* bias;  // one per channel of the result, `bias_stride` apart; may be null
  int64_t bias_stride;
  T* y;  // contiguous
  Axis<I> axis[2];
  int64_t images, groups, rows, channels;

  Correlation(const OpCall& call, bool adjoint)
      : x(call.in[0]),
        w(call.in[1]),
        bias(nullptr),
        bias_stride(0),
        y(static_cast<T*>(call.out.data)),
        axis{{call.attrs.window, 0, call.in[0].shape[2], call.out.shape[2], adjoint},
             {call.attrs.window, 1, call.in[0].shape[3], call.out.shape[3], adjoint}},
        images(call.out.shape[0]),
        groups(call.attrs.window.groups),
        rows(call.out.shape[1] / groups),
        channels(call.in[0].shape[1] / groups) {
    const Shape& weight = call.in[1].shape;
    group_stride = weight[0] / groups * w.image;
    if (adjoint) {
      const int64_t outputs = w.image;
      w.image = w.channel;
      w.channel = outputs;
    }
    if (call.op == op_conv2d) {
      bias = static_cast<const T*>(call.in[2].data);
      bias_stride = call.in[2].strides[0];
    }
  }
};

// Whether all coordinates, places in a plane and terms of a sum are far enough below 2^31. `x` is
// the convolution's input, `y` its result.
inline bool narrow_coordinates(const Shape& x, const Shape& y, const Attrs::Window& w) {
  constexpr int64_t kLimit = int64_t{1} << 30;
  const auto fits = [](int64_t a, int64_t b) { return b == 0 || a < kLimit / b; };
  bool narrow = x[0] < kLimit && fits(x[2], x[3]) && fits(y[2], y[3]);
  for (int i = 0; i < 2; ++i)
    narrow = narrow && w.padding[i] < kLimit / 4 && x[2 + i] < kLimit / 4 && y[2 + i] < kLimit;
  const int64_t channels = larger(x[1], y[1]) / w.groups + 1;
  return narrow && fits(w.kernel[0], w.kernel[1]) && fits(channels, w.kernel[0] * w.kernel[1]);
}

// Whether an int holds the distance of what is `channels` channels, `rows` rows and `columns`
// columns apart.
template <class T>
bool narrow_offsets(const Images<T>& x, int64_t channels, int64_t rows, int64_t columns) {
  const auto length = [](int64_t stride, int64_t count) {
    return static_cast<double>(stride < 0 ? -stride : stride) * static_cast<double>(count + 16);
  };
  return length(x.channel, channels) + length(x.row, rows) + length(x.column, columns) < 1 << 30;
}

}  // namespace tg::cuda
