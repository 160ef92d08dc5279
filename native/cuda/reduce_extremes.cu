// max, min, argmax and argmin.
#include "folds.h"

namespace tg::cuda {

namespace {

template <class T>
Status extremes(ExecContext* ctx, const OpCall& call, const ReducePlan& plan) {
  const Order<Compute<T>> order{call.op == op_min || call.op == op_argmin};
  if (call.op == op_max || call.op == op_min)
    return reduce<T>(ctx, plan, ExtremeFold<T>{order}, call.in[0].data, call.out.data);
  return reduce<T>(ctx, plan, PlaceFold<T>{order}, call.in[0].data, call.out.data);
}

}  // namespace

Status reduce_extremes(ExecContext* ctx, const OpCall& call, const ReducePlan& plan) {
  switch (call.in[0].dtype) {
    case DType::float32:
      return extremes<float>(ctx, call, plan);
    case DType::float64:
      return extremes<double>(ctx, call, plan);
    case DType::bfloat16:
      return extremes<bf16>(ctx, call, plan);
    case DType::int32:
      return extremes<int32_t>(ctx, call, plan);
    default:
      return ctx->error->set(Status::internal, "%s: no kernel for %s", name_of(call.op),
                             name_of(call.in[0].dtype));
  }
}

}  // namespace tg::cuda
