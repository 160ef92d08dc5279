// The engine's devices beside the CPU: opening them, copies to and from them, and their errors.
#include <cstring>
#include <utility>

#include "engine.h"

namespace tg {

Status Engine::open(uint8_t device) {
  const DeviceLibrary* library = loader_.library();
  if (!library) {
    const int last = loader_.attempts() - 1;
    if (last < 0) return error_.set(Status::device, "cuda: not available on this system");
    return error_.set(
        Status::device,
        "cuda: there is no library for it: %s: %s (cuda.diagnose() lists all attempts)",
        loader_.attempt(last).path, loader_.attempt(last).reason);
  }
  int devices = 0;
  TG_TRY(library->count(&error_, &devices));
  if (devices == 0) return error_.set(Status::device, "cuda: this machine has no CUDA device");
  Device* handle = nullptr;
  TG_TRY(library->open(&error_, 0, &handle));
  size_t bytes = 0;
  Status status = library->free_memory(handle, &error_, &bytes);
  // A tenth is left to the driver and to those who share the device.
  if (status == Status::ok)
    cuda_.reset(new (std::nothrow)
                    DeviceState(*this, device, *library, handle, &error_, bytes - bytes / 10));
  if (status == Status::ok && !cuda_)
    status = error_.set(Status::out_of_memory, "cuda: no memory for a device");
  if (status != Status::ok) {
    library->close(handle);
    return status;
  }
  cuda_->context.tf32 = tf32();
  states_[device] = cuda_.get();
  return Status::ok;
}

Status Engine::ready(uint8_t device, DeviceState** state) {
  if (!states_[device]) TG_TRY(open(device));
  *state = states_[device];
  if (!(*state)->failed) return Status::ok;
  return error_.set(Status::device, "%s", (*state)->failure.message());
}

Status Engine::checked(DeviceState& state, Status status) {
  if (status != Status::device || state.failed || state.is_cpu()) return status;
  Error ignored;
  if (state.library->finish(state.device, &ignored) == Status::ok) return status;
  state.failed = true;
  return state.failure.set(Status::device,
                           "%s: the device cannot be used again by this thread; what was on it is "
                           "lost, and the CPU works on",
                           error_.message());
}

Status Engine::finish(uint8_t device) {
  if (!opened(device) || device == kCpu) return Status::ok;
  DeviceState* state;
  TG_TRY(ready(device, &state));
  return checked(*state, state->library->finish(state->device, &error_));
}

Status Engine::settle(uint8_t device) {
  if (!opened(device) || device == kCpu) return Status::ok;
  DeviceState* state;
  TG_TRY(ready(device, &state));
  TG_TRY(state->faults.ask());
  TG_TRY(finish(device));
  return state->faults.answer();
}

Status Engine::out_of_memory(DeviceState& state, const char* what, size_t bytes) {
  if (state.is_cpu())
    return error_.set(Status::out_of_memory,
                      "%s: %zu more bytes are needed, %zu are in use and the limit is %zu: dispose "
                      "of tensors, use "
                      "tidy, or raise memory.limit",
                      what, bytes, state.pool.live_bytes(), state.pool.limit());
  // A device that has failed gives no memory either.
  TG_TRY(finish(state.id));
  size_t free = 0;
  TG_TRY(checked(state, state.library->free_memory(state.device, &error_, &free)));
  return error_.set(Status::out_of_memory,
                    "%s: %zu more bytes are needed on %s, %zu are in use, the limit is %zu and the "
                    "device has %zu "
                    "left: dispose of tensors, use tidy, or raise %s.memoryLimit",
                    what, bytes, state.name(), state.pool.live_bytes(), state.pool.limit(), free,
                    state.name());
}

uint32_t Engine::live_tensors(uint8_t device) const {
  if (!cuda_) return device == kCpu ? table_.live() : 0;
  uint32_t count = 0;
  for (uint32_t slot = 0; slot < table_.slots(); ++slot) {
    const Storage* storage = table_.at(slot).storage;
    if (storage && storage->device == device) ++count;
  }
  return count;
}

Status Engine::mixed(const char* what) {
  return error_.set(Status::type_error,
                    "%s: inputs are on cpu and cuda: move one with to('cuda') or to('cpu')", what);
}

Status Engine::common_device(const char* what, Tensor* const* inputs, int count,
                             DeviceState** state) {
  int device = -1;
  for (int i = 0; i < count; ++i) {
    if (!inputs[i]) continue;  // a number
    const uint8_t its = inputs[i]->storage->device;
    if (device >= 0 && device != its) return mixed(what);
    device = its;
  }
  return ready(device < 0 ? kCpu : static_cast<uint8_t>(device), state);
}

Status Engine::common_device(const char* what, const Recorded* tensors, int count,
                             DeviceState** state) {
  const uint8_t device = count > 0 ? tensors[0].storage->device : kCpu;
  for (int i = 1; i < count; ++i)
    if (tensors[i].storage->device != device) return mixed(what);
  return ready(device, state);
}

Status Engine::transfer(DeviceState& target, void* to, DeviceState& source, const void* from,
                        size_t bytes) {
  if (bytes == 0) return Status::ok;
  if (target.is_cpu() && source.is_cpu()) {
    std::memcpy(to, from, bytes);
    return Status::ok;
  }
  DeviceState& state = target.is_cpu() ? source : target;
  const auto copy = source.is_cpu()   ? state.library->upload
                    : target.is_cpu() ? state.library->download
                                      : state.library->copy;
  if (target.is_cpu()) TG_TRY(state.faults.ask());
  TG_TRY(checked(state, copy(state.device, &error_, to, from, bytes)));
  return target.is_cpu() ? state.faults.answer() : Status::ok;
}

Status Engine::fill(uint32_t slot, const void* data, size_t bytes) {
  const Tensor& tensor = table_.at(slot);
  return transfer(device_state(tensor.storage->device), tensor.view.data, cpu_, data, bytes);
}

// A tensor's elements in row-major order, in a copy if they are not.
Status Engine::packed(DeviceState& state, const TensorView& view, DType as, Scratch* copy,
                      const void** data) {
  *data = view.data;
  if (view.dtype == as && view.contiguous()) return Status::ok;
  OpCall call{view.dtype == as ? op_clone : op_cast, &view, 1, view, {}};
  call.out.dtype = as;
  call.attrs.dtype = as;
  contiguous_strides(call.out.shape, call.out.strides);
  copy->storage = allocate(state, call.out.bytes());
  if (!copy->storage) return out_of_memory(state, "data", call.out.bytes());
  call.out.data = copy->storage->data;
  *data = call.out.data;
  return checked(state, state.backend.run(&state.context, &call));
}

// Behind the elements in the buffer is what the device says of earlier calls.
static size_t behind(size_t bytes) { return (bytes + 7) / 8 * 8; }

Status Engine::read_later(double handle, DType as, Later* later,
                          void (*done)(void* arg, bool filled), void* arg) {
  const Using used(*this, &handle, 1);
  TG_TRY(not_recorded("data"));
  Tensor* tensor;
  TG_TRY(find("data", handle, &tensor));
  DeviceState* state;
  TG_TRY(ready(tensor->storage->device, &state));
  const size_t bytes = static_cast<size_t>(tensor->view.shape.count()) * size_of(as);
  // Memory that is given back is used again after this copy, in the order of the device's work.
  Scratch copy{&state->pool};
  const void* from;
  TG_TRY(packed(*state, tensor->view, as, &copy, &from));
  Storage* const room = state->staging.allocate(behind(bytes) + sizeof(uint32_t));
  if (!room)
    return error_.set(Status::out_of_memory, "data: there are no %zu bytes to copy to", bytes);
  *later = {room, bytes, state->faults.mark()};
  char* const to = static_cast<char*>(room->data);
  Status status = state->faults.ask(reinterpret_cast<uint32_t*>(to + behind(bytes)));
  if (status == Status::ok)
    status = checked(
        *state, state->library->download_later(state->device, &error_, to, from, bytes, done, arg));
  if (status != Status::ok) state->staging.release(room);
  return status;
}

Status Engine::take_read(const Later& later, void* to) {
  const char* const from = static_cast<const char*>(later.buffer->data);
  if (later.bytes > 0) std::memcpy(to, from, later.bytes);
  return cuda_->faults.answer(later.mark,
                              reinterpret_cast<const uint32_t*>(from + behind(later.bytes)));
}

void Engine::done_reading(const Later& later) { cuda_->staging.release(later.buffer); }

Status Engine::to(double handle, uint8_t device, uint32_t* out) {
  const Using used(*this, &handle, 1);
  TG_TRY(not_recorded("to"));
  Tensor* tensor;
  TG_TRY(find("to", handle, &tensor));
  DeviceState *source, *target;
  TG_TRY(ready(tensor->storage->device, &source));
  TG_TRY(ready(device, &target));
  TensorView view = tensor->view;
  Scratch copy{&source->pool};
  int order[kMaxDims];
  if (!view.dense(order)) {
    contiguous_strides(view.shape, view.strides);
    TG_TRY(materialise(*source, tensor->view, view, &copy));
  }
  const void* from = copy.storage ? copy.storage->data : tensor->view.data;
  Storage* const storage = allocate(*target, view.bytes());
  if (!storage) return out_of_memory(*target, "to", view.bytes());
  view.data = storage->data;
  const Status status = transfer(*target, storage->data, *source, from, view.bytes());
  if (status == Status::ok) return add(storage, view, out);
  release(storage);
  return status;
}

Status Engine::move_to(double handle, uint8_t device) {
  const Using used(*this, &handle, 1);
  TG_TRY(not_recorded("to"));
  Tensor* tensor;
  TG_TRY(find_writable("to", handle, &tensor));
  Storage* const from = tensor->storage;
  if (from->device == device) return Status::ok;
  if (from->shared)
    return error_.set(
        Status::type_error,
        "to: this tensor is shared with other threads, which have it on cpu: move a copy");
  DeviceState *source, *target;
  TG_TRY(ready(from->device, &source));
  TG_TRY(ready(device, &target));
  Storage* const storage = allocate(*target, from->bytes);
  if (!storage) return out_of_memory(*target, "to", from->bytes);
  const Status status = transfer(*target, storage->data, *source, from->data, from->bytes);
  if (status == Status::ok)
    move(from, storage);
  else
    release(storage);
  return status;
}

}  // namespace tg
