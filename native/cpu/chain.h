// Chains of elementwise ops: see core/chain.h. Without their sums.
#pragma once

#include "../core/backend.h"
#include "elementwise_table.h"
#include "gemm_table.h"

namespace tg::cpu {

Status run_chain(const ElementwiseTable& table, const GemmTable& gemm, ExecContext* ctx,
                 const ChainCall& call);

}  // namespace tg::cpu
