// Random numbers from Philox4x32-10: the same as the CPU's for the same (seed, stream, element).
#pragma once

#include "../core/backend.h"

namespace tg::cuda {

// drop, uniform, normal, randint. With ctx->step, seed and stream come from there: see backend.h.
Status run_random(ExecContext* ctx, const OpCall& call);

}  // namespace tg::cuda
