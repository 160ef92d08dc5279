// Softmax, its logarithm, cross-entropy from logits, and their gradients: one pass over a row.
#pragma once

#include "../core/backend.h"

namespace tg::cuda {

Status run_softmax(ExecContext* ctx, const OpCall& call);

}  // namespace tg::cuda
