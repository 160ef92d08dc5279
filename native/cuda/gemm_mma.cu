// Products of bfloat16 by warp-wide matrix instructions, for chips and shapes that gemm_hopper.cu
// does not take; and which of the two kinds of them a call is.
#include "gemm_mma.cuh"

namespace tg::cuda {

namespace {

GemmPlan plan_of(const Device& device, const GemmCall& call) {
  return call.tf32 ? mma::choose<float>(device, call).plan : mma::choose<bf16>(device, call).plan;
}

}  // namespace

size_t gemm_mma_scratch_bytes(const Device& device, const GemmCall& given) {
  const GemmCall call = plain(given);
  return partial_bytes(call, plan_of(device, call).splits) + parts_bytes(call);
}

bool gemm_mma_sums_columns(const Device& device, const GemmCall& call) {
  return tiles_sum_columns(call, plan_of(device, plain(call)));
}

double gemm_mma_cycles(const Device& device, const GemmCall& call) {
  return plan_of(device, plain(call)).cycles;
}

Status gemm_mma(ExecContext* ctx, const GemmCall& call) {
  return call.tf32 ? mma::run<float>(ctx, plain(call)) : mma::run<bf16>(ctx, plain(call));
}

}  // namespace tg::cuda
