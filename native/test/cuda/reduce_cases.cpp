// Reductions: every fold and dtype, over rows, columns and what lies between, in one part or many.
#include <math.h>

#include "cases.h"

namespace tg::test {

namespace {

constexpr Op kOps[] = {op_sum,       op_mean,     op_max,    op_min,
                       op_logSumExp, op_variance, op_argmax, op_argmin};
constexpr DType kTypes[] = {DType::float32, DType::float64, DType::bfloat16, DType::int32};

bool places(Op op) { return op == op_argmax || op == op_argmin; }
bool takes(Op op, DType dtype) {
  return dtype != DType::int32 || (op != op_mean && op != op_logSumExp && op != op_variance);
}

// Axes of the mask, or all if it is full (as JavaScript's null).
std::vector<double> attrs_of(Op op, uint32_t mask, int dims, bool keep, double correction) {
  std::vector<double> attrs;
  if (mask == (1u << dims) - 1) {
    attrs.push_back(-1);
  } else {
    attrs.push_back(__builtin_popcount(mask));
    for (int i = 0; i < dims; ++i)
      if (mask >> i & 1) attrs.push_back(i);
  }
  if (op == op_variance) attrs.push_back(correction);
  attrs.push_back(keep);
  return attrs;
}

// Rounding of a sum of n numbers in [-2, 2]: both sides add a few at a time.
Tolerance tolerance(Op op, DType dtype, int64_t n) {
  if (op == op_max || op == op_min || places(op) || dtype == DType::int32) return {};
  const double unit = dtype == DType::float64 ? 0x1p-52 : 0x1p-23;
  const double many = op == op_sum || op == op_sumTo ? sqrt(static_cast<double>(n)) : 1;
  return {16 * unit, 8 * unit * many};
}

void one(Harness& h, Op op, DType dtype, const Shape& shape, uint32_t mask, Layout layout) {
  if (!takes(op, dtype)) return;
  const int dims = shape.ndim;
  const uint32_t all = (1u << dims) - 1;
  if (places(op) && mask != all && __builtin_popcount(mask) != 1) mask = all;
  int64_t n = 1;
  for (int i = 0; i < dims; ++i)
    if (mask >> i & 1) n *= shape[i];
  if ((places(op) || op == op_max || op == op_min) && n == 0) return;
  const double wide = dtype == DType::int32 ? 2e9 : 2;
  Value x = h.random(dtype, shape, layout, -wide, wide);
  h.compare(op, {&x}, attrs_of(op, mask, dims, h.pick(0, 1), static_cast<double>(h.pick(0, 1))),
            tolerance(op, dtype, n));
}

// Shapes at which plans change: [outer, reduced, inner].
void shapes(Harness& h) {
  const int64_t sizes[][3] = {
      {1, 1, 1},    {5, 1, 1},     {1, 7, 1},     {1, 1, 9},     {300, 2, 1},   {70, 16, 1},
      {3, 17, 1},   {9, 257, 1},   {4, 512, 1},   {3, 513, 1},   {2, 1031, 1},  {3, 2500, 1},
      {1, 4099, 1}, {1, 20000, 1}, {2, 40009, 1}, {1, 2, 300},   {1, 3, 4096},  {5, 33, 3},
      {2, 100, 8},  {1, 515, 10},  {2, 1000, 17}, {1, 3000, 64}, {1, 700, 129}, {3, 40, 1024},
      {0, 3, 2},    {2, 0, 3},     {100, 3, 5},   {1, 70000, 2}, {2, 6, 2000}};
  for (const DType dtype : kTypes)
    for (const auto& size : sizes) {
      const Shape shape = shape_of({size[0], size[1], size[2]});
      for (const Op op : kOps) one(h, op, dtype, shape, 2, Layout::contiguous);
    }
}

// Channels: kept between two reduced axes, of which the inner may be short or long.
void channels(Harness& h) {
  const int64_t sizes[][3] = {{6, 3, 49}, {40, 7, 4}, {2, 5, 5000}, {300, 2, 16}, {3, 64, 1}};
  for (const DType dtype : kTypes)
    for (const auto& size : sizes)
      for (const Op op : kOps)
        one(h, op, dtype, shape_of({size[0], size[1], size[2]}), 5, Layout::contiguous);
}

void layouts(Harness& h) {
  for (int i = 0; i < 240; ++i) {
    const int dims = static_cast<int>(h.pick(0, kMaxDims));
    const Shape shape = h.random_shape(dims, i % 10 ? 3000 : 60000);
    const uint32_t mask = static_cast<uint32_t>(h.pick(0, (1 << dims) - 1));
    const Layout layout = i % 3 == 0   ? Layout::contiguous
                          : i % 3 == 1 ? Layout::permuted
                                       : Layout::any;
    one(h, kOps[h.pick(0, 7)], kTypes[h.pick(0, 3)], shape, mask, layout);
  }
}

// A view that begins at any element: rows that no vector begins with.
void skewed(Harness& h) {
  for (const DType dtype : kTypes)
    for (int64_t skip = 0; skip < 9; ++skip)
      for (const int64_t n : {5, 23, 1001, 5003})
        for (const Op op : {op_sum, op_argmax, op_variance}) {
          if (!takes(op, dtype)) continue;
          Value x = h.random(dtype, shape_of({3, n + skip}), Layout::contiguous);
          x.view.shape[1] = n;
          x.view.data =
              static_cast<char*>(x.view.data) + skip * static_cast<int64_t>(size_of(dtype));
          h.compare(op, {&x}, attrs_of(op, 2, 2, false, 1), tolerance(op, dtype, n));
        }
}

void specials(Harness& h) {
  const double values[] = {NAN, INFINITY, -INFINITY, 3, -0.0, 1e30, -1e30};
  for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16})
    for (const Op op : kOps)
      for (const bool down : {false, true})
        for (int round = 0; round < 40; ++round) {
          const int64_t n = round < 20 ? h.pick(1, 9) : h.pick(10, 700);
          Value x = h.random(dtype, down ? shape_of({n, 5}) : shape_of({5, n}));
          const int some = round % 7;  // rows of one special value, or with a few
          for (int64_t i = 0; i < 5 * n; ++i) {
            if (round % 2 == 0 && h.pick(0, n) > 1) continue;
            // Sums of such numbers overflow where parts end: not for comparison.
            const int kind = static_cast<int>(h.pick(0, some));
            if (kind >= 5 && op != op_max && op != op_min && !places(op)) continue;
            x.set(i, values[kind]);
          }
          h.compare(op, {&x}, attrs_of(op, down ? 1 : 2, 2, false, 1), tolerance(op, dtype, n));
        }
}

