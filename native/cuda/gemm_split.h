// float32 products through bfloat16 tensor cores (gemm_split.cu), one of the ways of gemm_hopper.
#pragma once

#include "gemm.h"

namespace tg::cuda {

// Whether splitting the operands pays: the call is large enough in all its sides.
bool gemm_split_takes(const Device&, const GemmCall&);
// For calls with m, n and k of at least 1, in and out float32; any strides.
size_t gemm_split_scratch_bytes(const Device&, const GemmCall&);
Status gemm_split(ExecContext* ctx, const GemmCall& call);

}  // namespace tg::cuda
