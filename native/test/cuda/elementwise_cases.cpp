// Every elementwise op of the schema, forward and backward, in every dtype that it has: all
// layouts, special values, numbers in host memory, and sums in place.
#include <math.h>

#include <algorithm>

#include "cases.h"

namespace tg::test {

namespace {

struct Rule {
  Op op;
  int inputs;
  bool integers;  // of int32, too
  int attrs;
  int typed;  // its first operand that is a number
  bool backward = false;
};

constexpr int count_attrs(const char* text) {
  int n = 0;
  for (; *text; ++text) n += *text == ':';
  return n;
}

const std::vector<Rule>& rules() {
  enum { NONE = 0, X = 1, Y = 1, Z = 1, XY = 2, XYZ = 3 };  // how many tensors a rule keeps
  constexpr bool FLOAT = false, NUMBER = true;
  static const std::vector<Rule> kRules = {
#define TG_UNARY(name, types, keeps, forward, dx, attrs, doc) \
  {op_##name, 1, types, count_attrs(attrs), 0},               \
      {op_##name##_dx, 1 + keeps, false, count_attrs(attrs), 0, true},
#define TG_BINARY(name, types, keeps, forward, dx, dy, attrs, doc)     \
  {op_##name, 2, types, count_attrs(attrs), 0},                        \
      {op_##name##_dx, 1 + keeps, false, count_attrs(attrs), 0, true}, \
      {op_##name##_dy, 1 + keeps, false, count_attrs(attrs), 0, true},
#define TG_COMPARE(name, forward, doc) {op_##name, 2, true, 0, 0},
#include "../../schema/ops.h"
      {op_where, 3, true, 0, 1},
  };
  return kRules;
}

std::vector<double> attrs_of(const Rule& rule) {
  if (rule.attrs == 1) return {0.75};
  if (rule.attrs == 2) return {-0.5, 0.75};
  return {};
}

// Both sides are within a few ULP of the truth; rules that add and subtract such terms are within a
// few ULP of those, which are about 1.
Tolerance tolerance(DType dtype, double of_terms) {
  const DType computed = dtype == DType::bfloat16 ? DType::float32 : dtype;
  const double unit = computed == DType::float64 ? 0x1p-52 : 0x1p-23;
  return {8 * unit, of_terms * unit + ulps(4, computed).absolute};
}

// By which the operands' shapes differ from the result's.
enum class Shapes { equal, broadcast };

void run(Harness& h, const Rule& rule, DType dtype, const Shape& shape, Layout layout,
         Shapes shapes = Shapes::equal, bool number = false) {
  std::vector<Value> values;
  const int host = number ? static_cast<int>(h.pick(rule.typed, rule.inputs - 1)) : -1;
  // A call has at least one tensor besides numbers.
  const bool stays = number && rule.inputs - rule.typed > 1;
  for (int i = 0; i < rule.inputs; ++i) {
    if (stays && i == host) {
      const DType alone = dtype == DType::bfloat16 ? DType::float32 : dtype;
      values.push_back(h.number(alone, h.uniform(-2, 2)));
      continue;
    }
    Shape mine = shape;
    if (shapes == Shapes::broadcast) {
      const int drop = h.pick(0, 2) == 0 ? static_cast<int>(h.pick(0, shape.ndim)) : 0;
      mine = Shape{};
      for (int d = drop; d < shape.ndim; ++d) mine.push(h.pick(0, 2) == 0 ? 1 : shape[d]);
    }
    const bool condition = i < rule.typed;
    values.push_back(h.random(condition ? DType::boolean : dtype, mine, layout,
                              dtype == DType::int32 ? -9 : -2, dtype == DType::int32 ? 9 : 2));
  }
  std::vector<Value*> in;
  for (Value& value : values) in.push_back(&value);
  h.compare(rule.op, in, attrs_of(rule), tolerance(dtype, 8), stays ? 1u << host : 0);
}

void all_layouts(Harness& h, const Rule& rule, DType dtype) {
  for (const int64_t size : {0, 1, 31, 1000})
    run(h, rule, dtype, shape_of({size}), Layout::contiguous);
  run(h, rule, dtype, Shape{}, Layout::contiguous);
  run(h, rule, dtype, shape_of({3, 0, 2}), Layout::any);
  for (int i = 0; i < 3; ++i) {
    run(h, rule, dtype, h.random_shape(static_cast<int>(h.pick(1, 5)), 600), Layout::permuted);
    run(h, rule, dtype, h.random_shape(static_cast<int>(h.pick(1, 5)), 600), Layout::any);
    run(h, rule, dtype, h.random_shape(static_cast<int>(h.pick(1, 5)), 600), Layout::contiguous,
        Shapes::broadcast);
    run(h, rule, dtype, h.random_shape(static_cast<int>(h.pick(1, 5)), 600), Layout::any,
        Shapes::broadcast);
    run(h, rule, dtype, h.random_shape(2, 600), Layout::any, Shapes::equal, true);
  }
}

// Blocks take more than one turn; rows are longer than a block's share, of a length that vectors
// fit into and of one that they do not.
void large(Harness& h) {
  const Rule add{op_add, 2, true, 0, 0};
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::float64, DType::int32}) {
    run(h, add, dtype, shape_of({70000}), Layout::contiguous);
    for (const int64_t columns : {1024, 999, 10}) {
      run(h, add, dtype, shape_of({70000 / columns, columns}), Layout::any);
      run(h, add, dtype, shape_of({70000 / columns, columns}), Layout::contiguous,
          Shapes::broadcast);
    }
    // More elements than all blocks take in one turn, if they are few.
    run(h, add, dtype, shape_of({1500001}), Layout::contiguous);
    run(h, add, dtype, shape_of({300, 400}), Layout::permuted);
  }
  run(h, {op_where, 3, true, 0, 1}, DType::float32, shape_of({300, 400}), Layout::permuted);
}

const std::vector<double>& specials(DType dtype) {
  static const std::vector<double> kFloats = {
      0,     -0.0,    1,        -1,       0.375,     -0.375,     2,     -2,
      3,     -3,      NAN,      INFINITY, -INFINITY, 30,         -30,   90,
      -90,   120,     -120,     1e-30,    -1e-30,    1e30,       -1e30, 3e38,
      -3e38, 1.2e-38, -1.2e-38, 1e-40,    -1e-40,    1 + 0x1p-7, 0.625, -0.625};
  static const std::vector<double> kIntegers = {0, 1, -1, 2, -2, 46341, 2147483647, -2147483648.0};
  return dtype == DType::int32 ? kIntegers : kFloats;
}

// Every pair of special values, and where there are more operands, any others beside them. Where
// terms cancel each other, what is left shows how they were rounded: they are about as large as the
// operands, and a rule's are multiplied by the gradient. No value makes terms of infinity cancel
// (as 0.5 does in log x - log(1 - x)).
void special_values(Harness& h, const Rule& rule, DType dtype) {
  const std::vector<double>& list = specials(dtype);
  const int64_t n = static_cast<int64_t>(list.size());
  const Shape shape = shape_of({n, n});
  std::vector<Value> values;
  for (int i = 0; i < rule.inputs; ++i) {
    values.push_back(h.random(i < rule.typed ? DType::boolean : dtype, shape));
    if (i < rule.typed) continue;
    for (int64_t k = 0; k < n * n; ++k) {
      const int64_t which = i == rule.typed       ? k / n
                            : i == rule.typed + 1 ? k % n
                                                  : h.pick(0, n - 1);
      values.back().set(k, list[static_cast<size_t>(which)]);
    }
  }
  std::vector<Value*> in;
  for (Value& value : values) in.push_back(&value);
  std::vector<double> terms(static_cast<size_t>(n * n), 1);
  for (int64_t k = 0; k < n * n; ++k) {
    const auto size = [&](const Value& value) {
      const double number = fabs(value.number(k));
      return std::isfinite(number) && number > 1 ? number : 1;
    };
    double& largest = terms[static_cast<size_t>(k)];
    for (const Value& value : values) largest = std::max(largest, size(value));
    if (rule.backward) largest *= size(values[0]);
  }
  Tolerance close = tolerance(dtype, 8);
  close.terms = &terms;
  h.compare(rule.op, in, attrs_of(rule), close);
}

void accumulations(Harness& h) {
  for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16})
    for (const int64_t size : {0, 1, 31, 1000, 70000})
      for (const bool same : {false, true}) {
        Value y = h.random(dtype, shape_of({size}));
        Value x = h.random(dtype, shape_of({size}));
        h.compare_memory("accumulate", {&y, &x}, {},
                         [&](const Backend& backend, ExecContext* ctx, const TensorView* views) {
                           return backend.accumulate(ctx, &views[0], &views[same ? 0 : 1]);
                         });
      }
  // Dense memory in another order of axes.
  Value y = h.random(DType::float32, shape_of({7, 9, 11}), Layout::contiguous);
  Value x = h.random(DType::float32, shape_of({7, 9, 11}), Layout::contiguous);
  constexpr int kOrder[] = {2, 0, 1};
  y.view = y.view.permuted(kOrder), x.view = x.view.permuted(kOrder);
  h.compare_memory("accumulate", {&y, &x}, {},
                   [](const Backend& backend, ExecContext* ctx, const TensorView* views) {
                     return backend.accumulate(ctx, &views[0], &views[1]);
                   });
}

}  // namespace

void elementwise_cases(Harness& h) {
  for (const Rule& rule : rules())
    for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16, DType::int32}) {
      if (dtype == DType::int32 && !rule.integers) continue;
      all_layouts(h, rule, dtype);
      special_values(h, rule, dtype);
      if (dtype == DType::float32) run(h, rule, dtype, shape_of({70000}), Layout::contiguous);
    }
  large(h);
  accumulations(h);
}

}  // namespace tg::test
