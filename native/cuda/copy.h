// Copies from any strides, and casts.
#pragma once

#include "../core/backend.h"

namespace tg::cuda {

// op_clone or op_cast.
Status run_copy(ExecContext* ctx, const OpCall& call);

// All of x, converted to `to.dtype`, to the elements of `to`, which has x's shape and distinct
// places for them. No overlap. Takes no scratch.
Status copy_into(ExecContext* ctx, const TensorView& x, const TensorView& to);

// to = from, bytes that do not overlap; not after a fault (checked.h).
Status assign(ExecContext* ctx, void* to, const void* from, size_t bytes);

// x in row-major order to contiguous memory at `to`.
Status copy_contiguous(ExecContext* ctx, const TensorView& x, void* to);

}  // namespace tg::cuda
