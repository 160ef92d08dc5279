// matmul and linear: batch broadcasting and vectors, mapped onto gemm.
#pragma once

#include "../core/backend.h"
#include "gemm.h"

namespace tg::cpu {

// `f32` or `f64`, by the result's dtype, gets the result's rows as they are finished: see gemm.h.
Status run_matmul(const GemmTable& table, ExecContext* ctx, const OpCall& call,
                  const GemmFinish<float>& f32 = {}, const GemmFinish<double>& f64 = {});
Status run_linear(const GemmTable& table, ExecContext* ctx, const OpCall& call,
                  const GemmFinish<float>& f32 = {}, const GemmFinish<double>& f64 = {});

}  // namespace tg::cpu
