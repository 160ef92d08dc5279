// Joins, padding, selection by index, and constants.
#pragma once

#include "../core/backend.h"

namespace tg::cuda {

Status run_concat(ExecContext* ctx, const OpCall& call);
Status run_pad(ExecContext* ctx, const OpCall& call);
// An index out of range: what the CPU says of it, without reading past memory.
Status run_index_select(ExecContext* ctx, const OpCall& call);
// Slices with the same index are added in their order, so that results repeat bit by bit.
Status run_index_add(ExecContext* ctx, const OpCall& call);
// full, arange, eye.
Status run_constant(ExecContext* ctx, const OpCall& call);

}  // namespace tg::cuda
