// The engine's calls that write to existing tensors: assignment, accumulation, optimizers,
// clipping.
#include <limits>

#include "engine.h"
#include "optimizer.h"

namespace tg {

Status Engine::assign(double handle, double source) {
  const double both[] = {handle, source};
  const Using used(*this, both, 2);
  Tensor *to, *from;
  TG_TRY(find_writable("copyFrom", handle, &to));
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
  if (recorder_) return recorder_->assign({to->storage, to->view}, {from->storage, from->view});
  DeviceState *source_state, *state;
  TG_TRY(ready(from->storage->device, &source_state));
  TG_TRY(ready(to->storage->device, &state));
  Scratch copy{&source_state->pool};
  TG_TRY(materialise(*source_state, from->view, to->view, &copy));
  if (state != source_state)
    return transfer(*state, to->view.data, *source_state, copy.storage->data, to->view.bytes());
  return checked(*state, state->backend.assign(&state->context, to->view.data, copy.storage->data,
                                               to->view.bytes()));
}

// A copy of `source` in the memory order of `layout`, which is dense and has the same shape.
Status Engine::materialise(DeviceState& state, const TensorView& source, const TensorView& layout,
                           Scratch* copy) {
  int order[kMaxDims];
  layout.dense(order);
  const TensorView from = source.permuted(order);
  copy->storage = allocate(state, source.bytes());
  if (!copy->storage) return out_of_memory(state, "copy", source.bytes());
  OpCall call{op_clone, &from, 1, from, {}};
  call.out.data = copy->storage->data;
  contiguous_strides(call.out.shape, call.out.strides);
  return checked(state, state.backend.run(&state.context, &call));
}

Status Engine::accumulate(double handle, double source) {
  const double both[] = {handle, source};
  const Using used(*this, both, 2);
  Tensor *to, *from;
  TG_TRY(find_writable("accumulate", handle, &to));
  TG_TRY(find("accumulate", source, &from));
  int order[kMaxDims];
  if (to->view.shape != from->view.shape || to->view.dtype != from->view.dtype ||
      !is_float(to->view.dtype) || !to->view.dense(order)) {
    char s[kShapeText], t[kShapeText];
    return error_.set(Status::range_error, "accumulate: %s %s does not fit %s %s",
                      name_of(from->view.dtype), print(from->view.shape, s),
                      name_of(to->view.dtype), print(to->view.shape, t));
  }
  if (recorder_) return recorder_->accumulate({to->storage, to->view}, {from->storage, from->view});
  if (to->storage->device != from->storage->device) return mixed("accumulate");
  DeviceState* state;
  TG_TRY(ready(to->storage->device, &state));
  const Backend& backend = state->backend;
  if (to->view.same_layout(from->view))
    return checked(*state, backend.accumulate(&state->context, &to->view, &from->view));
  Scratch copy{&state->pool};
  TG_TRY(materialise(*state, from->view, to->view, &copy));
  TensorView ordered = to->view;
  ordered.data = copy.storage->data;
  return checked(*state, backend.accumulate(&state->context, &to->view, &ordered));
}

// Parameter, gradient and states of one parameter, checked against one another.
Status Engine::collect_item(const char* what, const double* handles, int states,
                            Recorded* tensors) {
  Tensor *parameter, *gradient, *state;
  TG_TRY(find_writable(what, handles[0], &parameter));
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
  const uint8_t device = parameter->storage->device;
  const auto elsewhere = [&](const Storage* storage, const char* whose) {
    return error_.set(Status::type_error,
                      "%s: a parameter is on %s, but its %s is on %s: move the model before the "
                      "first step, or make a new optimizer for it",
                      what, kDeviceNames[device], whose, kDeviceNames[storage->device]);
  };
  if (gradient->storage->device != device) return elsewhere(gradient->storage, "gradient");
  tensors[0] = {parameter->storage, view};
  tensors[1] = {gradient->storage, gradient->view};
  for (int i = 0; i < states; ++i) {
    TG_TRY(find_writable(what, handles[2 + i], &state));
    if (state->view.dtype != view.dtype || state->view.shape != view.shape ||
        !state->view.same_layout(view))
      return error_.set(Status::range_error, "%s: state %d does not fit its parameter %s", what, i,
                        print(view.shape, s));
    if (state->storage->device != device) return elsewhere(state->storage, "state");
    tensors[2 + i] = {state->storage, state->view};
  }
  return Status::ok;
}

Status Engine::make_item(DeviceState& state, const Recorded* tensors, int states,
                         OptimizerItem* item, Scratch* copy) {
  const TensorView &view = tensors[0].view, &gradient = tensors[1].view;
  *item = OptimizerItem{view.data, gradient.data, {}, view.shape.count(), view.dtype};
  if (!gradient.same_layout(view)) {
    TG_TRY(materialise(state, gradient, view, copy));
    item->gradient = copy->storage->data;
  }
  for (int i = 0; i < states; ++i) item->state[i] = tensors[2 + i].view.data;
  return Status::ok;
}

Status Engine::optimize(int rule, const double* handles, int count, const double* numbers,
                        int n_numbers) {
  if (rule < 0 || rule >= kOptimizers)
    return error_.set(Status::type_error, "there is no optimizer rule %d", rule);
  const OptimizerInfo& info = kOptimizerInfo[rule];
  const int each = 2 + info.states;
  if (n_numbers != info.numbers || count % each)
    return error_.set(Status::type_error, "%s: takes %d numbers and %d tensors for each parameter",
                      info.name, info.numbers, each);
  const int n = count / each;
  const Using used(*this, handles, count);
  List<Recorded> tensors(*this, count);
  List<OptimizerItem> items(*this, n);
  List<Scratch> copies(*this, n);
  if (!tensors || !items || !copies)
    return out_of_memory(info.name, static_cast<size_t>(count) * sizeof(Recorded));
  for (int i = 0; i < n; ++i)
    TG_TRY(collect_item(info.name, handles + i * each, info.states, &tensors[i * each]));
  if (recorder_) return recorder_->optimize(rule, &tensors[0], count);
  DeviceState* state;
  TG_TRY(common_device(info.name, &tensors[0], count, &state));
  for (int i = 0; i < n; ++i) {
    copies[i].pool = &state->pool;
    TG_TRY(make_item(*state, &tensors[i * each], info.states, &items[i], &copies[i]));
  }
  return checked(*state, state->backend.optimize(&state->context, rule, numbers, &items[0], n));
}

Status Engine::collect(const char* what, const double* handles, int count, Recorded* tensors) {
  for (int i = 0; i < count; ++i) {
    Tensor* tensor;
    TG_TRY(find_writable(what, handles[i], &tensor));
    int order[kMaxDims];
    if (!is_wide_float(tensor->view.dtype) || !tensor->view.dense(order)) {
      char s[kShapeText];
      return error_.set(Status::type_error,
                        "%s: gradients must be dense float32 or float64 tensors, got %s %s", what,
                        name_of(tensor->view.dtype), print(tensor->view.shape, s));
    }
    tensors[i] = {tensor->storage, tensor->view};
  }
  return Status::ok;
}

Status Engine::gradient_norm(const double* handles, int count, double* norm) {
  TG_TRY(not_recorded("the norm of a tensor"));
  return clip_norm(handles, count, std::numeric_limits<double>::infinity(), true, norm);
}

Status Engine::scale(const double* handles, int count, double factor) {
  TG_TRY(not_recorded("scaling in place"));
  const Using used(*this, handles, count);
  List<Recorded> tensors(*this, count);
  List<TensorView> views(*this, count);
  if (!tensors || !views)
    return out_of_memory("scale", static_cast<size_t>(count) * sizeof(Recorded));
  TG_TRY(collect("scale", handles, count, &tensors[0]));
  for (int i = 0; i < count; ++i) views[i] = tensors[i].view;
  DeviceState* state;
  TG_TRY(common_device("scale", &tensors[0], count, &state));
  return checked(*state, state->backend.scale(&state->context, &views[0], count, factor));
}

Status Engine::clip_norm(const double* handles, int count, double limit, bool finite,
                         double* norm) {
  const Using used(*this, handles, count);
  List<Recorded> tensors(*this, count);
  List<OptimizerItem> items(*this, count);
  List<TensorView> views(*this, count);
  if (!tensors || !items || !views)
    return out_of_memory("clipGradNorm", static_cast<size_t>(count) * sizeof(Recorded));
  TG_TRY(collect("clipGradNorm", handles, count, &tensors[0]));
  *norm = std::numeric_limits<double>::quiet_NaN();
  if (recorder_) return recorder_->clip_norm(&tensors[0], count, limit, finite);
  for (int i = 0; i < count; ++i) {
    views[i] = tensors[i].view;
    items[i] = OptimizerItem{nullptr, views[i].data, {}, views[i].shape.count(), views[i].dtype};
  }
  DeviceState* state;
  TG_TRY(common_device("clipGradNorm", &tensors[0], count, &state));
  const Backend& backend = state->backend;
  TG_TRY(state->faults.ask());
  TG_TRY(checked(*state, backend.gradient_norm(&state->context, &items[0], count, norm)));
  TG_TRY(state->faults.answer());
  const double factor = clip_factor(*norm, limit, finite);
  if (factor == 1) return Status::ok;
  return checked(*state, backend.scale(&state->context, &views[0], count, factor));
}

Status Engine::clip(const double* handles, int count, double limit) {
  const Using used(*this, handles, count);
  List<Recorded> tensors(*this, count);
  List<TensorView> views(*this, count);
  if (!tensors || !views)
    return out_of_memory("clipGradValue", static_cast<size_t>(count) * sizeof(Recorded));
  TG_TRY(collect("clipGradValue", handles, count, &tensors[0]));
  if (recorder_) return recorder_->clip_value(&tensors[0], count, limit);
  for (int i = 0; i < count; ++i) views[i] = tensors[i].view;
  DeviceState* state;
  TG_TRY(common_device("clipGradValue", &tensors[0], count, &state));
  return checked(*state, state->backend.clip(&state->context, &views[0], count, limit));
}

}  // namespace tg
