// Shape inference of ops that move elements: views, joining, picking, padding.
#include <initializer_list>

#include "infer_rules.h"

namespace tg {

Status Infer::reshape() {
  const TensorView& x = in[0];
  Shape shape;
  TG_TRY(attrs.shape("shape", true, &shape));
  int wild = -1;
  int64_t known = 1;
  for (int i = 0; i < shape.ndim; ++i) {
    if (shape[i] != -1) {
      known *= shape[i];
    } else if (wild >= 0) {
      return error->set(Status::range_error, "%s: only one size of shape may be -1", name());
    } else {
      wild = i;
    }
  }
  const int64_t count = x.shape.count();
  if (wild >= 0) {
    if (known == 0 || count % known)
      return fail_shapes("the elements do not fill the shape", x.shape, shape);
    shape[wild] = count / known;
  } else if (known != count) {
    return fail_shapes("the numbers of elements differ", x.shape, shape);
  }
  like(0);
  out().shape = shape;
  if (x.contiguous()) {
    result->is_view = true;
    contiguous_strides(shape, out().strides);
  } else {
    result->call.op = op_clone;
  }
  return Status::ok;
}

Status Infer::permute() {
  const TensorView& x = in[0];
  int count;
  TG_TRY(attrs.ordered_axes("axes", x.shape.ndim, values().order, &count));
  if (count != x.shape.ndim) {
    char s[kShapeText];
    return error->set(Status::range_error,
                      "%s: axes must list each of the %d axes of %s once, got %d", name(),
                      x.shape.ndim, print(x.shape, s), count);
  }
  like(0);
  for (int i = 0; i < count; ++i) {
    out().shape[i] = x.shape[values().order[i]];
    out().strides[i] = x.strides[values().order[i]];
  }
  result->is_view = true;
  return Status::ok;
}

Status Infer::broadcast_to() {
  const TensorView& x = in[0];
  Shape shape;
  TG_TRY(attrs.shape("shape", true, &shape));
  const int lead = shape.ndim - x.shape.ndim;
  bool fits = lead >= 0;
  for (int i = 0; fits && i < shape.ndim; ++i) {
    const int64_t size = i < lead ? 1 : x.shape[i - lead];
    if (shape[i] == -1 && i >= lead) shape[i] = size;  // keep, as in PyTorch's expand
    fits = shape[i] >= 0 && (size == shape[i] || size == 1);
    out().strides[i] = i < lead || size != shape[i] ? 0 : x.strides[i - lead];
  }
  if (!fits) return fail_shapes("cannot broadcast", x.shape, shape);
  out().dtype = x.dtype;
  out().shape = shape;
  result->is_view = true;
  return check_size();
}

Status Infer::slice() {
  const TensorView& x = in[0];
  TG_TRY(attrs.axis("axis", x.shape.ndim, &values().axis));
  if (x.shape.ndim == 0)
    return error->set(Status::range_error, "%s: a scalar cannot be sliced", name());
  const int64_t size = x.shape[values().axis];
  int64_t start, end, step;
  TG_TRY(attrs.integer("start", -kMaxElements, kMaxElements, &start));
  TG_TRY(attrs.integer("end", -kMaxElements, kMaxElements, &end));
  TG_TRY(attrs.integer("step", 1, kMaxElements, &step));
  // Beyond either end means that end, as for JavaScript's and Python's slices.
  for (int64_t* place : {&start, &end}) {
    if (*place < 0) *place += size;
    *place = *place < 0 ? 0 : *place > size ? size : *place;
  }
  like(0);
  for (int i = 0; i < x.shape.ndim; ++i) out().strides[i] = x.strides[i];
  const int axis = values().axis;
  out().shape[axis] = end > start ? (end - start + step - 1) / step : 0;
  // Of a single element the stride means nothing, and a long step could overflow it.
  if (out().shape[axis] > 1) out().strides[axis] *= step;
  result->is_view = true;
  result->view_offset = out().shape[axis] ? start * x.strides[axis] : 0;
  return Status::ok;
}

Status Infer::concat() {
  if (n_in == 0) return error->set(Status::range_error, "%s: the list of tensors is empty", name());
  TG_TRY(attrs.axis("axis", in[0].shape.ndim, &values().axis));
  if (in[0].shape.ndim == 0)
    return error->set(Status::range_error, "%s: scalars cannot be joined; use stack", name());
  like(0);
  for (int i = 1; i < n_in; ++i) {
    TG_TRY(need_same_dtype(0, i));
    Shape expected = in[i].shape;
    if (expected.ndim == out().shape.ndim) expected[values().axis] = in[0].shape[values().axis];
    if (expected != in[0].shape)
      return fail_shapes("shapes differ outside the axis", in[0].shape, in[i].shape);
    out().shape[values().axis] += in[i].shape[values().axis];
    TG_TRY(check_size());  // each time: views of enormous sizes take no memory, and many could
                           // overflow
  }
  return check_size();
}

Status Infer::index_select() {
  TG_TRY(need_dtype(1, "index", DType::int32));
  TG_TRY(need_dims(1, "index", 1));
  TG_TRY(attrs.axis("axis", in[0].shape.ndim, &values().axis));
  if (in[0].shape.ndim == 0) return error->set(Status::range_error, "%s: x is a scalar", name());
  like(0);
  out().shape[values().axis] = in[1].shape[0];
  return check_size();
}

Status Infer::index_add() {
  TG_TRY(need_dtype(1, "index", DType::int32));
  TG_TRY(need_dims(1, "index", 1));
  TG_TRY(need_float(0, "g"));
  TG_TRY(attrs.axis("axis", in[0].shape.ndim, &values().axis));
  int64_t size;
  TG_TRY(attrs.integer("size", 0, kMaxElements, &size));
  if (in[0].shape.ndim == 0 || in[0].shape[values().axis] != in[1].shape[0])
    return fail_shapes("g has not one slice per index", in[0].shape, in[1].shape);
  like(0);
  out().shape[values().axis] = size;
  return check_size();
}

Status Infer::pad() {
  const TensorView& x = in[0];
  TG_TRY(attrs.pairs("padding", x.shape.ndim, values().pads));
  TG_TRY(attrs.number("value", &values().p[0]));
  like(0);
  for (int i = 0; i < x.shape.ndim; ++i)
    out().shape[i] += values().pads[2 * i] + values().pads[2 * i + 1];
  return check_size();
}

Status Infer::sum_to() {
  TG_TRY(attrs.shape("shape", false, &values().shape));
  Shape joint;
  const Shape& x = in[0].shape;
  if (!broadcast(x, values().shape, &joint) || joint != x)
    return fail_shapes("not the adjoint of a broadcast", x, values().shape);
  out().dtype = in[0].dtype;
  out().shape = values().shape;
  return Status::ok;
}

}  // namespace tg
