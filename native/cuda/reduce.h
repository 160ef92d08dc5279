// Reductions over axes, in an order that only the shape decides.
#pragma once

#include "../core/backend.h"

namespace tg::cuda {

// sum, mean, max, min, logSumExp, variance, argmax, argmin, sumTo.
Status run_reduce(ExecContext* ctx, const OpCall& call);

}  // namespace tg::cuda
