// Elementwise ops: each is a chain of one stage (see chain.h).
#pragma once

#include "../core/backend.h"

namespace tg::cuda {

// Any elementwise op of the schema, its fused backward kernels and comparisons, `where` included.
// Inputs broadcast; `call.numbers` may name some.
Status run_elementwise(ExecContext* ctx, const OpCall& call);

// y += x; equal shape and strides over dense memory, one dtype. x may be y.
Status accumulate(ExecContext* ctx, const TensorView& y, const TensorView& x);

}  // namespace tg::cuda
