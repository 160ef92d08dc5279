// The backend's functions on lists of parameters: see core/backend.h. One launch for as many
// parameters as its arguments can name.
#pragma once

#include "../core/backend.h"

namespace tg::cuda {

Status optimize(ExecContext* ctx, int rule, const double* numbers, const OptimizerItem* items,
                int n);
// Without ctx->step waits for the result.
Status gradient_norm(ExecContext* ctx, const OptimizerItem* items, int n, double* norm);
Status scale(ExecContext* ctx, const TensorView* tensors, int n, double factor);
Status clip_norm(ExecContext* ctx, const TensorView* tensors, int n, double limit, bool finite,
                 const double* norm);
Status clip(ExecContext* ctx, const TensorView* tensors, int n, double limit);

}  // namespace tg::cuda
