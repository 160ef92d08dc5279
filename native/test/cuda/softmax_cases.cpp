// Softmax, logSoftmax, crossEntropy and their gradients.
#include <math.h>
#include <string.h>

#include "cases.h"

namespace tg::test {

namespace {

constexpr DType kFloats[] = {DType::float32, DType::float64, DType::bfloat16};
constexpr Op kOps[] = {op_softmax, op_logSoftmax, op_softmaxBackward, op_logSoftmaxBackward};

// A few roundings of numbers of the size of the logits, and of sums of n terms.
Tolerance tolerance(DType dtype, int64_t n) {
  const double unit = dtype == DType::float64 ? 0x1p-52 : 0x1p-23;
  const double many = 16 + sqrt(static_cast<double>(n));
  return {many * unit, many * unit};
}

void along(Harness& h, DType dtype, const Shape& shape, int axis, Layout layout) {
  const int64_t n = shape.ndim ? shape[axis] : 1;
  for (const Op op : kOps) {
    Value x = h.random(dtype, shape, layout, -6, 6);
    Value y = h.random(dtype, shape, layout, op == op_logSoftmaxBackward ? -9 : 0, 1);
    std::vector<Value*> in{&x};
    if (op == op_softmaxBackward || op == op_logSoftmaxBackward) in.push_back(&y);
    Tolerance close = tolerance(dtype, n);
    if (in.size() > 1)  // sums of numbers up to 6, in another order, times what e^y may be
      close.absolute *= 8 + static_cast<double>(n) / 8;
    h.compare(op, in, {static_cast<double>(axis)}, close);
  }
}

void shapes(Harness& h) {
  const int64_t rows[][2] = {{1, 1},     {3, 2},     {200, 5},  {70, 8},   {9, 10},
                             {5, 33},    {4, 128},   {3, 257},  {5, 1000}, {2, 1024},
                             {2, 4093},  {1, 4096},  {2, 4099}, {1, 9001}, {1, 16384},
                             {2, 16391}, {1, 40007}, {0, 4},    {4, 0}};
  const int64_t columns[][3] = {{1, 3, 8},   {2, 10, 33}, {3, 64, 16}, {1, 200, 40},
                                {2, 513, 9}, {1, 4, 900}, {2, 7, 3},   {5, 3, 0}};
  for (const DType dtype : kFloats) {
    along(h, dtype, Shape{}, 0, Layout::contiguous);
    for (const auto& size : rows)
      along(h, dtype, shape_of({size[0], size[1]}), 1, Layout::contiguous);
    for (const auto& size : columns)
      along(h, dtype, shape_of({size[0], size[1], size[2]}), 1, Layout::contiguous);
  }
}

void layouts(Harness& h) {
  for (int i = 0; i < 90; ++i) {
    const int dims = static_cast<int>(h.pick(1, kMaxDims));
    const Shape shape = h.random_shape(dims, 2000);
    along(h, kFloats[i % 3], shape, static_cast<int>(h.pick(0, dims - 1)),
          i % 2 ? Layout::any : Layout::permuted);
  }
}

// Rows of views that begin anywhere, alike in both operands or not.
void skewed(Harness& h) {
  for (const DType dtype : kFloats)
    for (int64_t skip = 1; skip < 9; ++skip)
      for (const bool alike : {false, true})
        for (const int64_t n : {7, 61, 3001}) {
          const int64_t other = alike ? skip : 9 - skip;
          const auto view = [&](int64_t from, double low) {
            Value x = h.random(dtype, shape_of({3, n + from}), Layout::contiguous, low, 1);
            x.view.shape[1] = n;
            x.view.data =
                static_cast<char*>(x.view.data) + from * static_cast<int64_t>(size_of(dtype));
            return x;
          };
          Value x = view(skip, -4), y = view(other, 0);
          h.compare(op_softmax, {&x}, {1}, tolerance(dtype, n));
          h.compare(op_softmaxBackward, {&x, &y}, {1}, tolerance(dtype, n));
          h.compare(op_crossEntropy, {&x, &y}, {}, tolerance(dtype, n * n));
        }
}

void specials(Harness& h) {
  const double values[] = {-INFINITY, INFINITY, NAN, 1e4, -1e4};
  for (const DType dtype : kFloats)
    for (const Op op : {op_softmax, op_logSoftmax, op_crossEntropy})
      for (int i = 0; i < 60; ++i) {
        const bool down = i % 3 == 0 && op != op_crossEntropy;
        const int64_t n = i % 4 == 3 ? h.pick(30, 300) : i % 20 == 1 ? 17000 : h.pick(1, 9);
        Value x =
            h.random(dtype, down ? shape_of({n, 9}) : shape_of({9, n}), Layout::contiguous, -3, 3);
        for (int64_t k = 0; k < 9 * n; ++k)
          if (i % 5 == 0 || h.pick(0, n) == 0) x.set(k, values[h.pick(0, i % 5)]);
        if (op != op_crossEntropy) {
          h.compare(op, {&x}, {down ? 0.0 : 1.0}, tolerance(dtype, n));
          continue;
        }
        Value classes =
            h.random(DType::int32, shape_of({9}), Layout::contiguous, 0, static_cast<double>(n));
        h.compare(op, {&x, &classes}, {}, tolerance(dtype, n));
        Value target = h.random(dtype, shape_of({9, n}), Layout::contiguous, 0, 1);
        for (int64_t k = 0; k < 9 * n; ++k)
          if (h.pick(0, 1)) target.set(k, 0);
        h.compare(op, {&x, &target}, {}, {1e-5, 1e-5});
      }
}

void losses(Harness& h) {
  const int64_t sizes[][2] = {{1, 1},    {130, 3},   {33, 10}, {20, 100}, {7, 1000},
                              {3, 5000}, {2, 17001}, {0, 5},   {64, 64},  {3, 4097}};
  for (const DType dtype : kFloats)
    for (const auto& size : sizes)
      for (const Layout layout : {Layout::contiguous, Layout::any}) {
        const int64_t rows = size[0], n = size[1];
        const Shape shape = shape_of({rows, n});
        Value x = h.random(dtype, shape, layout, -5, 5);
        Value g = h.random(dtype, shape_of({rows}), layout);
        Value classes = h.random(DType::int32, shape_of({rows}), layout, 0, static_cast<double>(n));
        Value target = h.random(dtype, shape, layout, 0, 1);
        h.compare(op_crossEntropy, {&x, &classes}, {}, tolerance(dtype, n));
        h.compare(op_crossEntropyBackward, {&g, &x, &classes}, {}, tolerance(dtype, n));
        h.compare(op_crossEntropy, {&x, &target}, {}, tolerance(dtype, n * n));
        h.compare(op_crossEntropyBackward, {&g, &x, &target}, {}, tolerance(dtype, n));
      }
}

// What is said of a bad target: the first one, in the CPU's words; its row is NaN, asked or not.
void refusals(Harness& h) {
  for (const DType dtype : kFloats)
    for (const bool soft : {false, true})
      for (const int64_t n : {4, 5000, 20000}) {
        Value x = h.random(dtype, shape_of({50, n})), g = h.random(dtype, shape_of({50}));
        Value target = soft ? h.random(dtype, shape_of({50, n}), Layout::contiguous, 0, 1)
                            : h.random(DType::int32, shape_of({50}), Layout::contiguous, 0, 4);
        const int64_t first = soft ? 11 * n + n / 2 : 11;
        for (const int64_t at : {first, soft ? 30 * n + 1 : 30})
          target.set(at, soft ? -0.5 : static_cast<double>(at % 2 ? -1 : n));
        const bool ran = h.compare(op_crossEntropy, {&x, &target}, {}, {});
        const std::string text = h.error.message();
        h.check(!ran || text.find(soft ? "target[11, " : "target[11] is -1") != std::string::npos,
                "a bad target gave '%s'", text.c_str());
        if (!soft) h.compare(op_crossEntropyBackward, {&g, &x, &target}, {}, {});

        Value out = h.random(dtype, shape_of({50}));
        const Harness::Mirror mx = h.upload(x), mt = h.upload(target), mo = h.upload(out);
        const TensorView in[] = {mx.view, mt.view};
        const OpCall call{op_crossEntropy, in, 2, mo.view, {}};
        for (const bool asked : {false, true}) {
          h.expect_notes(asked);
          bool right = h.library.backend->run(&h.cuda, &call) == Status::ok;
          const Harness::Notes notes = h.notes();
          right = right && (notes.any != 0) == asked;
          h.download(mo, &out);
          for (int64_t i = 0; i < 50; ++i)
            right = right && isnan(out.number(i)) == (i == 11 || i == 30);
          h.check(right, "crossEntropy of bad targets: NaN in their rows");
        }
        for (const Harness::Mirror& mirror : {mx, mt, mo}) h.drop(mirror);
      }
}

}  // namespace

void softmax_cases(Harness& h) {
  shapes(h);
  layouts(h);
  skewed(h);
  specials(h);
  losses(h);
  refusals(h);
}

}  // namespace tg::test
