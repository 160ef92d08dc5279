#include "engine.h"

#include <cstring>

namespace tg {

namespace {

constexpr int kMaxRecorded = 256;

// Room for the operands of a call, cleared only as far as it is used: all of it would take as long
// as a small op.
template <int kMax>
union Views {
  Views() {}
  TensorView at[kMax];
};

// A tensor without dimensions over a number in `memory`. Beside bfloat16 it stays a float32: only
// the result is rounded.
void scalar_view(double value, DType dtype, double* memory, TensorView* view) {
  if (dtype == DType::bfloat16) dtype = DType::float32;
  view->dtype = dtype;
  view->data = memory;
  const float f = static_cast<float>(value);
  const int32_t n =
      value >= -2147483648.0 && value <= 2147483647.0 ? static_cast<int32_t>(value) : 0;
  const uint8_t truth = value != 0;
  switch (dtype) {
    case DType::float32:
      std::memcpy(memory, &f, sizeof f);
      break;
    case DType::float64:
      *memory = value;
      break;
    case DType::int32:
      std::memcpy(memory, &n, sizeof n);
      break;
    case DType::boolean:
      std::memcpy(memory, &truth, sizeof truth);
      break;
    case DType::bfloat16:
      break;
  }
}

}  // namespace

Engine::Engine(const Backend& backend, size_t limit, int threads)
    : threads_(threads), cpu_(*this, kCpu, backend, &threads_, &error_, limit) {}

Engine::~Engine() {
  for (uint32_t i = 0; i < table_.slots(); ++i)
    if (table_.at(i).storage) release(i);
}

Storage* Engine::allocate(DeviceState& state, size_t bytes) {
  Storage* storage = state.pool.allocate(bytes);
  if (storage) return storage;
  state.drop_scratch();
  return obtain(state, bytes);
}

Storage* Engine::obtain(DeviceState& state, size_t bytes) {
  Storage* storage = state.pool.allocate(bytes);
  // What was given back to a device may be in use until it has done its work.
  if (!storage && !state.is_cpu() && bytes <= state.pool.limit() && finish(state.id) == Status::ok)
    storage = state.pool.allocate(bytes);
  // No garbage can make room for more than the limit.
  if (!storage && bytes <= state.pool.limit() && relief.free_some && relief.free_some(relief.arg))
    storage = state.pool.allocate(bytes);
  return storage;
}

bool Engine::in_use(uint32_t slot) const {
  if (n_used_ == 0) return false;
  const double handle = table_.handle_of(slot);
  for (int i = 0; i < n_used_; ++i)
    if (used_[i] == handle) return true;
  return false;
}

Status Engine::find(const char* what, double handle, Tensor** tensor) {
  *tensor = table_.find(handle);
  if (*tensor) {
    const Storage* storage = (*tensor)->storage;
    if (recorder_)
      return storage->device == recorder_->device ? Status::ok : elsewhere(what, storage->device);
    if (storage->symbolic)
      return error_.set(Status::tracing,
                        "%s: a tensor of a function being compiled has no value yet", what);
    return storage->writer ? wait_for(what, storage->writer) : Status::ok;
  }
  return error_.set(Status::disposed,
                    "%s: a tensor was used after it was disposed of (by dispose, using or tidy, or "
                    "as an intermediate "
                    "result freed by backward: see retainGraph)",
                    what);
}

// What a running program writes is read between two of its steps.
Status Engine::wait_for(const char* what, ProgramLock* program) {
  for (int i = 0; i < n_paused_; ++i)
    if (paused_[i] == program) return Status::ok;
  if (n_paused_ == kMaxPaused)
    return error_.set(Status::busy, "%s: reads from more than %d running programs", what,
                      kMaxPaused);
  program->pause();
  paused_[n_paused_++] = program;
  return Status::ok;
}

// What the call asked of a device has only begun: it reads what these programs are about to write.
void Engine::resume_paused() {
  Error ignored;  // who uses the device next is told
  if (cuda_) (void)cuda_->library->finish(cuda_->device, &ignored);
  while (n_paused_ > 0) paused_[--n_paused_]->resume();
}

Status Engine::find_writable(const char* what, double handle, Tensor** tensor) {
  *tensor = table_.find(handle);
  if (*tensor && !recorder_ && ((*tensor)->storage->writer || (*tensor)->storage->readers > 0))
    return error_.set(Status::busy,
                      "%s: a running program uses this tensor: await it, or abort it, first", what);
  return find(what, handle, tensor);
}

Status Engine::elsewhere(const char* what, uint8_t device) {
  return error_.set(Status::tracing,
                    "%s: a tensor is on %s, but this function is being compiled for %s: move it "
                    "with to('%s'), or say compile(fn, { device: '%s' })",
                    what, kDeviceNames[device], kDeviceNames[recorder_->device],
                    kDeviceNames[recorder_->device], kDeviceNames[device]);
}

Status Engine::not_recorded(const char* what) {
  if (!recorder_) return Status::ok;
  return error_.set(Status::tracing, "%s: not possible inside a function that is being compiled",
                    what);
}

Status Engine::add(Storage* storage, const TensorView& view, uint32_t* out) {
  Tensor* tensor = table_.add(out);
  if (!tensor) {
    release(storage);
    return error_.set(Status::out_of_memory, "there are too many tensors: %u", table_.live());
  }
  ++cpu_.context.counters.tensors;
  tensor->storage = storage;
  tensor->view = view;
  return Status::ok;
}

Status Engine::create(uint8_t device, DType dtype, const Shape& shape, uint32_t* out) {
  DeviceState* state;
  TG_TRY(ready(device, &state));
  TensorView view;
  view.dtype = dtype;
  view.shape = shape;
  int64_t count;
  if (!checked_count(shape, &count)) {
    char text[kShapeText];
    return error_.set(Status::range_error, "tensor: shape %s has too many elements",
                      print(shape, text));
  }
  contiguous_strides(shape, view.strides);
  Storage* storage = allocate(*state, view.bytes());
  if (!storage) return out_of_memory(*state, "tensor", view.bytes());
  view.data = storage->data;
  return add(storage, view, out);
}

Status Engine::run(Op op, const double* handles, int count, uint32_t scalars, const double* attrs,
                   int n_attrs, uint32_t* out) {
  if (count > kMaxInputs) return error_.set(Status::internal, "%s: %d inputs", name_of(op), count);
  const Using used(*this, handles, count);
  Views<kMaxInputs> views;
  Tensor* inputs[kMaxInputs] = {};
  double numbers[kMaxInputs];
  const Tensor* typed = nullptr;
  for (int i = 0; i < count; ++i) {
    if (scalars >> i & 1) continue;
    TG_TRY(find(name_of(op), handles[i], &inputs[i]));
    new (&views.at[i]) TensorView(inputs[i]->view);
    if (!typed && !(op == op_where && i == 0)) typed = inputs[i];
  }
  for (int i = 0; i < count; ++i) {
    if (!(scalars >> i & 1)) continue;
    if (!typed && op != op_where)
      return error_.set(Status::type_error, "%s: at least one input must be a tensor", name_of(op));
    scalar_view(handles[i], typed ? typed->view.dtype : DType::float32, &numbers[i],
                new (&views.at[i]) TensorView);
  }
  DeviceState* state = &cpu_;
  if (cuda_) TG_TRY(common_device(name_of(op), inputs, count, &state));
  return execute(*state, op, views.at, inputs, count, attrs, n_attrs, out);
}

Status Engine::generate(Op op, uint8_t device, const double* attrs, int n_attrs, uint32_t* out) {
  DeviceState* state;
  TG_TRY(ready(device, &state));
  return execute(*state, op, nullptr, nullptr, 0, attrs, n_attrs, out);
}

Status Engine::run_list(Op op, const double* handles, int count, const double* attrs, int n_attrs,
                        uint32_t* out) {
  const Using used(*this, handles, count);
  Storage* list = allocate(static_cast<size_t>(count) * (sizeof(TensorView) + sizeof(Tensor*)));
  if (!list) return out_of_memory(name_of(op), static_cast<size_t>(count) * sizeof(TensorView));
  TensorView* views = static_cast<TensorView*>(list->data);
  Tensor** inputs = reinterpret_cast<Tensor**>(views + count);
  Status status = Status::ok;
  for (int i = 0; i < count && status == Status::ok; ++i) {
    status = find(name_of(op), handles[i], &inputs[i]);
    if (status != Status::ok) break;
    views[i] = inputs[i]->view;
  }
  DeviceState* state = &cpu_;
  if (status == Status::ok && cuda_) status = common_device(name_of(op), inputs, count, &state);
  if (status == Status::ok) status = execute(*state, op, views, inputs, count, attrs, n_attrs, out);
  release(list);
  return status;
}

Status Engine::execute(DeviceState& state, Op op, const TensorView* views, Tensor* const* inputs,
                       int count, const double* attrs, int n_attrs, uint32_t* out) {
  Inference inferred;
  TG_TRY(infer(op, views, count, attrs, n_attrs, &error_, &inferred));
  TensorView& result = inferred.call.out;
  if (inferred.is_view) {
    if (!inputs[0]) return error_.set(Status::type_error, "%s: x must be a tensor", name_of(op));
    Storage* storage = inputs[0]->storage;
    result.data = static_cast<char*>(views[0].data) +
                  inferred.view_offset * static_cast<int64_t>(size_of(result.dtype));
    StoragePool::retain(storage);
    return add(storage, result, out);
  }
  if (recorder_) {
    if (state.id != recorder_->device) return elsewhere(name_of(op), state.id);
    Recorded in[kMaxRecorded];
    if (count > kMaxRecorded)
      return error_.set(Status::tracing, "%s: a compiled function can join at most %d tensors",
                        name_of(op), kMaxRecorded);
    for (int i = 0; i < count; ++i) in[i] = {inputs[i] ? inputs[i]->storage : nullptr, views[i]};
    Storage* symbolic;
    TG_TRY(recorder_->op(inferred.call, in, &symbolic));
    result.data = symbolic->data;
    return add(symbolic, result, out);
  }
  Storage* storage = allocate(state, result.bytes());
  if (!storage) return out_of_memory(state, name_of(op), result.bytes());
  result.data = storage->data;
  if (!state.is_cpu())
    for (int i = 0; i < count; ++i)
      if (!inputs[i]) inferred.call.numbers |= 1u << i;
  const bool checks = !state.is_cpu() && FaultSource::checks(op);
  Status status = checks ? state.faults.begin(inferred.call) : Status::ok;
  if (status == Status::ok) status = state.backend.run(&state.context, &inferred.call);
  if (checks) status = state.faults.end(status);
  if (status != Status::ok) {
    state.pool.release(storage);
    return checked(state, status);
  }
  return add(storage, result, out);
}

Status Engine::zeros_like(double handle, uint32_t* out) {
  const Using used(*this, &handle, 1);
  Tensor* tensor;
  TG_TRY(find("zerosLike", handle, &tensor));
  if (tensor->storage->symbolic) TG_TRY(not_recorded("zerosLike"));
  TensorView view = tensor->view;
  int order[kMaxDims];
  if (!view.dense(order)) contiguous_strides(view.shape, view.strides);
  DeviceState* state;
  TG_TRY(ready(tensor->storage->device, &state));
  Storage* storage = allocate(*state, view.bytes());
  if (!storage) return out_of_memory(*state, "zerosLike", view.bytes());
  Status status = Status::ok;
  if (state->is_cpu())
    std::memset(storage->data, 0, view.bytes());
  else
    status =
        checked(*state, state->library->clear(state->device, &error_, storage->data, view.bytes()));
  if (status != Status::ok) {
    release(storage);
    return status;
  }
  view.data = storage->data;
  return add(storage, view, out);
}

Status Engine::read(double handle, DType as, void* to, size_t bytes) {
  const Using used(*this, &handle, 1);
  if (recorder_)
    return error_.set(
        Status::tracing,
        "data: a function that is being compiled has no values to look at: return the tensor from "
        "it, decide with where() instead of if, or compute this outside");
  Tensor* tensor;
  TG_TRY(find("data", handle, &tensor));
  OpCall call{op_cast, &tensor->view, 1, tensor->view, {}};
  call.out.dtype = as;
  call.out.data = to;
  if (bytes != call.out.bytes())
    return error_.set(Status::range_error, "data: the array holds %zu bytes, but the tensor %zu",
                      bytes, call.out.bytes());
  contiguous_strides(call.out.shape, call.out.strides);
  if (tensor->storage->device == kCpu) return cpu_.backend.run(&cpu_.context, &call);
  DeviceState* state;
  TG_TRY(ready(tensor->storage->device, &state));
  Scratch copy{&state->pool};
  const void* from;
  TG_TRY(packed(*state, tensor->view, as, &copy, &from));
  return transfer(cpu_, to, *state, from, bytes);
}

Status Engine::clone_all(const double* handles, int count, uint32_t* out) {
  const Using used(*this, handles, count);  // holds programs up from the first find to the end
  TG_TRY(not_recorded("snapshot"));
  for (int i = 0; i < count; ++i) {
    Tensor* tensor;
    DeviceState* state;
    Status status = find("snapshot", handles[i], &tensor);
    if (status == Status::ok) status = ready(tensor->storage->device, &state);
    if (status == Status::ok)
      status = execute(*state, op_clone, &tensor->view, &tensor, 1, nullptr, 0, &out[i]);
    if (status == Status::ok) continue;
    while (i > 0) release(out[--i]);
    return status;
  }
  return Status::ok;
}

void Engine::release(uint32_t slot) {
  Storage* storage = table_.at(slot).storage;
  table_.remove(slot);
  release(storage);
}

}  // namespace tg
