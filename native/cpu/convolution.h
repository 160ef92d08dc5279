// Two-dimensional convolution and its adjoints on NCHW tensors, as matrix products over gathered
// columns. No kernels: they come from the ISA's tables.
#pragma once

#include "../core/backend.h"
#include "convolution_table.h"
#include "gemm_table.h"

namespace tg::cpu {

struct ConvolutionKernelTables {
  const GemmTable& gemm;
  const ConvolutionTable& convolution;
};

// op_conv2d, op_convolve2d; op_conv2dInput; op_conv2dWeight. call.out is contiguous and aliases no
// input. Columns are gathered a panel at a time (kernels of 1 × 1 with stride 1 need none); the
// order in which terms are summed depends on the shapes only: the same bits for any number of
// threads. Sets trace.variant: "columns" or "scatter".
Status run_conv2d(const ConvolutionKernelTables&, ExecContext*, const OpCall&);
Status run_conv2d_input(const ConvolutionKernelTables&, ExecContext*, const OpCall&);
Status run_conv2d_weight(const ConvolutionKernelTables&, ExecContext*, const OpCall&);

// op_conv2dInput with any stride: products whose columns are added to where they were seen. What
// run_conv2d_input does where the stride is not 1.
Status run_conv2d_scatter(const GemmTable&, ExecContext*, const OpCall&);

}  // namespace tg::cpu
