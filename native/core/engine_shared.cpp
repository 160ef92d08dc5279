// The engine's calls on memory that several environments share.
#include <cstring>

#include "engine.h"
#include "shared_memory.h"

namespace tg {

Status Engine::sharable(const char* what, const Tensor& tensor) {
  if (tensor.storage->device != kCpu)
    return error_.set(Status::type_error,
                      "%s: threads share memory of the CPU only, and this tensor is on %s: share a "
                      "copy made with to('cpu')",
                      what, kDeviceNames[tensor.storage->device]);
  int64_t strides[kMaxDims];
  contiguous_strides(tensor.view.shape, strides);
  bool whole = tensor.view.data == tensor.storage->data;
  if (const SharedBlock* block = tensor.storage->shared)
    whole = whole && block->view.shape == tensor.view.shape;
  for (int i = 0; i < tensor.view.shape.ndim; ++i)
    whole = whole && (tensor.view.shape[i] <= 1 || tensor.view.strides[i] == strides[i]);
  if (whole) return Status::ok;
  char text[kShapeText];
  return error_.set(
      Status::range_error,
      "%s: only whole, contiguous tensors can be shared, and this one of shape %s is a "
      "view or transposed",
      what, print(tensor.view.shape, text));
}

// Every tensor that uses `from` uses `to` from now on, at the same offset; `from` is released.
void Engine::move(Storage* from, Storage* to) {
  const int64_t users = from->users;
  int64_t moved = 0;
  for (uint32_t i = 0; i < table_.slots() && moved < users; ++i) {
    Tensor& tensor = table_.at(i);
    if (tensor.storage != from) continue;
    const int64_t offset = static_cast<char*>(tensor.view.data) - static_cast<char*>(from->data);
    tensor.view.data = static_cast<char*>(to->data) + offset;
    tensor.storage = to;
    if (moved++ > 0) StoragePool::retain(to);
    release(from);
  }
}

Status Engine::share(double handle, double* id) {
  Tensor* tensor;
  TG_TRY(not_recorded("share"));
  TG_TRY(find_writable("share", handle, &tensor));
  TG_TRY(sharable("share", *tensor));
  if (SharedBlock* block = tensor->storage->shared) {
    *id = static_cast<double>(block->id);
    return Status::ok;
  }
  // All of the storage: the tensor may be the first part of a larger one.
  SharedBlock* block = shared_create(tensor->view, tensor->storage->bytes);
  if (!block) return out_of_memory("share", tensor->view.bytes());
  std::memcpy(block->data, tensor->storage->data, tensor->storage->bytes);
  *id = static_cast<double>(block->id);
  Storage* storage = cpu_.pool.adopt(block);
  if (!storage) {
    shared_release(block);
    return out_of_memory("share", tensor->view.bytes());
  }
  move(tensor->storage, storage);
  return Status::ok;
}

Status Engine::attach(double handle, double id) {
  Tensor* tensor;
  TG_TRY(find("attach", handle, &tensor));
  TG_TRY(sharable("attach", *tensor));
  const bool whole = id >= 1 && id < 9007199254740992.0;
  SharedBlock* block = whole ? shared_find(static_cast<uint64_t>(id)) : nullptr;
  if (!block)
    return error_.set(Status::disposed,
                      "attach: the shared tensor is gone: whoever shared it must keep it until "
                      "others have attached it");
  Status status = Status::ok;
  if (block->view.dtype != tensor->view.dtype || block->view.shape != tensor->view.shape) {
    char s[kShapeText], t[kShapeText];
    status =
        error_.set(Status::range_error, "attach: the shared tensor is %s %s, but this one %s %s",
                   name_of(block->view.dtype), print(block->view.shape, s),
                   name_of(tensor->view.dtype), print(tensor->view.shape, t));
  }
  if (status == Status::ok && tensor->storage->bytes > block->bytes)
    status = error_.set(Status::range_error, "attach: this tensor is part of a larger one");
  Storage* storage = nullptr;
  if (status == Status::ok && tensor->storage->shared != block) {
    storage = cpu_.pool.adopt(block);
    if (!storage) status = out_of_memory("attach", block->bytes);
  }
  if (!storage) {
    shared_release(block);
    return status;
  }
  move(tensor->storage, storage);
  return Status::ok;
}

}  // namespace tg
