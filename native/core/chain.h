// Elementwise ops run one after the other on a piece of memory while it is in L1, alone or on the
// result of a matrix product as it is finished; and sums of the columns of what they store.
#pragma once

#include "op.h"

namespace tg {

constexpr int kMaxChain = 8;  // stages
constexpr int kMaxStageInputs = 4;
constexpr int kMaxChainOperands = kMaxChain * kMaxStageInputs;  // tensors from outside

struct ChainStage {
  Op op;        // elementwise
  DType dtype;  // of the kernel: that of the first input that is a number
  DType out_dtype;
  int n_in;
  int in[kMaxStageInputs];  // ≥ 0: an operand; else ~the stage whose result it is, or ~kMaxChain
                            // for the root's
  double p[4];
  void* out;  // contiguous memory of the chain's shape; null if only later stages need it
};

// All results have one shape. Operands broadcast to it. A stage's `out` may be an operand that no
// later stage reads, if that is contiguous and of the shape itself; the root's result likewise.
// `sums`: calls of a reduction (sum, sumTo), each over all axes but the last of a stage's `out`,
// which no later stage writes over. A backend may run them as they are, after the stages.
struct ChainCall {
  const OpCall* root;  // matmul or linear, whose contiguous result the stages read; may be null
  Shape shape;
  const TensorView* operands;
  int n_operands;
  const ChainStage* stages;
  int n_stages;
  uint32_t numbers = 0;  // bit i: operands[i] is one number in the host's memory: see OpCall
  const OpCall* sums = nullptr;
  int n_sums = 0;
};

}  // namespace tg
