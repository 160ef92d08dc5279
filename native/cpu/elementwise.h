// Elementwise ops on tensors of any stride: broadcasting, chunking, threads.
#pragma once

#include "../core/backend.h"
#include "elementwise_table.h"

namespace tg::cpu {

// Runs any op of the elementwise table. Inputs broadcast to out's shape.
Status run_elementwise(const ElementwiseTable& table, ExecContext* ctx, const OpCall& call);

}  // namespace tg::cpu
