// Pooling and its adjoints.
#include <math.h>

#include "cases.h"

namespace tg::test {

namespace {

struct Windows {
  int64_t kernel[2], stride[2], padding[2];
  std::vector<double> attrs() const {
    std::vector<double> all;
    for (const int64_t* pair : {kernel, stride, padding})
      for (int i = 0; i < 2; ++i) all.push_back(static_cast<double>(pair[i]));
    return all;
  }
};

// All five ops on x [n, c, h, w], with many equal elements, and now and then a NaN.
void pool(Harness& h, DType dtype, Layout layout, const Shape& x_shape, const Windows& w) {
  Shape pooled = x_shape;
  for (int i = 0; i < 2; ++i) {
    const int64_t room = x_shape[2 + i] + 2 * w.padding[i] - w.kernel[i];
    if (room < 0) return;
    pooled[2 + i] = room / w.stride[i] + 1;
  }
  const std::vector<double> attrs = w.attrs();
  std::vector<double> sized = attrs;
  for (int i = 0; i < 2; ++i) sized.push_back(static_cast<double>(x_shape[2 + i]));
  const Tolerance exact = {};
  Value x = h.random(dtype, x_shape, layout), y = h.random(dtype, x_shape, layout);
  Value g = h.random(dtype, pooled, layout);
  for (int64_t i = 0; i < x_shape.count(); ++i)
    x.set(i, h.pick(0, 50) == 0 ? NAN : h.pick(0, 50) == 0 ? -INFINITY : floor(h.uniform(-3, 3)));
  h.compare(op_maxPool2d, {&x}, attrs, exact);
  h.compare(op_maxPool2dSelect, {&y, &x}, attrs, exact);
  h.compare(op_maxPool2dBackward, {&g, &x}, attrs, exact);
  h.compare(op_avgPool2d, {&x}, attrs, exact);
  h.compare(op_avgPool2dBackward, {&g}, sized, exact);
}

}  // namespace

void pool_cases(Harness& h) {
  constexpr DType kTypes[] = {DType::float32, DType::float64, DType::bfloat16};
  constexpr Layout kLayouts[] = {Layout::contiguous, Layout::permuted, Layout::any};
  for (int i = 0; i < 150; ++i) {
    Windows w;
    for (int axis = 0; axis < 2; ++axis) {
      w.kernel[axis] = h.pick(1, 5);
      w.stride[axis] = h.pick(1, 4);
      w.padding[axis] = h.pick(0, w.kernel[axis] / 2);
    }
    const Shape x = shape_of({h.pick(0, 3), h.pick(1, 4), h.pick(1, 19), h.pick(1, 19)});
    pool(h, kTypes[i % 3], kLayouts[i / 3 % 3], x, w);
  }
  for (const DType dtype : kTypes) {
    // More elements than a grid has threads, and windows that see all there is.
    pool(h, dtype, Layout::contiguous, shape_of({2, 3, 90, 131}), {{2, 2}, {2, 2}, {0, 0}});
    pool(h, dtype, Layout::contiguous, shape_of({2, 3, 90, 131}), {{3, 3}, {2, 2}, {1, 1}});
    pool(h, dtype, Layout::contiguous, shape_of({3, 5, 9, 9}), {{9, 9}, {9, 9}, {0, 0}});
    // Indices that only 64 bits hold.
    constexpr int64_t kFar = int64_t{1} << 31;
    pool(h, dtype, Layout::any, shape_of({2, 2, 7, 6}), {{2, 3}, {kFar, 1}, {1, 1}});
    pool(h, dtype, Layout::contiguous, shape_of({1, 2, 5, 4}),
         {{kFar, 2}, {kFar, 2}, {kFar / 2, 0}});
  }
}

}  // namespace tg::test
