#include <cstdio>
#include <memory>
#include <new>

#include "functions.h"

namespace tg::binding {

napi_value from_data(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  int64_t dtype, device;
  napi_typedarray_type type;
  void* data;
  size_t length, byte_length;
  if (!args.integer(1, 0, kDTypes - 1, &dtype) ||
      !args.bytes(2, &type, &data, &length, &byte_length) ||
      !args.integer(3, 0, kDevices - 1, &device))
    return nullptr;
  static constexpr napi_typedarray_type kTypes[kDTypes] = {napi_float32_array, napi_float64_array,
                                                           napi_int32_array, napi_uint8_array,
                                                           napi_uint16_array};
  const double* box = self.mailbox();
  const double ndim = box[Mailbox::kAttrs];
  Shape shape;
  if (type != kTypes[dtype] || !(ndim >= 0 && ndim <= kMaxDims)) {
    napi_throw_type_error(env, "TG_TYPE", "tensor: the data's type does not match the dtype");
    return nullptr;
  }
  for (int i = 0; i < static_cast<int>(ndim); ++i) {
    const double d = box[Mailbox::kAttrs + 1 + i];
    shape.push(d >= 0 && d <= static_cast<double>(kMaxElements) ? static_cast<int64_t>(d) : -1);
  }
  self.before_allocation(env);
  uint32_t slot = 0;
  Status status =
      self.engine().create(static_cast<uint8_t>(device), static_cast<DType>(dtype), shape, &slot);
  if (status != Status::ok) return self.raise(env, status);
  const TensorView& view = self.engine().table().at(slot).view;
  if (static_cast<size_t>(view.shape.count()) != length) {
    char text[kShapeText], message[320];
    std::snprintf(message, sizeof message,
                  "tensor: shape %s needs %lld elements, but the data has %zu", print(shape, text),
                  static_cast<long long>(view.shape.count()), length);
    self.engine().release(slot);
    napi_throw_range_error(env, "TG_RANGE", message);
    return nullptr;
  }
  status = self.engine().fill(slot, data, byte_length);
  if (status != Status::ok) {
    self.engine().release(slot);
    return self.raise(env, status);
  }
  return self.publish(env, slot, args.value[0], false);
}

napi_value to_device(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  double handle;
  int64_t device;
  if (!args.number(2, &handle) || !args.integer(3, 0, kDevices - 1, &device)) return nullptr;
  self.before_allocation(env);
  uint32_t slot = 0;
  const Status status = self.engine().to(handle, static_cast<uint8_t>(device), &slot);
  return status == Status::ok ? self.publish(env, slot, args.value[0], false)
                              : self.raise(env, status);
}

napi_value move_to(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  double handle;
  int64_t device;
  if (!args.number(0, &handle) || !args.integer(1, 0, kDevices - 1, &device)) return nullptr;
  self.before_allocation(env);
  const Status status = self.engine().move_to(handle, static_cast<uint8_t>(device));
  return status == Status::ok ? undefined(env) : self.raise(env, status);
}

napi_value device_of(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  double handle;
  if (!args.number(0, &handle)) return nullptr;
  const Tensor* tensor = Environment::of(env).engine().table().find(handle);
  return make_number(env, tensor ? tensor->storage->device : kCpu);
}

napi_value zeros_like(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  double handle;
  if (!args.number(2, &handle)) return nullptr;
  self.before_allocation(env);
  uint32_t slot = 0;
  const Status status = self.engine().zeros_like(handle, &slot);
  return status == Status::ok ? self.publish(env, slot, args.value[0], false)
                              : self.raise(env, status);
}

napi_value clone_all(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  constexpr size_t kMaxClones = 1 << 16;
  const double* handles;
  double* made;
  size_t count, room;
  uint32_t owners = 0;
  if (!args.doubles(1, &handles, &count) || !args.room(2, &made, &room)) return nullptr;
  if (napi_get_array_length(env, args.value[0], &owners) != napi_ok || owners != count ||
      room != count || count > kMaxClones) {
    napi_throw_type_error(env, "TG_TYPE", "snapshot: needs as many owners and room as handles");
    return nullptr;
  }
  self.before_allocation(env);
  std::unique_ptr<uint32_t[]> slots(new (std::nothrow) uint32_t[count + 1]);
  if (!slots) {
    napi_throw_error(env, "TG_OUT_OF_MEMORY", "snapshot: no memory");
    return nullptr;
  }
  const Status status = self.engine().clone_all(handles, static_cast<int>(count), slots.get());
  if (status != Status::ok) return self.raise(env, status);
  for (size_t i = 0; i < count; ++i) {
    napi_value owner, handle;
    napi_get_element(env, args.value[0], static_cast<uint32_t>(i), &owner);
    handle = self.publish(env, slots[i], owner, false);
    if (!handle) {  // publish let go of slot i
      while (++i < count) self.engine().release(slots[i]);
      return nullptr;
    }
    napi_get_value_double(env, handle, &made[i]);
  }
  return undefined(env);
}

napi_value read(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  double handle;
  napi_typedarray_type type;
  void* data;
  size_t length, byte_length;
  if (!args.number(0, &handle) || !args.bytes(1, &type, &data, &length, &byte_length))
    return nullptr;
  Tensor* tensor;
  Status status = self.engine().find("data", handle, &tensor);
  if (status != Status::ok) return self.raise(env, status);
  // A bfloat16 tensor is read as float32 values, or as its bits.
  const bool widen = tensor->view.dtype == DType::bfloat16 && type == napi_float32_array;
  status =
      self.engine().read(handle, widen ? DType::float32 : tensor->view.dtype, data, byte_length);
  return status == Status::ok ? undefined(env) : self.raise(env, status);
}

napi_value describe(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  double handle;
  if (!args.number(0, &handle)) return nullptr;
  Tensor* tensor;
  const Status status = self.engine().find("shape", handle, &tensor);
  if (status != Status::ok) return self.raise(env, status);
  self.describe(tensor->view, tensor->storage->viewed());
  return undefined(env);
}

napi_value share(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  double handle, id;
  if (!args.number(0, &handle)) return nullptr;
  const Status status = self.engine().share(handle, &id);
  return status == Status::ok ? make_number(env, id) : self.raise(env, status);
}

napi_value attach(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  double handle, id;
  if (!args.number(0, &handle) || !args.number(1, &id)) return nullptr;
  const Status status = self.engine().attach(handle, id);
  return status == Status::ok ? undefined(env) : self.raise(env, status);
}

napi_value dispose(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  double handle;
  if (!args.number(0, &handle)) return nullptr;
  napi_value result;
  napi_get_boolean(env, Environment::of(env).dispose(env, handle), &result);
  return result;
}

napi_value alive(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  double handle;
  if (!args.number(0, &handle)) return nullptr;
  napi_value result;
  napi_get_boolean(env, Environment::of(env).engine().table().find(handle) != nullptr, &result);
  return result;
}

napi_value sweep(napi_env env, napi_callback_info) {
  return make_number(env, Environment::of(env).sweep(env));
}

}  // namespace tg::binding
