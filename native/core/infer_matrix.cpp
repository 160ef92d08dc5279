// Shape inference of products, softmax and cross-entropy.
#include "infer_rules.h"

namespace tg {

Status Infer::matmul() {
  TG_TRY(need_float(0, "a"));
  TG_TRY(need_same_dtype(0, 1));
  const Shape &a = in[0].shape, &b = in[1].shape;
  if (a.ndim == 0 || b.ndim == 0) return fail_shapes("both need at least one dimension", a, b);
  const int64_t inner_a = a[a.ndim - 1], inner_b = b.ndim == 1 ? b[0] : b[b.ndim - 2];
  if (inner_a != inner_b) return fail_shapes("inner dimensions differ", a, b);
  Shape batch_a, batch_b;
  for (int i = 0; i < a.ndim - 2; ++i) batch_a.push(a[i]);
  for (int i = 0; i < b.ndim - 2; ++i) batch_b.push(b[i]);
  if (!broadcast(batch_a, batch_b, &out().shape))
    return fail_shapes("batch dimensions do not broadcast", a, b);
  if (a.ndim > 1) out().shape.push(a[a.ndim - 2]);
  if (b.ndim > 1) out().shape.push(b[b.ndim - 1]);
  out().dtype = in[0].dtype;
  return check_size();
}

Status Infer::linear() {
  TG_TRY(need_float(0, "x"));
  TG_TRY(need_same_dtype(0, 1));
  TG_TRY(need_same_dtype(0, 2));
  TG_TRY(need_dims(1, "weight", 2));
  TG_TRY(need_dims(2, "bias", 1));
  const Shape &x = in[0].shape, &w = in[1].shape;
  if (x.ndim == 0 || x[x.ndim - 1] != w[1])
    return fail_shapes("x [..., in] does not fit weight [out, in]", x, w);
  if (in[2].shape[0] != w[0])
    return fail_shapes("weight [out, in] does not fit bias [out]", w, in[2].shape);
  like(0);
  out().shape[x.ndim - 1] = w[0];
  return check_size();
}

Status Infer::softmax(bool backward) {
  TG_TRY(need_float(0, backward ? "g" : "x"));
  if (backward) {
    TG_TRY(need_same_dtype(0, 1));
    if (in[0].shape != in[1].shape)
      return fail_shapes("g and y differ in shape", in[0].shape, in[1].shape);
  }
  TG_TRY(attrs.axis("axis", in[0].shape.ndim, &values().axis));
  like(0);
  return Status::ok;
}

Status Infer::cross_entropy() {
  const int at = op == op_crossEntropyBackward ? 1 : 0;  // g comes first in the backward
  const TensorView &logits = in[at], &target = in[at + 1];
  TG_TRY(need_float(at, "logits"));
  TG_TRY(need_dims(at, "logits", 2));
  if (target.dtype == DType::int32) {
    if (target.shape.ndim != 1 || target.shape[0] != logits.shape[0])
      return fail_shapes("class indices must have one entry per row of logits [n, classes]",
                         logits.shape, target.shape);
  } else {
    TG_TRY(need_same_dtype(at, at + 1));
    if (target.shape != logits.shape)
      return fail_shapes("target probabilities must have the shape of logits", logits.shape,
                         target.shape);
  }
  if (logits.shape[1] == 0 && logits.shape[0] != 0)
    return fail_shapes("there are no classes", logits.shape, target.shape);
  out().dtype = logits.dtype;
  if (at == 0) {
    out().shape.push(logits.shape[0]);
    return Status::ok;
  }
  TG_TRY(need_same_dtype(0, 1));
  if (in[0].shape.ndim != 1 || in[0].shape[0] != logits.shape[0])
    return fail_shapes("g must have one entry per row of logits", in[0].shape, logits.shape);
  out().shape = logits.shape;
  return Status::ok;
}

}  // namespace tg
