// matmul and linear: batch broadcasting and vectors, mapped onto gemm.
#pragma once

#include "../core/backend.h"
#include "gemm.h"

namespace tg::cpu {

Status run_matmul(const GemmTable& table, ExecContext* ctx, const OpCall& call);
Status run_linear(const GemmTable& table, ExecContext* ctx, const OpCall& call);

}  // namespace tg::cpu
