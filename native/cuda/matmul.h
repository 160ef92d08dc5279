// matmul and linear: batch broadcasting and vectors, mapped onto the gemm kernels (gemm.h).
#pragma once

#include "../core/backend.h"
#include "../core/chain.h"

namespace tg::cuda {

// What becomes of a product's elements without a pass over memory, besides its bias.
struct ProductEnd {
  const ChainStage* stage = nullptr;  // an op that gemm_fuses(), of the product's type; stored in
                                      // place of the product's result, or both are
  const void* kept = nullptr;   // the stage's second operand, if it has one: contiguous, of the
                                // product's shape and type
  void* column_sums = nullptr;  // sums over all axes but the last of what the stage stores
};

// op_matmul or op_linear. Without column sums if they cannot be had: *summed says so.
Status run_product(ExecContext* ctx, const OpCall& call, const ProductEnd& end, bool* summed);
inline Status run_product(ExecContext* ctx, const OpCall& call) {
  bool summed;
  return run_product(ctx, call, {}, &summed);
}

}  // namespace tg::cuda
