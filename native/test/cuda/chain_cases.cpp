// Random chains on the device against their ops one by one on the CPU.
#include <string.h>

#include "cases.h"

namespace tg::test {

namespace {

// Ops whose results do not depend on who computes them: in chains of these, every bit is compared.
constexpr Op kExact[] = {op_neg,     op_abs,     op_sign,       op_square, op_relu,   op_leakyRelu,
                         op_clamp,   op_add,     op_sub,        op_mul,    op_div,    op_maximum,
                         op_minimum, op_relu_dx, op_maximum_dx, op_mul_dy, op_abs_dx, op_reciprocal,
                         op_sqrt,    op_less,    op_equal,      op_where};
constexpr Op kIntegerOps[] = {op_neg, op_abs,  op_square,  op_relu,         op_add,  op_sub,
                              op_mul, op_less, op_maximum, op_greaterEqual, op_where};
// Ops that do not make errors larger, for operands of about 1.
constexpr Op kSmooth[] = {op_tanh, op_sigmoid, op_silu,       op_sin,     op_cos,
                          op_erf,  op_geluErf, op_neg,        op_abs,     op_softplus,
                          op_add,  op_sub,     op_sigmoid_dx, op_tanh_dx, op_geluTanh,
                          op_mul,  op_relu_dx, op_geluErf_dx};

int inputs_of(Op op) {
  switch (op) {
    case op_add:
    case op_sub:
    case op_mul:
    case op_div:
    case op_maximum:
    case op_minimum:
    case op_less:
    case op_equal:
    case op_greaterEqual:
    case op_relu_dx:
    case op_geluErf_dx:
    case op_abs_dx:
    case op_sigmoid_dx:
    case op_tanh_dx:
      return 2;
    case op_where:
    case op_maximum_dx:
    case op_mul_dy:
      return 3;
    default:
      return 1;
  }
}
bool compares(Op op) { return op == op_less || op == op_equal || op == op_greaterEqual; }

// A chain without addresses: values[operand[i]] are its operands, values[out[s]] its results.
struct Plan {
  Shape shape;
  std::vector<Value> values;
  std::vector<int> operand, out;  // out: -1 if it stays in the chain
  std::vector<ChainStage> stages;
  bool rooted = false;  // values[0] · values[1] = values[2]
  struct Sum {
    size_t stage;
    int out;  // the place in values of the sums of its columns
  };
  std::vector<Sum> sums;
};

class Maker {
 public:
  Maker(Harness& h, Plan* plan) : h_(h), plan_(*plan) {}

  // Operands may lie in any way, or as programs have them.
  Layout layout = Layout::contiguous;

  int value(DType dtype, const Shape& shape, Layout how) {
    plan_.values.push_back(h_.random(dtype, shape, how, dtype == DType::int32 ? -9 : -1,
                                     dtype == DType::int32 ? 9 : 1));
    return static_cast<int>(plan_.values.size()) - 1;
  }

  template <size_t kOps>
  void stage(const Op (&ops)[kOps], DType dtype, bool last) {
    ChainStage s = {};
    s.op = ops[h_.pick(0, kOps - 1)];
    s.dtype = dtype;
    s.out_dtype = compares(s.op) ? DType::boolean : dtype;
    s.n_in = inputs_of(s.op);
    s.p[0] = -0.25, s.p[1] = 0.5;
    for (int k = 0; k < s.n_in; ++k)
      s.in[k] = input(s.op == op_where && k == 0 ? DType::boolean : dtype);
    plan_.stages.push_back(s);
    int out = -1;
    if (last || h_.pick(0, 2) == 0) out = in_place(s);
    if (out < 0 && (last || h_.pick(0, 3) == 0))
      out = value(s.out_dtype, plan_.shape, Layout::contiguous);
    plan_.out.push_back(out);
    if (plan_.rooted && out >= 0 && s.out_dtype == dtype && h_.pick(0, 1)) {
      const int sum = value(dtype, shape_of({plan_.shape[1]}), Layout::contiguous);
      plan_.sums.push_back({plan_.stages.size() - 1, sum});
    }
  }

