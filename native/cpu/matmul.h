// matmul and linear: batch broadcasting and vectors, mapped onto gemm.
#pragma once

#include "../core/backend.h"
#include "bfloat16_table.h"
#include "gemm.h"
#include "gemm_bf16_table.h"

namespace tg::cpu {

Status run_matmul(const GemmTable& table, ExecContext* ctx, const OpCall& call);
Status run_linear(const GemmTable& table, ExecContext* ctx, const OpCall& call);

// Either op on bfloat16, where the instruction set has dot products for it (see gemm_bf16.h).
Status run_product_bf16(const GemmBf16Table& table, const Bfloat16Table& bfloat16, ExecContext* ctx,
                        const OpCall& call);

}  // namespace tg::cpu
