// Chains of elementwise ops in one pass over memory: see core/chain.h.
#pragma once

#include "../core/backend.h"

namespace tg::cuda {

Status run_chain(ExecContext* ctx, const ChainCall& call);

// The stages alone. Bit i of `numbers`: operand i is one number in the host's memory. The results
// of the first `done` stages are where they belong already.
Status run_stages(ExecContext* ctx, const ChainCall& call, uint32_t numbers, int done = 0);

}  // namespace tg::cuda
