// Two-dimensional convolution and its adjoints on NCHW tensors, as matrix products over gathered
// columns. No kernels: the products are gemm.h's.
#pragma once

#include "../core/backend.h"
#include "gemm_table.h"

namespace tg::cpu {

// op_conv2d, op_convolve2d; op_conv2dInput; op_conv2dWeight. call.out is contiguous and aliases no
// input. Columns are gathered a tile at a time (kernels of 1 × 1 with stride 1 need none); tiles,
// and the order in which they are summed, depend on the shapes only: the same bits for any number
// of threads. Sets trace.variant: "1x1" or "tiles".
Status run_conv2d(const GemmTable& table, ExecContext* ctx, const OpCall& call);
Status run_conv2d_input(const GemmTable& table, ExecContext* ctx, const OpCall& call);
Status run_conv2d_weight(const GemmTable& table, ExecContext* ctx, const OpCall& call);

}  // namespace tg::cpu
