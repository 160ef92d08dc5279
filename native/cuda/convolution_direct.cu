// Convolutions whose groups have too few channels for products, depthwise ones above all, and those
// of extreme sizes: a thread per result.
#include <math.h>

#include "convolution_kernels.h"

namespace tg::cuda {
namespace {

template <class T, class I>
__global__ void __launch_bounds__(kThreads)
    correlate(const __grid_constant__ Correlation<T, I> s, int64_t count) {
  using C = Compute<T>;
  const Axis<I>&rows = s.axis[0], &columns = s.axis[1];
  for (int64_t i = first_item(); i < count; i += item_stride()) {
    const int64_t line = i / columns.result, plane = line / rows.result;
    const I y = static_cast<I>(line - plane * rows.result);
    const I x = static_cast<I>(i - line * columns.result);
    const int64_t image = plane / (s.groups * s.rows), channel = plane % (s.groups * s.rows);
    const int64_t group = channel / s.rows, row = channel % s.rows;
    const Phase<I> py = rows.phase(y % rows.phases), px = columns.phase(x % columns.phases);
    const I y0 = y / rows.phases * rows.scale + py.offset;
    const I x0 = x / columns.phases * columns.scale + px.offset;
    const T* from = s.x.data + image * s.x.image + group * s.channels * s.x.channel;
    const T* w = s.w.data + group * s.group_stride + row * s.w.image + py.first * s.w.row +
                 px.first * s.w.column;
    C sum = s.bias ? widen(s.bias[channel * s.bias_stride]) : C(0);
    for (int64_t c = 0; c < s.channels; ++c, from += s.x.channel, w += s.w.channel)
      for (I ky = 0; ky < py.taps; ++ky) {
        const I sy = y0 + ky * rows.step;
        const bool inside = sy >= 0 && sy < rows.source;
        const T* const source = from + sy * s.x.row;
        const T* const tap = w + ky * rows.tap_step * s.w.row;
        for (I kx = 0; kx < px.taps; ++kx) {
          const I sx = x0 + kx * columns.step;
          const C v =
              inside && sx >= 0 && sx < columns.source ? widen(source[sx * s.x.column]) : C(0);
          sum = ::fma(v, widen(tap[kx * columns.tap_step * s.w.column]), sum);
        }
      }
    s.y[i] = narrow<T>(sum);
  }
}

}  // namespace

template <class T, class I>
Status correlate_directly(ExecContext* ctx, const Correlation<T, I>& s) {
  const int64_t count = s.images * s.groups * s.rows * s.axis[0].result * s.axis[1].result;
  return launch(ctx, correlate<T, I>, grid_for(ctx, count), s, count);
}

template Status correlate_directly(ExecContext*, const Correlation<float, int>&);
template Status correlate_directly(ExecContext*, const Correlation<double, int>&);
template Status correlate_directly(ExecContext*, const Correlation<bf16, int>&);
template Status correlate_directly(ExecContext*, const Correlation<float, int64_t>&);
template Status correlate_directly(ExecContext*, const Correlation<double, int64_t>&);
template Status correlate_directly(ExecContext*, const Correlation<bf16, int64_t>&);

}  // namespace tg::cuda
