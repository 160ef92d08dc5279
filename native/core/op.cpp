#include "op.h"

namespace tg {

const char* name_of(Op op) {
  static constexpr const char* kNames[kOps] = {
#define TG_UNARY(name, types, keeps, forward, dx, attrs, doc) #name,
#define TG_BINARY(name, types, keeps, forward, dx, dy, attrs, doc) #name,
#define TG_COMPARE(name, forward, doc) #name,
#define TG_REDUCE(name, types, result, attrs, doc) #name,
#define TG_OP(name, inputs, attrs, doc) #name,
#include "../schema/ops.h"
#define TG_UNARY(name, types, keeps, forward, dx, attrs, doc) #name " (backward)",
#define TG_BINARY(name, types, keeps, forward, dx, dy, attrs, doc) \
#name " (backward)", #name " (backward)",
#include "../schema/ops.h"
  };
  return op < kOps ? kNames[op] : "unknown op";
}

uint32_t reduced_axes(const OpCall& call) {
  if (call.op != op_sumTo) return call.attrs.axes;
  const Shape &from = call.in[0].shape, &to = call.out.shape;
  const int lead = from.ndim - to.ndim;
  uint32_t axes = 0;
  for (int i = 0; i < from.ndim; ++i)
    if (i < lead || (to[i - lead] == 1 && from[i] != 1)) axes |= 1u << i;
  return axes;
}

bool TensorView::contiguous() const {
  int64_t step = 1;
  for (int i = shape.ndim - 1; i >= 0; --i) {
    if (shape[i] == 0) return true;
    if (shape[i] != 1 && strides[i] != step) return false;
    step *= shape[i];
  }
  return true;
}

bool TensorView::same_layout(const TensorView& other) const {
  for (int i = 0; i < shape.ndim; ++i)
    if (shape[i] > 1 && strides[i] != other.strides[i]) return false;
  return true;
}

TensorView TensorView::permuted(const int* order) const {
  TensorView result = *this;
  for (int i = 0; i < shape.ndim; ++i) {
    result.shape[i] = shape[order[i]];
    result.strides[i] = strides[order[i]];
  }
  return result;
}

TensorView TensorView::broadcast_to(const Shape& wanted) const {
  TensorView result = *this;
  result.shape = wanted;
  const int lead = wanted.ndim - shape.ndim;
  for (int i = 0; i < wanted.ndim; ++i)
    result.strides[i] =
        i < lead || (shape[i - lead] == 1 && wanted[i] != 1) ? 0 : strides[i - lead];
  return result;
}

bool TensorView::dense(int* order) const {
  const int n = shape.ndim;
  for (int i = 0; i < n; ++i) {
    int at = i;
    while (at > 0 && (strides[order[at - 1]] < strides[i] ||
                      (strides[order[at - 1]] == strides[i] && shape[order[at - 1]] < shape[i]))) {
      order[at] = order[at - 1];
      --at;
    }
    order[at] = i;
  }
  int64_t step = 1;
  for (int i = n; i-- > 0;) {
    const int axis = order[i];
    if (shape[axis] == 0) return true;
    if (shape[axis] != 1 && strides[axis] != step) return false;
    step *= shape[axis];
  }
  return true;
}

}  // namespace tg
