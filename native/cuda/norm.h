// Layer and batch normalisation with their gradients.
#pragma once

#include "../core/backend.h"

namespace tg::cuda {

Status run_layer_norm(ExecContext* ctx, const OpCall& call);
Status run_channel_norm(ExecContext* ctx, const OpCall& call);

}  // namespace tg::cuda
