// Reductions over any axes and strides: which axes, which fold; and the sums. Maxima, minima and
// their places are in reduce_extremes.cu, variance and logSumExp in reduce_moments.cu.
#include "reduce.h"

#include "folds.h"

namespace tg::cuda {

namespace {

Status reduce_sums(ExecContext* ctx, const OpCall& call, const ReducePlan& plan) {
  const void* const x = call.in[0].data;
  void* const out = call.out.data;
  const bool mean = call.op == op_mean;
  switch (call.in[0].dtype) {
    case DType::float32:
      return reduce<float>(ctx, plan, SumFold<float>{mean}, x, out);
    case DType::float64:
      return reduce<double>(ctx, plan, SumFold<double>{mean}, x, out);
    case DType::bfloat16:
      return reduce<bf16>(ctx, plan, SumFold<bf16>{mean}, x, out);
    case DType::int32:
      return reduce<int32_t>(ctx, plan, SumFold<int32_t>{mean}, x, out);
    default:
      return ctx->error->set(Status::internal, "%s: no kernel for %s", name_of(call.op),
                             name_of(call.in[0].dtype));
  }
}

}  // namespace

Status run_reduce(ExecContext* ctx, const OpCall& call) {
  const TensorView& x = call.in[0];
  const uint32_t mask = reduced_axes(call);
  const bool places = call.op == op_argmax || call.op == op_argmin;
  const ReducePlan plan = plan_reduction(x, mask, places, nullptr);
  ctx->trace.variant = plan.columns ? "columns" : "rows";
  switch (call.op) {
    case op_sum:
    case op_mean:
    case op_sumTo:
      return reduce_sums(ctx, call, plan);
    case op_variance:
    case op_logSumExp:
      return reduce_moments(ctx, call, plan);
    default:
      return reduce_extremes(ctx, call, plan);
  }
}

}  // namespace tg::cuda
