// Shape inference: the one place that knows which inputs an op takes and what comes out.
#pragma once

#include "op.h"

namespace tg {

// What inference found. Either a kernel must run (`call` has op, out's dtype and shape, and attrs),
// or the result is a view of in[0]: same storage, `view_offset` elements further on, with out's
// strides.
struct Inference {
  OpCall call;
  bool is_view = false;
  int64_t view_offset = 0;
};

// Validates inputs and attributes (flat numbers, encoded by the schema's kinds in order: one number
// each; axes, shape and pairs as a count, -1 for null, and that many numbers) and infers the
// result. Messages name the op, the argument and the shapes.
Status infer(Op op, const TensorView* in, int n_in, const double* attrs, int n_attrs, Error* error,
             Inference* result);

}  // namespace tg
