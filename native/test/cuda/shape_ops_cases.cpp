// Joins, padding, selection by index and constants. All bits must be equal.
#include <math.h>
#include <string.h>

#include "cases.h"

namespace tg::test {

namespace {

constexpr Tolerance kBits{-1};
constexpr DType kAll[] = {DType::float32, DType::float64, DType::int32, DType::boolean,
                          DType::bfloat16};

void concat(Harness& h, DType dtype) {
  for (int round = 0; round < 40; ++round) {
    const int dims = static_cast<int>(h.pick(1, 4));
    Shape shape = h.random_shape(dims, 600);
    const int axis = static_cast<int>(h.pick(0, dims - 1));
    std::vector<Value> inputs(static_cast<size_t>(h.pick(1, 5)));
    std::vector<Value*> in;
    for (Value& x : inputs) {
      shape[axis] = h.pick(0, 3) ? h.pick(0, 12) : 16;
      x = h.random(dtype, shape, h.pick(0, 2) ? Layout::contiguous : Layout::any);
      in.push_back(&x);
    }
    h.compare(op_concat, in, {static_cast<double>(axis)}, kBits);
  }
  // More than one list of inputs, and inputs of more than one piece.
  for (const int axis : {0, 1}) {
    std::vector<Value> inputs;
    std::vector<Value*> in;
    for (int i = 0; i < 600; ++i) {
      const int64_t size = i == 7 ? 3001 : i % 5;
      inputs.push_back(h.random(dtype, axis ? shape_of({9, size}) : shape_of({size, 4})));
    }
    for (Value& x : inputs) in.push_back(&x);
    h.compare(op_concat, in, {static_cast<double>(axis)}, kBits);
  }
}

void pad(Harness& h, DType dtype) {
  for (int round = 0; round < 60; ++round) {
    const int dims = static_cast<int>(h.pick(0, 5));
    Shape shape = h.random_shape(dims, 600);
    if (dims > 0 && round % 9 == 0) shape[static_cast<int>(h.pick(0, dims - 1))] = 0;
    if (dims > 0 && round % 4 == 0) shape[dims - 1] = 32;
    Value x = h.random(dtype, shape, h.pick(0, 2) ? Layout::contiguous : Layout::any);
    std::vector<double> attrs = {2.0 * dims};
    for (int i = 0; i < 2 * dims; ++i)
      attrs.push_back(static_cast<double>(h.pick(0, 2) ? 0 : round % 4 == 0 ? 16 : h.pick(1, 3)));
    attrs.push_back(round % 3 ? 1.3 : round % 2 ? NAN : -INFINITY);
    h.compare(op_pad, {&x}, attrs, kBits);
  }
}

Value indices(Harness& h, int64_t count, int64_t size, bool backwards) {
  Value index = h.random(DType::int32, shape_of({count}));
  for (int64_t i = 0; i < count; ++i) index.set(i, static_cast<double>(h.pick(0, size - 1)));
  if (backwards && count > 0) {
    index.view.data = static_cast<int32_t*>(index.view.data) + count - 1;
    index.view.strides[0] = -1;
  }
  return index;
}

void select(Harness& h, DType dtype) {
  for (int round = 0; round < 60; ++round) {
    const int dims = static_cast<int>(h.pick(1, 4));
    Shape shape = h.random_shape(dims, 800);
    const int axis = static_cast<int>(h.pick(0, dims - 1));
    if (round % 3 == 0 && axis < dims - 1) shape[dims - 1] = 16;
    Value x = h.random(dtype, shape, round % 2 ? Layout::any : Layout::contiguous);
    Value index = indices(h, round % 7 ? h.pick(1, 50) : 0, shape[axis], round % 5 == 0);
    h.compare(op_indexSelect, {&x, &index}, {static_cast<double>(axis)}, kBits);
  }
}

// Long rows are not summed in the CPU's order: sums of integers are exact in any.
void add(Harness& h, DType dtype, Shape shape, int axis, int64_t size, bool any,
         bool integers = true) {
  Value g = h.random(dtype, shape, any ? Layout::any : Layout::contiguous);
  for (int64_t i = 0; i < shape.count() && integers; ++i)
    g.set(i, static_cast<double>(h.pick(-8, 8)));
  Value index = indices(h, shape[axis], size, h.pick(0, 3) == 0);
  h.compare(op_indexAdd, {&g, &index}, {static_cast<double>(axis), static_cast<double>(size)},
            kBits);
}

void add(Harness& h, DType dtype) {
  for (int round = 0; round < 40; ++round) {
    const int dims = static_cast<int>(h.pick(1, 4));
    Shape shape = h.random_shape(dims, 800);
    if (round % 3 == 0) shape[dims - 1] = 16;
    add(h, dtype, shape, static_cast<int>(h.pick(0, dims - 1)), h.pick(1, 30), round % 2);
  }
  // Up to 32 slices in a row, in order: the CPU's bits.
  add(h, dtype, shape_of({32, 20}), 0, 1, false, false);
  add(h, dtype, shape_of({3, 200, 5}), 1, 40, false, false);
  // Around the groups' ends.
  for (const int64_t n : {31, 33, 64, 65, 96, 97}) add(h, dtype, shape_of({n, 8}), 0, 2, false);
  add(h, dtype, shape_of({5000, 3}), 0, 1, false);    // all in one row
  add(h, dtype, shape_of({4096, 8}), 0, 7, false);    // many in each
  add(h, dtype, shape_of({6000}), 0, 255, false);     // one digit, `none` being its last
  add(h, dtype, shape_of({2, 5003}), 1, 256, false);  // two digits
  if (dtype == DType::float32) add(h, dtype, shape_of({6000}), 0, 70000, false);  // three
  add(h, dtype, shape_of({0, 4}), 0, 5, false);                                   // nothing to add
  add(h, dtype, shape_of({5, 0}), 0, 5, false);                                   // to nothing
}

// Of indices out of range the first is told, in the CPU's words.
void bad_indices(Harness& h) {
  for (const double bad : {-1.0, 6.0, 2147483647.0, -2147483648.0})
    for (const int64_t width : {4, 0}) {
      Value x = h.random(DType::float32, shape_of({6, width}));
      Value g = h.random(DType::float32, shape_of({1500, width}));
      Value index = indices(h, 1500, 6, false);
      index.set(1499, 77);
      index.set(1234, bad);
      const auto check = [&](bool ran) {
        const std::string text = h.error.message();
        h.check(!ran || text.find("index[1234] is " + std::to_string(static_cast<int>(bad)) +
                                  ", but axis 0 has size 6") != std::string::npos,
                "a bad index gave '%s'", text.c_str());
      };
      check(h.compare(op_indexSelect, {&x, &index}, {0}, kBits));
      check(h.compare(op_indexAdd, {&g, &index}, {0, 6}, kBits));
    }
}

// The slice of a bad index is NaN, or 0, whether somebody asks or not.
void results_of_bad_indices(Harness& h, bool asked) {
  const auto run = [&](const OpCall& call) {
    h.expect_notes(asked);
    const bool ran = h.library.backend->run(&h.cuda, &call) == Status::ok;
    const Harness::Notes notes = h.notes();
    h.check(ran && (notes.any != 0) == asked && (notes.call != 0) == asked, "a bad index");
    h.check(!asked || notes.call == fault_note(7, 6), "the first bad index: %llx",
            static_cast<unsigned long long>(notes.call));
  };
  for (const DType dtype : kAll) {
    Value x = h.random(dtype, shape_of({6, 5}), Layout::contiguous, 1, 2);
    Value index = indices(h, 40, 6, false), result = h.random(dtype, shape_of({40, 5}));
    index.set(7, 6), index.set(9, -1);
    Harness::Mirror from = h.upload(x), which = h.upload(index), to = h.upload(result);
    const TensorView in[] = {from.view, which.view};
    const OpCall call{op_indexSelect, in, 2, to.view, {}};
    run(call);
    h.download(to, &result);
    const bool floats = is_float(dtype);
    for (int64_t i = 0; i < 40 * 5; ++i) {
      const double got = result.number(i);
      const bool bad = i / 5 == 7 || i / 5 == 9;
      const double expected =
          bad ? floats ? NAN : 0 : x.number(static_cast<int64_t>(index.number(i / 5)) * 5 + i % 5);
      h.check(got == expected || (bad && floats && isnan(got)), "element %lld of %s is %g",
              static_cast<long long>(i), name_of(dtype), got);
    }
    for (const Harness::Mirror& m : {from, which, to}) h.drop(m);
  }
  // A bad index adds nothing to any row.
  Value g = h.random(DType::float32, shape_of({40, 5})),
        sum = h.random(DType::float32, shape_of({6, 5}));
  Value index = indices(h, 40, 6, false);
  index.set(7, 6), index.set(9, -1);
  Harness::Mirror from = h.upload(g), which = h.upload(index), to = h.upload(sum);
  const TensorView in[] = {from.view, which.view};
  const OpCall call{op_indexAdd, in, 2, to.view, {}};
  run(call);
  h.download(to, &sum);
  for (int64_t row = 0; row < 6; ++row)
    for (int64_t k = 0; k < 5; ++k) {
      float expected = 0;
      for (int64_t i = 0; i < 40; ++i)
        if (static_cast<int64_t>(index.number(i)) == row)
          expected += static_cast<float>(g.number(i * 5 + k));
      h.check(sum.number(row * 5 + k) == static_cast<double>(expected),
              "a sum without bad indices");
    }
  for (const Harness::Mirror& m : {from, which, to}) h.drop(m);
}

void constants(Harness& h, DType dtype) {
  const double d = static_cast<double>(dtype);
  for (const double n : {0.0, 1.0, 3.0, 16.0, 1001.0}) {
    for (const double value : {0.0, 1.3, -2.5, 1e300, static_cast<double>(NAN)})
      h.compare(op_full, {}, {2, n, 3, d, value}, kBits);
    h.compare(op_arange, {}, {n, d, 0.1, 0.3}, kBits);
    h.compare(op_arange, {}, {n, d, -5, 1e7}, kBits);
    for (const double columns : {0.0, 1.0, 2.0, 37.0})
      h.compare(op_eye, {}, {n, columns, d}, kBits);
  }
  h.compare(op_full, {}, {0, d, 7}, kBits);
}

}  // namespace

void shape_ops_cases(Harness& h) {
  for (const DType dtype : kAll) {
    concat(h, dtype);
    pad(h, dtype);
    select(h, dtype);
    if (is_float(dtype)) add(h, dtype);
    constants(h, dtype);
  }
  bad_indices(h);
  for (const bool asked : {false, true}) results_of_bad_indices(h, asked);
}

}  // namespace tg::test
