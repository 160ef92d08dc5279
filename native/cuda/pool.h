// Pooling over windows and its adjoints.
#pragma once

#include "../core/backend.h"

namespace tg::cuda {

Status run_pool(ExecContext* ctx, const OpCall& call);

}  // namespace tg::cuda
