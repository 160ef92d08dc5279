// Runs softmax, log-softmax, cross-entropy and their derivatives on tensors with any strides. No
// kernels.
#pragma once

#include "../core/backend.h"
#include "softmax_table.h"

namespace tg::cpu {

// op_softmax, op_logSoftmax, op_softmaxBackward, op_logSoftmaxBackward along attrs.axis,
// op_crossEntropy and op_crossEntropyBackward along the classes. call.out is contiguous and aliases
// no input. Class indices are checked before anything is written (range_error). Bits do not depend
// on the number of threads. Sets trace.variant: "rows", or "gathered rows" where an operand had to
// be copied.
Status run_softmax(const SoftmaxTable& table, ExecContext* context, const OpCall& call);

}  // namespace tg::cpu
