// Pooling of NCHW tensors and its adjoints. Compiled once, for the baseline; kernels come from the
// ISA's PoolTable.
#pragma once

#include "../core/backend.h"
#include "pool_table.h"

namespace tg::cpu {

// op_maxPool2d, op_avgPool2d, op_maxPool2dBackward, op_maxPool2dSelect, op_avgPool2dBackward.
// call.out is contiguous and aliases no input. A plane is worked on by one thread, in a fixed
// order. The maximum of a window is its first NaN, or else its first largest element, row by row.
Status run_pool(const PoolTable& table, ExecContext* ctx, const OpCall& call);

}  // namespace tg::cpu
