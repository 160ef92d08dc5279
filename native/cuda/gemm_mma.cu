// Products of bfloat16 by warp-wide matrix instructions, for chips and shapes that gemm_hopper.cu
// does not take; and which of the two kinds of them a call is.
#include "gemm_mma.cuh"

namespace tg::cuda {

size_t gemm_mma_scratch_bytes(const Device& device, const GemmCall& given) {
  const GemmCall call = plain(given);
  return partial_bytes(call, call.tf32 ? mma::choose<float>(device, call).plan.splits
                                       : mma::choose<bf16>(device, call).plan.splits);
}

double gemm_mma_cycles(const Device& device, const GemmCall& given) {
  const GemmCall call = plain(given);
  return call.tf32 ? mma::choose<float>(device, call).plan.cycles
                   : mma::choose<bf16>(device, call).plan.cycles;
}

Status gemm_mma(ExecContext* ctx, const GemmCall& call) {
  return call.tf32 ? mma::run<float>(ctx, plain(call)) : mma::run<bf16>(ctx, plain(call));
}

}  // namespace tg::cuda
