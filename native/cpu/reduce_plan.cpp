#include "reduce_plan.h"

namespace tg::cpu {
namespace {

void choose_folds(Plan* plan) {
  plan->passes = 1;
  switch (plan->op) {
    case op_max:
    case op_argmax:
      plan->fold[0] = kFoldMax;
      break;
    case op_min:
    case op_argmin:
      plan->fold[0] = kFoldMin;
      break;
    case op_logSumExp:
      plan->fold[0] = kFoldMax, plan->fold[1] = kFoldExps, plan->passes = 2;
      break;
    case op_variance:
      plan->fold[0] = kFoldSum, plan->fold[1] = kFoldSquares, plan->passes = 2;
      break;
    default:
      plan->fold[0] = kFoldSum;
  }
  plan->arg = plan->op == op_argmax || plan->op == op_argmin;
  plan->largest = plan->op == op_argmax;
}

void choose_path(Plan* plan) {
  const Axis &k = plan->kept.inner(), &r = plan->reduced.inner();
  const bool one_walk = plan->kept.n == 1 && plan->reduced.n == 1 && !plan->arg;
  plan->packed =
      one_walk && k.in == 1 && r.in == k.size && k.size > 1 && k.size <= kPackedWidth / 2;
  plan->short_rows = one_walk && r.in == 1 && r.size >= 6 && r.size <= kShortRow;
  if (k.in == 1 && (k.size >= 8 || plan->packed))
    plan->path = Path::columns;
  else if (r.in == 1 && (r.size >= 32 || plan->short_rows ||
                         (plan->reduced.n == 1 && (r.size >= 16 || k.size < 16))))
    plan->path = Path::rows;
  else if (k.size >= 16 && (plan->n < 16 || (k.in != 0 && magnitude(k.in) < magnitude(r.in))))
    plan->path = Path::gathered_columns;
  else
    plan->path = Path::gathered_rows;
  int64_t block = kRowBlock;
  switch (plan->path) {
    case Path::rows:
      plan->width = limit(kUnitWork / plan->n, 1, kTile);
      break;
    case Path::gathered_rows:
      plan->width = limit(2 * kUnitWork / plan->n, 8, 64);
      break;
    default:
      // Even tiles of whole cache lines.
      plan->width = divide_up(divide_up(k.size, divide_up(k.size, kTile)), 32) * 32;
      block = plan->path == Path::columns ? kColumnBlock : kGatherRows;
  }
  if (plan->width > k.size) plan->width = k.size;
  plan->tiles_per_run = divide_up(k.size, plan->width);
  plan->tiles = plan->tiles_per_run * (plan->outputs / k.size);
  // Too few tiles to share: cut the elements of each output, too.
  plan->segment = plan->n;
  if (plan->tiles < 16 && plan->outputs * plan->n >= kThreadWork) {
    const int64_t even = divide_up(plan->n, divide_up(16, plan->tiles));
    const int64_t worthwhile = divide_up(kUnitWork, plan->width);
    plan->segment = divide_up(even > worthwhile ? even : worthwhile, block) * block;
  }
  plan->segments = divide_up(plan->n, plan->segment);
}

}  // namespace

void make_plan(const OpCall& call, uint32_t mask, Plan* plan) {
  const TensorView& x = call.in[0];
  plan->op = call.op;
  plan->correction = call.attrs.p[0];
  plan->outputs = plan->n = 1;
  choose_folds(plan);
  int64_t out_stride[kMaxDims] = {};
  for (int i = x.shape.ndim - 1; i >= 0; --i) {
    if (mask >> i & 1) {
      plan->n *= x.shape[i];
    } else {
      out_stride[i] = plan->outputs;
      plan->outputs *= x.shape[i];
    }
  }
  for (int i = 0; i < x.shape.ndim; ++i)
    (mask >> i & 1 ? plan->reduced : plan->kept).push({x.shape[i], x.strides[i], out_stride[i], 0});
  if (plan->outputs == 0 || plan->n == 0) return;
  // Any order will do, except where positions are counted through several axes.
  if (!plan->arg) plan->reduced.sort();
  plan->kept.sort();
  plan->reduced.coalesce();
  plan->kept.coalesce();
  choose_path(plan);
}

}  // namespace tg::cpu
