// matmul and linear: batch broadcasting and vectors, mapped onto the gemm kernels (gemm.h).
#pragma once

#include "../core/backend.h"
#include "../core/chain.h"

namespace tg::cuda {

// op_matmul or op_linear; `then`: what becomes of each element, an op that gemm_fuses().
Status run_product(ExecContext* ctx, const OpCall& call, const ChainStage* then = nullptr);

}  // namespace tg::cuda