// Far from 0 the variance must not drown.
void offsets(Harness& h) {
  for (const int64_t n : {30, 3000, 30000})
    for (const bool down : {false, true}) {
      Value x = h.random(DType::float32, down ? shape_of({n, 3}) : shape_of({3, n}),
                         Layout::contiguous, 9999, 10001);
      x.set(1, 9000);
      h.compare(op_variance, {&x}, attrs_of(op_variance, down ? 1 : 2, 2, false, 1), {1e-5, 0});
      h.compare(op_logSumExp, {&x}, attrs_of(op_logSumExp, down ? 1 : 2, 2, false, 1), {1e-6, 0});
    }
}

void ties(Harness& h) {
  for (const DType dtype : kTypes)
    for (const Op op : {op_argmax, op_argmin})
      for (const bool down : {false, true})
        for (const int64_t n : {3, 50, 1200, 20000}) {
          Value x =
              h.random(dtype, down ? shape_of({n, 2}) : shape_of({2, n}), Layout::contiguous, 0, 1);
          for (int64_t i = 0; i < 2 * n; ++i) x.set(i, static_cast<double>(h.pick(0, 2)));
          h.compare(op, {&x}, attrs_of(op, down ? 1 : 2, 2, false, 1), {});
        }
}

void sums_to(Harness& h) {
  for (const DType dtype : kTypes)
    for (int i = 0; i < 40; ++i) {
      const int dims = static_cast<int>(h.pick(0, 6));
      const Shape shape = h.random_shape(dims, 3000);
      const int lead = static_cast<int>(h.pick(0, dims));
      std::vector<double> attrs{static_cast<double>(dims - lead)};
      int64_t left = 1;
      for (int k = lead; k < dims; ++k) {
        const bool one = h.pick(0, 1);
        left *= one ? 1 : shape[k];
        attrs.push_back(one ? 1 : static_cast<double>(shape[k]));
      }
      Value x = h.random(dtype, shape, i % 2 ? Layout::any : Layout::contiguous, -2, 2);
      h.compare(op_sumTo, {&x}, attrs, tolerance(op_sumTo, dtype, shape.count() / left));
    }
}

}  // namespace

void reduce_cases(Harness& h) {
  shapes(h);
  channels(h);
  layouts(h);
  skewed(h);
  specials(h);
  offsets(h);
  ties(h);
  sums_to(h);
}

}  // namespace tg::test
