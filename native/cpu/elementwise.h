// Elementwise ops on tensors of any stride: broadcasting, chunking, threads.
#pragma once

#include "../core/backend.h"
#include "bfloat16_table.h"
#include "elementwise_table.h"

namespace tg::cpu {

// Runs any op of the elementwise table. Inputs broadcast to out's shape. Where an input is bfloat16
// the op is computed in float32 (in which its other floats must be), and a bfloat16 result rounded
// once; out may then be an input that lies in order.
Status run_elementwise(const ElementwiseTable& table, const Bfloat16Table& bfloat16,
                       ExecContext* ctx, const OpCall& call);

}  // namespace tg::cpu
