// Which kernel computes a product.
#include "gemm.h"

#include "device.h"

namespace tg::cuda {

namespace {

enum class Way { skinny, hopper, mma, simt };

Way choose(const Device& device, const GemmCall& call) {
  if (gemm_is_skinny(call)) return Way::skinny;
  if (gemm_hopper_takes(device, call)) return Way::hopper;
  return call.in == DType::bfloat16 || call.tf32 ? Way::mma : Way::simt;
}

bool is_empty(const GemmCall& call) {
  return call.m < 1 || call.n < 1 || call.batch < 1 || call.outer < 1;
}

}  // namespace

size_t gemm_scratch_bytes(const Device& device, const GemmCall& call) {
  if (is_empty(call)) return 0;
  switch (choose(device, call)) {
    case Way::skinny:
      return gemm_skinny_scratch_bytes(device, call);
    case Way::hopper:
      return gemm_hopper_scratch_bytes(device, call);
    case Way::mma:
      return gemm_mma_scratch_bytes(device, call);
    case Way::simt:
      break;
  }
  return gemm_simt_scratch_bytes(device, call);
}

bool gemm_sums_columns(const Device& device, const GemmCall& call) {
  if (is_empty(call) || call.batch > 1 || call.outer > 1) return false;
  switch (choose(device, call)) {
    case Way::skinny:
      return false;
    case Way::hopper:
      return true;
    case Way::mma:
      return gemm_mma_sums_columns(device, call);
    case Way::simt:
      break;
  }
  return gemm_simt_sums_columns(device, call);
}

Status gemm(ExecContext* ctx, const GemmCall& call) {
  if (is_empty(call)) return Status::ok;
  switch (choose(*ctx->device, call)) {
    case Way::skinny:
      return gemm_skinny(ctx, call);
    case Way::hopper:
      return gemm_hopper(ctx, call);
    case Way::mma:
      return gemm_mma(ctx, call);
    case Way::simt:
      break;
  }
  return gemm_simt(ctx, call);
}

}  // namespace tg::cuda
