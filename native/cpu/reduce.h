// Runs reductions over any axes of tensors with any strides. No kernels here.
#pragma once

#include "../core/backend.h"
#include "reduce_table.h"

namespace tg::cpu {

// The TG_REDUCE ops and op_sumTo. call.out is contiguous, of the inferred shape and dtype, and
// aliases no input. Results have the same bits for any number of threads; sum, mean, max, min,
// variance, argmax and argmin also on every instruction set. Sets trace.variant to the path taken:
// "rows", "columns", "gathered rows" or "gathered columns".
Status run_reduce(const ReduceTable& table, ExecContext* context, const OpCall& call);

}  // namespace tg::cpu
