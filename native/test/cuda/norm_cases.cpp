// Layer and batch normalisation with their gradients and sums.
#include <math.h>

#include "cases.h"

namespace tg::test {

namespace {

constexpr DType kFloats[] = {DType::float32, DType::float64, DType::bfloat16};

// Roundings of sums of n terms of size 1.
Tolerance tolerance(DType dtype, int64_t n) {
  const double unit = dtype == DType::float64 ? 0x1p-52 : 0x1p-23;
  const double many = 32 + 4 * sqrt(static_cast<double>(n));
  return {many * unit, many * unit};
}

void layer(Harness& h, DType dtype, const Shape& shape, int dims, Layout layout, double centre) {
  int64_t n = 1;
  Shape last;
  for (int i = shape.ndim - dims; i < shape.ndim; ++i) n *= shape[i], last.push(shape[i]);
  const int64_t rows = n ? shape.count() / n : 0;
  Value x = h.random(dtype, shape, layout, centre - 2, centre + 2);
  Value g = h.random(dtype, shape, layout);
  Value weight = h.random(dtype, last, layout), bias = h.random(dtype, last, layout);
  // The mean's rounding is that of numbers of size `centre`.
  Tolerance row = tolerance(dtype, n), sum = tolerance(dtype, rows * rows);
  row.absolute *= 1 + fabs(centre);
  if (n == 1) row.absolute *= 320;  // what should be 0 is multiplied by 1 / √eps
  sum.absolute *= 1 + fabs(centre);
  h.compare(op_layerNorm, {&x, &weight, &bias}, {1e-5}, row);
  h.compare(op_layerNormBackward, {&g, &x, &weight}, {1e-5}, row);
  h.compare(op_layerNormSums, {&g, &x}, {static_cast<double>(dims), 1e-5}, sum);
}

void layers(Harness& h) {
  const int64_t sizes[][2] = {{1, 2},    {300, 3},  {40, 8},   {33, 31},   {20, 128},
                              {7, 1000}, {3, 4096}, {2, 4099}, {3, 9000},  {2, 17001},
                              {0, 5},    {3, 0},    {2000, 6}, {700, 129}, {5000, 1}};
  for (const DType dtype : kFloats)
    for (const auto& size : sizes)
      layer(h, dtype, shape_of({size[0], size[1]}), 1, Layout::contiguous, 0);
  layer(h, DType::float32, shape_of({5, 900}), 1, Layout::contiguous, 1000);
  layer(h, DType::float32, shape_of({2, 20000}), 1, Layout::contiguous, 1000);
  for (int i = 0; i < 30; ++i) {
    const int dims = static_cast<int>(h.pick(1, 6));
    const Shape shape = h.random_shape(dims, 2000);
    // Not Layout::any: a row of one number, repeated, has no variance but that of rounding.
    layer(h, kFloats[i % 3], shape, static_cast<int>(h.pick(1, dims)),
          i % 2 ? Layout::permuted : Layout::contiguous, 0);
  }
}

void channel(Harness& h, DType dtype, const Shape& shape, Layout layout) {
  const int64_t c = shape[1], each = c ? shape.count() / c : 0;
  Value x = h.random(dtype, shape, layout), g = h.random(dtype, shape, layout);
  Value weight = h.random(dtype, shape_of({c}), layout),
        bias = h.random(dtype, shape_of({c}), layout);
  Value moments = h.random(dtype, shape_of({2, c}), layout, 0.1, 1);
  Value sums = h.random(dtype, shape_of({2, c}), layout);
  const Tolerance close = tolerance(dtype, 1), sum = tolerance(dtype, each * each);
  if (each > 0) h.compare(op_channelMoments, {&x}, {}, tolerance(dtype, each));
  h.compare(op_channelNorm, {&x, &weight, &bias, &moments}, {1e-5, 1}, close);
  h.compare(op_channelNormSums, {&g, &x, &moments}, {1e-5}, sum);
  h.compare(op_channelNormBackward, {&g, &x, &weight, &moments, &sums}, {1e-5}, close);
}

void channels(Harness& h) {
  const int64_t sizes[][3] = {{1, 1, 2},     {8, 3, 49},    {64, 10, 1}, {5, 16, 16},  {2, 4, 5000},
                              {1, 2, 70000}, {300, 129, 1}, {40, 64, 4}, {3000, 8, 1}, {0, 3, 2},
                              {3, 0, 2},     {2, 5, 0},     {33, 7, 3}};
  for (const DType dtype : kFloats) {
    for (const auto& size : sizes)
      channel(h, dtype, shape_of({size[0], size[1], size[2]}), Layout::contiguous);
    for (int i = 0; i < 10; ++i)
      channel(h, dtype, h.random_shape(static_cast<int>(h.pick(2, 5)), 2000),
              i % 2 ? Layout::any : Layout::permuted);
  }
}

}  // namespace

void norm_cases(Harness& h) {
  layers(h);
  channels(h);
}

}  // namespace tg::test
