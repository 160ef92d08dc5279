// float32 products in tf32 by warpgroups (gemm_hopper_tf32.cu), one of the ways of gemm_hopper.
#pragma once

#include "gemm.h"

namespace tg::cuda {

// Whether it is faster than gemm_mma, operands being rewritten if need be. For calls with m, n and
// k of at least 1 and tf32; any strides.
bool gemm_hopper_tf32_takes(const Device&, const GemmCall&);
size_t gemm_hopper_tf32_scratch_bytes(const Device&, const GemmCall&);
Status gemm_hopper_tf32(ExecContext* ctx, const GemmCall& call);

}  // namespace tg::cuda
