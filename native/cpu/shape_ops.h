// Ops that move elements or make them from nothing: copies, casts, joins, selections, padding,
// constants. Compiled once, for the baseline. Inputs may have any strides; shapes, dtypes and
// attributes were checked by core/infer, indices are checked here.
#pragma once

#include "../core/backend.h"

namespace tg::cpu {

Status run_clone(ExecContext* ctx, const OpCall& call);

// Float to int32 rounds toward zero, saturates, and makes NaN 0; anything to bool is x != 0, so NaN
// is true; narrower floats and int32 to float round once, to nearest even.
Status run_cast(ExecContext* ctx, const OpCall& call);

// Inputs side by side along attrs.axis.
Status run_concat(ExecContext* ctx, const OpCall& call);

// x with attrs.pads[2 i] elements before and [2 i + 1] after along axis i, equal to attrs.p[0].
Status run_pad(ExecContext* ctx, const OpCall& call);

// Inputs x and index (1-d int32). A bad index is a range_error, and then nothing is written.
Status run_index_select(ExecContext* ctx, const OpCall& call);

// Inputs g (float) and index: zeros, to which the slices of g are added in the order of index, by
// one thread per element, so that the bits do not depend on the number of threads.
Status run_index_add(ExecContext* ctx, const OpCall& call);

// Numbers are converted to out.dtype as run_cast does from float64.
Status run_full(ExecContext* ctx, const OpCall& call);
// attrs.p[0] + i · attrs.p[1], in double.
Status run_arange(ExecContext* ctx, const OpCall& call);
Status run_eye(ExecContext* ctx, const OpCall& call);

}  // namespace tg::cpu