 private:
  // A result so far, an operand that is there, or a new one.
  int input(DType dtype) {
    std::vector<int> found;
    for (size_t s = 0; s < plan_.stages.size(); ++s)
      if (plan_.stages[s].out_dtype == dtype)
        found.insert(found.end(), 1 + s, ~static_cast<int>(s));  // rather the newest
    if (plan_.rooted && plan_.values[2].view.dtype == dtype && !taken(2))
      found.push_back(~kMaxChain);
    for (size_t i = 0; i < plan_.operand.size(); ++i)
      if (plan_.values[static_cast<size_t>(plan_.operand[i])].view.dtype == dtype &&
          !taken(plan_.operand[i]))
        found.push_back(static_cast<int>(i));
    if (!found.empty() && h_.pick(0, 3) > 0)
      return found[static_cast<size_t>(h_.pick(0, static_cast<int64_t>(found.size()) - 1))];
    Shape shape = plan_.shape;
    switch (h_.pick(0, 3)) {
      case 0:  // the last axes
        shape = Shape{};
        for (int d = static_cast<int>(h_.pick(0, plan_.shape.ndim)); d < plan_.shape.ndim; ++d)
          shape.push(plan_.shape[d]);
        break;
      case 1:
        if (layout == Layout::any && shape.ndim > 0)
          shape[static_cast<int>(h_.pick(0, shape.ndim - 1))] = 1;
        break;
      default:
        break;
    }
    plan_.operand.push_back(value(dtype, shape, layout));
    return static_cast<int>(plan_.operand.size()) - 1;
  }

  bool taken(int value) const {
    for (const int out : plan_.out)
      if (out == value) return true;
    return false;
  }

  // An operand of the newest stage that its result may take the place of: no later stage reads it.
  int in_place(const ChainStage& s) {
    for (int k = 0; k < s.n_in; ++k) {
      const int at = s.in[k] >= 0            ? plan_.operand[static_cast<size_t>(s.in[k])]
                     : ~s.in[k] == kMaxChain ? 2
                                             : -1;
      if (at < 0 || h_.pick(0, 1) == 0) continue;
      const TensorView& view = plan_.values[static_cast<size_t>(at)].view;
      if (view.dtype == s.out_dtype && view.shape == plan_.shape && view.contiguous()) return at;
    }
    return -1;
  }

