// Convolution and its adjoints.
#include <math.h>
#include <string.h>

#include "cases.h"

namespace tg::test {

namespace {

struct Geometry {
  int64_t n, groups, channels, outputs;  // of a group
  int64_t h, w;
  int64_t kernel[2], stride[2], padding[2], dilation[2];
};

// All ops of one geometry. What they sum is below 1, so that the error is in proportion to the
// number of terms.
void convolve(Harness& h, DType dtype, Layout layout, const Geometry& s) {
  Shape x_shape = shape_of({s.n, s.groups * s.channels, s.h, s.w});
  Shape y_shape = shape_of({s.n, s.groups * s.outputs, 0, 0});
  for (int i = 0; i < 2; ++i) {
    const int64_t room = x_shape[2 + i] + 2 * s.padding[i] - s.dilation[i] * (s.kernel[i] - 1) - 1;
    if (room < 0) return;
    y_shape[2 + i] = room / s.stride[i] + 1;
  }
  std::vector<double> attrs;
  for (const int64_t* pair : {s.stride, s.padding, s.dilation})
    for (int i = 0; i < 2; ++i) attrs.push_back(static_cast<double>(pair[i]));
  attrs.push_back(static_cast<double>(s.groups));
  const auto sized = [&](int64_t height, int64_t width) {
    std::vector<double> all = attrs;
    all.push_back(static_cast<double>(height));
    all.push_back(static_cast<double>(width));
    return all;
  };
  const auto sum_of = [&](int64_t terms) {
    const Tolerance one = ulps(1, dtype);
    const double unit = one.relative, n = static_cast<double>(terms);
    // Factors rounded to tf32: errors of terms, of up to 2⁻¹⁰, mostly cancel.
    if (h.cuda.tf32) return Tolerance{0, 0x1p-9 * sqrt(n + 1)};
    return Tolerance{(1 + n / 16) * unit, (4 + n) * unit};
  };
  const Shape w_shape = shape_of({s.groups * s.outputs, s.channels, s.kernel[0], s.kernel[1]});
  Value x = h.random(dtype, x_shape, layout, -1, 1), w = h.random(dtype, w_shape, layout, -1, 1);
  Value g = h.random(dtype, y_shape, layout, -1, 1);
  Value bias = h.random(dtype, shape_of({y_shape[1]}), layout, -1, 1);
  const int64_t taps = s.kernel[0] * s.kernel[1];
  h.compare(op_convolve2d, {&x, &w}, attrs, sum_of(s.channels * taps));
  h.compare(op_conv2d, {&x, &w, &bias}, attrs, sum_of(s.channels * taps));
  h.compare(op_conv2dInput, {&g, &w}, sized(s.h, s.w), sum_of(s.outputs * taps));
  h.compare(op_conv2dWeight, {&x, &g}, sized(s.kernel[0], s.kernel[1]),
            sum_of(s.n * y_shape[2] * y_shape[3]));
}

Geometry random_geometry(Harness& h, int64_t most_channels) {
  Geometry s = {h.pick(0, 3),
                h.pick(1, 3),
                h.pick(0, most_channels),
                h.pick(0, most_channels),
                h.pick(1, 15),
                h.pick(1, 15),
                {},
                {},
                {},
                {}};
  if (h.pick(0, 4) == 0) s.channels = s.outputs = 1;  // depthwise
  for (int i = 0; i < 2; ++i) {
    s.kernel[i] = h.pick(1, 5);
    s.stride[i] = h.pick(0, 1) ? 1 : h.pick(1, 6);
    s.padding[i] = h.pick(0, 3);
    s.dilation[i] = h.pick(1, 3);
  }
  return s;
}

}  // namespace

void convolution_cases(Harness& h) {
  constexpr DType kTypes[] = {DType::float32, DType::float64, DType::bfloat16};
  constexpr Layout kLayouts[] = {Layout::contiguous, Layout::permuted, Layout::any};
  for (int i = 0; i < 180; ++i)
    convolve(h, kTypes[i % 3], kLayouts[i / 3 % 3], random_geometry(h, i < 120 ? 9 : 40));
  constexpr int64_t kFar = int64_t{1} << 31;
  const Geometry geometries[] = {
      // Tiles of many rows, whole and not, with and without a plane of whole vectors.
      {2, 1, 70, 130, 12, 16, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
      {3, 2, 36, 40, 15, 13, {3, 3}, {2, 2}, {1, 1}, {1, 1}},
      // No columns to gather.
      {3, 1, 33, 65, 16, 8, {1, 1}, {1, 1}, {0, 0}, {1, 1}},
      {2, 3, 10, 6, 12, 11, {1, 1}, {1, 1}, {0, 0}, {1, 1}},
      {2, 2, 5, 6, 140, 1, {1, 1}, {1, 1}, {0, 0}, {1, 1}},
      // Many pixels: the weight's gradient has parts.
      {4, 1, 12, 16, 40, 39, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
      {4, 6, 1, 2, 60, 61, {3, 5}, {1, 2}, {1, 1}, {1, 1}},
      // Steps past the end, and more padding than input.
      {2, 1, 6, 7, 5, 4, {1, 1}, {kFar, kFar}, {0, 0}, {kFar, kFar}},
      {2, 1, 6, 7, 4, 5, {2, 2}, {3, 7}, {5, 9}, {4, 3}},
      // Coordinates that only 64 bits hold: what is read is all padding but for a few places.
      {1, 1, 2, 3, 4, 5, {2, 3}, {kFar, 1}, {kFar, 1}, {3, 1}},
      // Patches, whose adjoint has a phase for each element.
      {2, 1, 3, 48, 16, 16, {8, 8}, {8, 8}, {0, 0}, {1, 1}},
  };
  for (const Geometry& s : geometries)
    for (const DType dtype : kTypes) convolve(h, dtype, Layout::contiguous, s);

  h.cuda.tf32 = true;
  for (const Geometry& s : geometries) convolve(h, DType::float32, Layout::contiguous, s);
  for (int i = 0; i < 30; ++i) convolve(h, DType::float32, kLayouts[i % 3], random_geometry(h, 40));
  for (const int64_t kernel : {1, 3}) {
    const int64_t size = 15 + kernel;
    Value x = h.random(DType::float32, shape_of({2, 30, size, size}));
    Value w = h.random(DType::float32, shape_of({20, 30, kernel, kernel}));
    if (h.compare(op_convolve2d, {&x, &w}, {1, 1, 0, 0, 1, 1, 1}, {0, 0x1p-5}))
      h.check(strstr(h.cuda.trace.variant, "tf32"), "convolution in tf32: %s ran",
              h.cuda.trace.variant);
  }
  h.cuda.tf32 = false;
}

}  // namespace tg::test
