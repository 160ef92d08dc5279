// Cross-correlation in two dimensions and its adjoints, mapped onto gemm.
#pragma once

#include "../core/backend.h"

namespace tg::cuda {

// op_conv2d and op_convolve2d.
Status run_conv2d(ExecContext* ctx, const OpCall& call);
Status run_conv2d_input(ExecContext* ctx, const OpCall& call);
Status run_conv2d_weight(ExecContext* ctx, const OpCall& call);

}  // namespace tg::cuda
