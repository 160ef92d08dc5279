// The engine's calls that write to existing tensors: assignment, accumulation, optimizers,
// clipping.
#include <cstring>

#include "engine.h"
#include "optimizer.h"

namespace tg {

namespace {

bool same_strides(const TensorView& a, const TensorView& b) {
  for (int i = 0; i < a.shape.ndim; ++i)
    if (a.shape[i] > 1 && a.strides[i] != b.strides[i]) return false;
  return true;
}

TensorView permuted(const TensorView& view, const int* order) {
  TensorView result = view;
  for (int i = 0; i < view.shape.ndim; ++i) {
    result.shape[i] = view.shape[order[i]];
    result.strides[i] = view.strides[order[i]];
  }
  return result;
}

}  // namespace

Status Engine::assign(double handle, double source) {
  const double both[] = {handle, source};
  const Busy busy(*this, both, 2);
  Tensor *to, *from;
  TG_TRY(find("copyFrom", handle, &to));
  TG_TRY(find("copyFrom", source, &from));
  if (to->view.shape != from->view.shape || to->view.dtype != from->view.dtype) {
    char s[kShapeText], t[kShapeText];
    return error_.set(Status::range_error, "copyFrom: %s %s does not fit %s %s",
                      name_of(from->view.dtype), print(from->view.shape, s),
                      name_of(to->view.dtype), print(to->view.shape, t));
  }
  int order[kMaxDims];
  if (!to->view.dense(order))
    return error_.set(Status::range_error, "copyFrom: the target is a view with gaps or overlaps");
  Scratch copy{&pool_};
  TG_TRY(materialise(from->view, to->view, &copy));
  std::memcpy(to->view.data, copy.storage->data, to->view.bytes());
  return Status::ok;
}

// A copy of `source` in the memory order of `layout`, which is dense and has the same shape.
Status Engine::materialise(const TensorView& source, const TensorView& layout, Scratch* copy) {
  int order[kMaxDims];
  layout.dense(order);
  const TensorView from = permuted(source, order);
  copy->storage = allocate(source.bytes());
  if (!copy->storage) return out_of_memory("copy", source.bytes());
  OpCall call{op_clone, &from, 1, from, {}};
  call.out.data = copy->storage->data;
  contiguous_strides(call.out.shape, call.out.strides);
  return backend_.run(&context_, &call);
}

Status Engine::accumulate(double handle, double source) {
  const double both[] = {handle, source};
  const Busy busy(*this, both, 2);
  Tensor *to, *from;
  TG_TRY(find("accumulate", handle, &to));
  TG_TRY(find("accumulate", source, &from));
  int order[kMaxDims];
  if (to->view.shape != from->view.shape || to->view.dtype != from->view.dtype ||
      !is_float(to->view.dtype) || !to->view.dense(order)) {
    char s[kShapeText], t[kShapeText];
    return error_.set(Status::range_error, "accumulate: %s %s does not fit %s %s",
                      name_of(from->view.dtype), print(from->view.shape, s),
                      name_of(to->view.dtype), print(to->view.shape, t));
  }
  if (same_strides(to->view, from->view))
    return backend_.accumulate(&context_, &to->view, &from->view);
  Scratch copy{&pool_};
  TG_TRY(materialise(from->view, to->view, &copy));
  TensorView ordered = to->view;
  ordered.data = copy.storage->data;
  return backend_.accumulate(&context_, &to->view, &ordered);
}

Status Engine::collect_item(const char* what, const double* handles, int states,
                            OptimizerItem* item, Scratch* copy) {
  Tensor *parameter, *gradient, *state;
  TG_TRY(find(what, handles[0], &parameter));
  TG_TRY(find(what, handles[1], &gradient));
  const TensorView& view = parameter->view;
  int order[kMaxDims];
  char s[kShapeText], t[kShapeText];
  if (view.dtype == DType::bfloat16)
    return error_.set(Status::type_error,
                      "%s: a parameter is bfloat16, in which small updates vanish: keep it in "
                      "float32 and cast it to bfloat16 where the model uses it",
                      what);
  if (!is_float(view.dtype) || !view.dense(order))
    return error_.set(Status::type_error,
                      "%s: a parameter must be a dense float32 or float64 tensor, got %s %s", what,
                      name_of(view.dtype), print(view.shape, s));
  if (gradient->view.dtype != view.dtype || gradient->view.shape != view.shape)
    return error_.set(Status::range_error,
                      "%s: the gradient %s %s does not fit the parameter %s %s", what,
                      name_of(gradient->view.dtype), print(gradient->view.shape, s),
                      name_of(view.dtype), print(view.shape, t));
  *item = OptimizerItem{view.data, gradient->view.data, {}, view.shape.count(), view.dtype};
  if (!same_strides(gradient->view, view)) {
    TG_TRY(materialise(gradient->view, view, copy));
    item->gradient = copy->storage->data;
  }
  for (int i = 0; i < states; ++i) {
    TG_TRY(find(what, handles[2 + i], &state));
    if (state->view.dtype != view.dtype || state->view.shape != view.shape ||
        !same_strides(state->view, view))
      return error_.set(Status::range_error, "%s: state %d does not fit its parameter %s", what, i,
                        print(view.shape, s));
    item->state[i] = state->view.data;
  }
  return Status::ok;
}

Status Engine::optimize(int rule, const double* handles, int count, const double* numbers,
                        int n_numbers) {
  if (rule < 0 || rule >= kOptimizers)
    return error_.set(Status::type_error, "there is no optimizer rule %d", rule);
  const OptimizerInfo& info = kOptimizerInfo[rule];
  if (n_numbers != info.numbers || count % (2 + info.states))
    return error_.set(Status::type_error, "%s: takes %d numbers and %d tensors for each parameter",
                      info.name, info.numbers, 2 + info.states);
  const int n = count / (2 + info.states);
  const Busy busy(*this, handles, count);
  Storage* list = allocate(static_cast<size_t>(n) * (sizeof(OptimizerItem) + sizeof(Scratch)));
  if (!list) return out_of_memory(info.name, static_cast<size_t>(n) * sizeof(OptimizerItem));
  OptimizerItem* items = static_cast<OptimizerItem*>(list->data);
  Scratch* copies = reinterpret_cast<Scratch*>(items + n);
  for (int i = 0; i < n; ++i) copies[i] = Scratch{&pool_};
  Status status = Status::ok;
  for (int i = 0; i < n && status == Status::ok; ++i)
    status = collect_item(info.name, handles + i * (2 + info.states), info.states, &items[i],
                          &copies[i]);
  if (status == Status::ok) status = backend_.optimize(&context_, rule, numbers, items, n);
  for (int i = 0; i < n; ++i) copies[i].~Scratch();
  pool_.release(list);
  return status;
}

Status Engine::collect(const char* what, const double* handles, int count, TensorView* views) {
  for (int i = 0; i < count; ++i) {
    Tensor* tensor;
    TG_TRY(find(what, handles[i], &tensor));
    int order[kMaxDims];
    if (!is_wide_float(tensor->view.dtype) || !tensor->view.dense(order)) {
      char s[kShapeText];
      return error_.set(Status::type_error,
                        "%s: gradients must be dense float32 or float64 tensors, got %s %s", what,
                        name_of(tensor->view.dtype), print(tensor->view.shape, s));
    }
    views[i] = tensor->view;
  }
  return Status::ok;
}

Status Engine::gradient_norm(const double* handles, int count, double* norm) {
  const Busy busy(*this, handles, count);
  Storage* list = allocate(static_cast<size_t>(count) * sizeof(OptimizerItem) +
                           static_cast<size_t>(count) * sizeof(TensorView));
  if (!list) return out_of_memory("clipGradNorm", static_cast<size_t>(count) * sizeof(TensorView));
  OptimizerItem* items = static_cast<OptimizerItem*>(list->data);
  TensorView* views = reinterpret_cast<TensorView*>(items + count);
  Status status = collect("clipGradNorm", handles, count, views);
  for (int i = 0; i < count && status == Status::ok; ++i)
    items[i] = OptimizerItem{nullptr, views[i].data, {}, views[i].shape.count(), views[i].dtype};
  if (status == Status::ok) status = backend_.gradient_norm(&context_, items, count, norm);
  pool_.release(list);
  return status;
}

Status Engine::scale(const double* handles, int count, double factor) {
  const Busy busy(*this, handles, count);
  Storage* list = allocate(static_cast<size_t>(count) * sizeof(TensorView));
  if (!list) return out_of_memory("clipGradNorm", static_cast<size_t>(count) * sizeof(TensorView));
  TensorView* views = static_cast<TensorView*>(list->data);
  Status status = collect("clipGradNorm", handles, count, views);
  if (status == Status::ok) status = backend_.scale(&context_, views, count, factor);
  pool_.release(list);
  return status;
}

Status Engine::clip(const double* handles, int count, double limit) {
  const Busy busy(*this, handles, count);
  Storage* list = allocate(static_cast<size_t>(count) * sizeof(TensorView));
  if (!list) return out_of_memory("clipGradValue", static_cast<size_t>(count) * sizeof(TensorView));
  TensorView* views = static_cast<TensorView*>(list->data);
  Status status = collect("clipGradValue", handles, count, views);
  if (status == Status::ok) status = backend_.clip(&context_, views, count, limit);
  pool_.release(list);
  return status;
}

}  // namespace tg
