// matmul and linear: vectors, batches that broadcast, any strides, empty sides, tf32; activations,
// gradients of activations and sums of columns that products end with.
#include <math.h>
#include <string.h>

#include "cases.h"

namespace tg::test {

namespace {

constexpr DType kFloats[] = {DType::float32, DType::float64, DType::bfloat16};

// Operands lie in [-2, 2). Errors of a sum's steps mostly cancel, but not where all terms are alike
// (a stride of 0): then they may reach k units of the result.
Tolerance sum_of(int64_t k, DType dtype) {
  const double unit = dtype == DType::float64 ? 0x1p-53 : 0x1p-24;
  return {unit * static_cast<double>(k + 8), 32 * unit * static_cast<double>(k + 1)};
}

void multiply(Harness& h, DType dtype, const Shape& a, const Shape& b, Layout layout) {
  Value x = h.random(dtype, a, layout), y = h.random(dtype, b, layout);
  h.compare(op_matmul, {&x, &y}, {}, sum_of(a[a.ndim - 1], dtype));
}

Layout some_layout(Harness& h) {
  const int64_t kind = h.pick(0, 2);
  return kind == 0 ? Layout::contiguous : kind == 1 ? Layout::permuted : Layout::any;
}

// Batches of up to six axes, some of them of size 1 or missing on one side.
void batches(Harness& h, DType dtype) {
  const int64_t m = h.pick(1, 20), n = h.pick(1, 20), k = h.pick(1, 30);
  Shape a, b;
  const int axes = static_cast<int>(h.pick(1, 6)), missing = static_cast<int>(h.pick(0, axes));
  const bool short_a = h.pick(0, 1);
  for (int i = 0; i < axes; ++i) {
    const int64_t size = h.pick(0, 2) == 0 ? 1 : h.pick(1, axes > 3 ? 2 : 4);
    if (!(short_a && i < missing)) a.push(h.pick(0, 2) == 0 ? 1 : size);
    if (short_a || i >= missing) b.push(h.pick(0, 2) == 0 ? 1 : size);
  }
  a.push(m), a.push(k), b.push(k), b.push(n);
  multiply(h, dtype, a, b, some_layout(h));
}

// A chain of an activation of the product, and what becomes of that and of one more operand.
// `in_place`: the activation takes the place of the product, which then nobody else may want.
void chain(Harness& h, DType dtype, Op activation, bool in_place, bool wants_product) {
  const int64_t m = h.pick(1, 70), n = h.pick(1, 70), k = h.pick(1, 50);
  Value a = h.random(dtype, shape_of({m, k})), b = h.random(dtype, shape_of({k, n}));
  Value product = h.random(dtype, shape_of({m, n})), other = h.random(dtype, shape_of({m, n}));
  Value result = h.random(dtype, shape_of({m, n}));
  const auto run = [&](const Backend& backend, ExecContext* ctx, const TensorView* v) {
    const OpCall root = {op_matmul, v, 2, v[2], {}};
    ChainStage stages[] = {{activation, dtype, dtype, 1, {~kMaxChain}, {0.25}, nullptr},
                           {op_mul, dtype, dtype, 2, {~0, 0}, {}, v[4].data}};
    if (in_place) stages[0].out = v[2].data;
    if (wants_product) stages[1].in[1] = ~kMaxChain;
    const ChainCall call = {&root, v[2].shape, &v[3], 1, stages, 2};
    return backend.run_chain(ctx, &call);
  };
  Tolerance tolerance = sum_of(k, dtype);
  tolerance.absolute *= 10;  // factors are below 10
  h.compare_memory(name_of(activation), {&a, &b, &product, &other, &result}, tolerance, run);
}

// With factors rounded to tf32 where the context allows it, and no less exact than that.
void in_tf32(Harness& h) {
  h.cuda.tf32 = true;
  for (int i = 0; i < 12; ++i) {
    const int64_t m = h.pick(9, 140), n = h.pick(9, 140), k = h.pick(1, 140);
    Value a = h.random(DType::float32, shape_of({m, k})),
          b = h.random(DType::float32, shape_of({k, n}));
    // Errors of terms, of up to 2⁻¹⁰ of products below 4, mostly cancel.
    const bool ran = h.compare(op_matmul, {&a, &b}, {}, {0, 0x1p-8 * sqrt(static_cast<double>(k))});
    const char* const variant = h.cuda.trace.variant;
    if (ran) h.check(strstr(variant, "tf32"), "matmul in tf32: %s ran", variant);
  }
  for (const DType dtype : {DType::float64, DType::bfloat16}) {  // which it does not change
    multiply(h, dtype, shape_of({40, 50}), shape_of({50, 60}), Layout::contiguous);
    h.check(!strstr(h.cuda.trace.variant, "tf32"), "%s in tf32", name_of(dtype));
  }
  h.cuda.tf32 = false;
}

// Where the result of a gradient behind a product goes.
enum class Over { product, kept, nothing };

// The gradient of an activation behind a product, and the sums of its columns. `variant`: what is
// to run on the device, if it matters.
void gradient(Harness& h, DType dtype, Op op, const Shape& a_shape, const Shape& b_shape, Over over,
              const char* variant) {
  const int64_t k = a_shape[a_shape.ndim - 1], n = b_shape[b_shape.ndim - 1];
  Shape shape = a_shape;
  shape[shape.ndim - 1] = n;
  const int64_t rows = n > 0 ? shape.count() / n : 0;
  Value a = h.random(dtype, a_shape, some_layout(h)), b = h.random(dtype, b_shape, some_layout(h));
  Value product = h.random(dtype, shape), kept = h.random(dtype, shape, Layout::contiguous, -1, 1);
  Value result = h.random(dtype, shape), sums = h.random(dtype, shape_of({n}));
  const auto run = [&](const Backend& backend, ExecContext* ctx, const TensorView* v) {
    const TensorView& out = v[over == Over::product ? 2 : over == Over::kept ? 3 : 4];
    const OpCall root = {op_matmul, v, 2, v[2], {}};
    OpCall sum = {op_sum, &out, 1, v[5], {}};
    sum.attrs.axes = (1u << (out.shape.ndim - 1)) - 1;
    if (&backend == &h.cpu_backend) {  // one by one; it has no chains of bfloat16
      const TensorView in[] = {v[2], v[3]};
      std::vector<double> memory(static_cast<size_t>(out.shape.count()) + 1);
      OpCall stage = {op, in, 2, out, {}};
      stage.attrs.p[0] = 0.25;
      stage.out.data = memory.data();
      TG_TRY(backend.run(ctx, &root));
      TG_TRY(backend.run(ctx, &stage));
      memcpy(out.data, memory.data(), out.bytes());
      return backend.run(ctx, &sum);
    }
    const ChainStage stage = {op, dtype, dtype, 2, {~kMaxChain, 0}, {0.25}, out.data};
    const ChainCall call = {&root, out.shape, &v[3], 1, &stage, 1, 0, &sum, 1};
    return backend.run_chain(ctx, &call);
  };
  Tolerance tolerance = sum_of(k, dtype);
  tolerance.absolute *= 2 * static_cast<double>(rows + 1);
  // A product that is rounded the other way changes a sum by that much.
  if (dtype == DType::bfloat16)
    tolerance.absolute += 0x1p-7 * sqrt(static_cast<double>(k * (rows + 1)));
  if (!h.compare_memory("gradient behind a product:", {&a, &b, &product, &kept, &result, &sums},
                        tolerance, run))
    return;
  if (variant)
    h.check(strcmp(h.cuda.trace.variant, variant) == 0, "%s behind a product: %s ran instead of %s",
            name_of(op), h.cuda.trace.variant, variant);
}

void gradients(Harness& h, DType dtype) {
  constexpr const char* kInOne = "chain in its product";
  for (const Op op : {op_relu_dx, op_leakyRelu_dx, op_sigmoid_dx, op_tanh_dx, op_silu_dx,
                      op_geluErf_dx, op_geluTanh_dx})
    for (const Over over : {Over::product, Over::kept, Over::nothing}) {
      const int64_t m = h.pick(9, 150), n = h.pick(9, 150), k = h.pick(1, 60);
      gradient(h, dtype, op, shape_of({m, k}), shape_of({k, n}), over, kInOne);
      const int64_t rows = h.pick(4, 12);
      gradient(h, dtype, op, shape_of({3, rows, k}), shape_of({k, n}), over, nullptr);
    }
  // Ops that a product does not end with.
  gradient(h, dtype, op_softplus_dx, shape_of({20, 9}), shape_of({9, 20}), Over::product, "chain");
  // Sums that it leaves to a reduction: of few rows or columns, of many terms, of several products.
  for (const Shape& a : {shape_of({1, 20}), shape_of({8, 20}), shape_of({40, 3000})})
    gradient(h, dtype, op_tanh_dx, a, shape_of({a[1], 33}), Over::product, nullptr);
  gradient(h, dtype, op_tanh_dx, shape_of({33, 20}), shape_of({20, 1}), Over::product, nullptr);
  gradient(h, dtype, op_tanh_dx, shape_of({3, 12, 20}), shape_of({3, 20, 15}), Over::product,
           nullptr);
  // Nothing to sum gives zeros; nothing to give is no error.
  gradient(h, dtype, op_relu_dx, shape_of({0, 5}), shape_of({5, 12}), Over::product, nullptr);
  gradient(h, dtype, op_relu_dx, shape_of({12, 5}), shape_of({5, 0}), Over::nothing, nullptr);
  gradient(h, dtype, op_sigmoid_dx, shape_of({12, 0}), shape_of({0, 12}), Over::kept, nullptr);
}

}  // namespace

void matmul_cases(Harness& h) {
  for (const DType dtype : kFloats) {
    for (int i = 0; i < 40; ++i) {
      const int64_t m = h.pick(1, 140), n = h.pick(1, 140), k = h.pick(1, 140);
      multiply(h, dtype, shape_of({m, k}), shape_of({k, n}), some_layout(h));
      batches(h, dtype);
    }
    for (const int64_t k : {1, 3, 64, 1500}) {
      multiply(h, dtype, shape_of({k}), shape_of({k}), some_layout(h));
      multiply(h, dtype, shape_of({k}), shape_of({k, 37}), some_layout(h));
      multiply(h, dtype, shape_of({37, k}), shape_of({k}), some_layout(h));
      multiply(h, dtype, shape_of({3, 5, k}), shape_of({k}), some_layout(h));
      multiply(h, dtype, shape_of({k}), shape_of({2, k, 11}), some_layout(h));
    }
    // Heads of attention: two batch axes that are not one in memory.
    Value q = h.random(dtype, shape_of({2, 12, 3, 16})),
          key = h.random(dtype, shape_of({2, 12, 3, 16}));
    for (Value* v : {&q, &key}) {
      std::swap(v->view.shape[1], v->view.shape[2]);
      std::swap(v->view.strides[1], v->view.strides[2]);
    }
    std::swap(key.view.shape[2], key.view.shape[3]);
    std::swap(key.view.strides[2], key.view.strides[3]);
    h.compare(op_matmul, {&q, &key}, {}, sum_of(16, dtype));
    if (dtype != DType::bfloat16)  // the CPU has no such chains
      for (const Op activation : {op_relu, op_tanh, op_sigmoid, op_leakyRelu, op_geluErf, op_abs}) {
        chain(h, dtype, activation, true, false);
        chain(h, dtype, activation, false, false);
        chain(h, dtype, activation, false, true);
      }
    gradients(h, dtype);
    // Nothing to sum gives zeros; nothing to give is no error.
    for (const int64_t size : {0, 1}) {
      multiply(h, dtype, shape_of({5, 0}), shape_of({0, 4}), Layout::contiguous);
      multiply(h, dtype, shape_of({0, size}), shape_of({size, 4}), Layout::contiguous);
      multiply(h, dtype, shape_of({3, size}), shape_of({size, 0}), Layout::contiguous);
      multiply(h, dtype, shape_of({0, 2, size}), shape_of({size, 3}), Layout::contiguous);
      multiply(h, dtype, shape_of({0}), shape_of({0}), Layout::contiguous);
    }
    {  // one column, and x transposed
      Value x = h.random(dtype, shape_of({26, 3})), weight = h.random(dtype, shape_of({1, 26}));
      Value bias = h.random(dtype, shape_of({1}));
      std::swap(x.view.shape[0], x.view.shape[1]);
      std::swap(x.view.strides[0], x.view.strides[1]);
      h.compare(op_linear, {&x, &weight, &bias}, {}, sum_of(26, dtype));
    }
    for (int i = 0; i < 20; ++i) {
      const int64_t in = i == 0 ? 0 : h.pick(1, 150), out = i == 1 ? 0 : h.pick(1, 100);
      Shape shape;
      for (int64_t d = h.pick(0, 3); d-- > 0;) shape.push(h.pick(1, 9));
      shape.push(in);
      Value x = h.random(dtype, shape, some_layout(h));
      Value weight = h.random(dtype, shape_of({out, in}), some_layout(h));
      Value bias = h.random(dtype, shape_of({out}), some_layout(h));
      h.compare(op_linear, {&x, &weight, &bias}, {}, sum_of(in, dtype));
    }
  }
  in_tf32(h);
}

}  // namespace tg::test
