// variance and logSumExp.
#include "folds.h"

namespace tg::cuda {

namespace {

template <class T>
Status moments(ExecContext* ctx, const OpCall& call, const ReducePlan& plan) {
  if (call.op == op_variance)
    return reduce<T>(ctx, plan, MomentsFold<T>{false, call.attrs.p[0]}, call.in[0].data,
                     call.out.data);
  return reduce<T>(ctx, plan, LogSumExpFold<T>{}, call.in[0].data, call.out.data);
}

}  // namespace

Status reduce_moments(ExecContext* ctx, const OpCall& call, const ReducePlan& plan) {
  switch (call.in[0].dtype) {
    case DType::float32:
      return moments<float>(ctx, call, plan);
    case DType::float64:
      return moments<double>(ctx, call, plan);
    case DType::bfloat16:
      return moments<bf16>(ctx, call, plan);
    default:
      return ctx->error->set(Status::internal, "%s: no kernel for %s", name_of(call.op),
                             name_of(call.in[0].dtype));
  }
}

}  // namespace tg::cuda