  Harness& h_;
  Plan& plan_;
};

OpCall product(const Plan& plan, const TensorView* views) {
  (void)plan;
  return {op_matmul, views, 2, views[2], {}};
}

OpCall sum_of_columns(const TensorView* x, const TensorView& out) {
  OpCall call{op_sum, x, 1, out, {}};
  call.attrs.axes = 1;
  return call;
}

Status run_on_device(const Plan& plan, const Backend& backend, ExecContext* ctx,
                     const TensorView* views) {
  std::vector<TensorView> operands;
  for (const int i : plan.operand) operands.push_back(views[i]);
  std::vector<ChainStage> stages = plan.stages;
  for (size_t s = 0; s < stages.size(); ++s)
    stages[s].out = plan.out[s] < 0 ? nullptr : views[plan.out[s]].data;
  const OpCall root = product(plan, views);
  std::vector<TensorView> summed;
  for (const Plan::Sum& sum : plan.sums) summed.push_back(views[plan.out[sum.stage]]);
  std::vector<OpCall> sums;
  for (size_t i = 0; i < summed.size(); ++i)
    sums.push_back(sum_of_columns(&summed[i], views[plan.sums[i].out]));
  const ChainCall call{plan.rooted ? &root : nullptr,
                       plan.shape,
                       operands.data(),
                       static_cast<int>(operands.size()),
                       stages.data(),
                       static_cast<int>(stages.size()),
                       0,
                       sums.data(),
                       static_cast<int>(sums.size())};
  return backend.run_chain(ctx, &call);
}

Status run_one_by_one(const Plan& plan, const Backend& backend, ExecContext* ctx,
                      const TensorView* views) {
  if (plan.rooted) {
    const OpCall root = product(plan, views);
    TG_TRY(backend.run(ctx, &root));
  }
  std::vector<std::vector<double>> memory(plan.stages.size());
  std::vector<TensorView> results;
  for (size_t s = 0; s < plan.stages.size(); ++s) {
    const ChainStage& stage = plan.stages[s];
    OpCall call{stage.op, nullptr, stage.n_in, {}, {}};
    for (int i = 0; i < 4; ++i) call.attrs.p[i] = stage.p[i];
    TensorView in[kMaxStageInputs];
    for (int k = 0; k < stage.n_in; ++k)
      in[k] = stage.in[k] >= 0            ? views[plan.operand[static_cast<size_t>(stage.in[k])]]
              : ~stage.in[k] == kMaxChain ? views[2]
                                          : results[static_cast<size_t>(~stage.in[k])];
    call.in = in;
    call.out.dtype = stage.out_dtype;
    call.out.shape = plan.shape;
    contiguous_strides(plan.shape, call.out.strides);
    memory[s].resize(static_cast<size_t>(plan.shape.count()) + 1);
    call.out.data = memory[s].data();
    TG_TRY(backend.run(ctx, &call));
    results.push_back(call.out);
    if (plan.out[s] >= 0) memcpy(views[plan.out[s]].data, call.out.data, call.out.bytes());
  }
  for (const Plan::Sum& sum : plan.sums) {
    const OpCall call = sum_of_columns(&results[sum.stage], views[sum.out]);
    TG_TRY(backend.run(ctx, &call));
  }
  return Status::ok;
}

void compare(Harness& h, Plan& plan, Tolerance tolerance, const char* what) {
  std::vector<Value*> values;
  for (Value& value : plan.values) values.push_back(&value);
  std::string text = what;
  for (const ChainStage& stage : plan.stages) text += std::string(" ") + name_of(stage.op);
  h.compare_memory(text.c_str(), values, tolerance,
                   [&](const Backend& backend, ExecContext* ctx, const TensorView* views) {
                     return &backend == &h.cpu_backend ? run_one_by_one(plan, backend, ctx, views)
                                                       : run_on_device(plan, backend, ctx, views);
                   });
}

template <size_t kOps>
void chains(Harness& h, const char* what, const Op (&ops)[kOps], DType dtype, Tolerance tolerance,
            int most_stages, bool rooted) {
  for (int i = 0; i < 60; ++i) {
    Plan plan;
    Maker maker(h, &plan);
    maker.layout = i % 2 ? Layout::any : Layout::contiguous;
    plan.shape =
        i % 10 == 0 ? shape_of({70, 300}) : h.random_shape(static_cast<int>(h.pick(1, 4)), 3000);
    if (i == 5) plan.shape[0] = 0;
    plan.rooted = rooted;
    if (rooted) {
      plan.shape = h.random_shape(2, 3000);
      if (i == 5) plan.shape[0] = 0;
      const int64_t inner = h.pick(1, 20);
      maker.value(dtype, shape_of({plan.shape[0], inner}), Layout::permuted);
      maker.value(dtype, shape_of({inner, plan.shape[1]}), Layout::permuted);
      maker.value(dtype, plan.shape, Layout::contiguous);
    }
    const int64_t stages = h.pick(1, most_stages);
    for (int64_t s = 0; s < stages; ++s) maker.stage(ops, dtype, s + 1 == stages);
    compare(h, plan, tolerance, what);
  }
}

// Comparisons of one dtype choose values of another, so that the chain changes what it computes in.
void mixed_chains(Harness& h) {
  constexpr DType kTypes[] = {DType::float32, DType::float64, DType::int32, DType::bfloat16};
  constexpr Op kCommon[] = {op_less, op_less, op_where, op_where, op_add, op_maximum};
  for (int i = 0; i < 100; ++i) {
    Plan plan;
    Maker maker(h, &plan);
    plan.shape = h.random_shape(2, 3000);
    for (int s = 0; s < kMaxChain; ++s)
      maker.stage(kCommon, kTypes[h.pick(0, 3)], s + 1 == kMaxChain);
    compare(h, plan, {}, "mixed chain:");
  }
}

}  // namespace

void chain_cases(Harness& h) {
  for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16})
    chains(h, "exact chain:", kExact, dtype, {}, kMaxChain, false);
  chains(h, "chain of integers:", kIntegerOps, DType::int32, {}, kMaxChain, false);
  mixed_chains(h);
  for (const DType dtype : {DType::float32, DType::float64}) {
    const double unit = dtype == DType::float64 ? 0x1p-52 : 0x1p-23;
    chains(h, "smooth chain:", kSmooth, dtype, {32 * unit, 64 * unit}, 5, false);
    chains(h, "chain with a root:", kSmooth, dtype, {64 * unit, 8192 * unit}, 4, true);
  }
}

}  // namespace tg::test
