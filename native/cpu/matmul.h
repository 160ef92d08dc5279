// matmul and linear: batch broadcasting and vectors, mapped onto gemm.
#pragma once

#include "../core/backend.h"
#include "bfloat16_table.h"
#include "gemm.h"
#include "gemm_bf16_table.h"

namespace tg::cpu {

// `f32` or `f64`, by the result's dtype, gets the result's rows as they are finished: see gemm.h.
Status run_matmul(const GemmTable& table, ExecContext* ctx, const OpCall& call,
                  const GemmFinish<float>& f32 = {}, const GemmFinish<double>& f64 = {});
Status run_linear(const GemmTable& table, ExecContext* ctx, const OpCall& call,
                  const GemmFinish<float>& f32 = {}, const GemmFinish<double>& f64 = {});

// Either op on bfloat16, where the instruction set has dot products for it (see gemm_bf16.h).
Status run_product_bf16(const GemmBf16Table& table, const Bfloat16Table& bfloat16, ExecContext* ctx,
                        const OpCall& call);

}  // namespace tg::cpu
