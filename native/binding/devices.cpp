// What JavaScript calls about devices beside the CPU, and to read from them without waiting.
#if defined(__linux__)
#include <dlfcn.h>
#endif

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "functions.h"

namespace tg::binding {

void add_libraries(DeviceLoader* loader) {
  const char* const wanted = std::getenv("TAPEGRAD_CUDA_LIBRARY");
  if (wanted && *wanted) {
    loader->add(wanted);
    return;
  }
#if defined(__linux__)
  Dl_info self;
  if (!dladdr(reinterpret_cast<const void*>(add_libraries), &self) || !self.dli_fname) return;
  // Beside the addon, which is in <package>/build/Release or <package>/prebuilds/<platform>, or
  // where npm run build:cuda leaves it.
  int length = static_cast<int>(std::strlen(self.dli_fname));
  const auto parent = [&] {
    while (length > 0 && self.dli_fname[--length] != '/') continue;
  };
  const auto add = [&](const char* place) {
    char path[sizeof(DeviceLoader::Attempt::path)];
    std::snprintf(path, sizeof path, "%.*s/%s", length, self.dli_fname, place);
    loader->add(path);
  };
  parent();
  add("libtapegrad_cuda.so");
  parent();
  parent();
  add("build-cuda/Release/libtapegrad_cuda.so");
#endif
}

napi_value open_device(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  int64_t device;
  if (!args.integer(0, 0, kDevices - 1, &device)) return nullptr;
  DeviceState* state;
  const Status status = self.engine().ready(static_cast<uint8_t>(device), &state);
  return status == Status::ok ? undefined(env) : self.raise(env, status);
}

napi_value diagnose(napi_env env, napi_callback_info) {
  Engine& engine = Environment::of(env).engine();
  DeviceLoader& loader = engine.loader();
  DeviceState* state;
  const bool usable = engine.ready(kCuda, &state) == Status::ok;
  napi_value result, paths, devices;
  napi_create_object(env, &result);
  napi_create_array(env, &paths);
  napi_create_array(env, &devices);
  const auto set = [env](napi_value object, const char* name, napi_value value) {
    napi_set_named_property(env, object, name, value);
  };
  set(result, "reason", make_string(env, usable ? "" : engine.error().message()));
  set(result, "paths", paths);
  set(result, "devices", devices);
  for (int i = 0; i < loader.attempts(); ++i) {
    napi_value attempt;
    napi_create_object(env, &attempt);
    set(attempt, "path", make_string(env, loader.attempt(i).path));
    set(attempt, "reason", make_string(env, loader.attempt(i).reason));
    napi_set_element(env, paths, static_cast<uint32_t>(i), attempt);
  }
  const DeviceLibrary* const library = loader.library();
  int count = 0;
  if (!library || library->count(&engine.error(), &count) != Status::ok) return result;
  for (int i = 0; i < count; ++i) {
    DeviceInfo found;
    if (library->describe(&engine.error(), i, &found) != Status::ok) continue;
    napi_value device;
    napi_create_object(env, &device);
    set(device, "name", make_string(env, found.name));
    set(device, "capability", make_number(env, found.capability / 10.0));
    set(device, "memory", make_number(env, static_cast<double>(found.memory)));
    set(device, "multiprocessors", make_number(env, found.multiprocessors));
    set(device, "driver", make_number(env, found.driver));
    set(device, "runtime", make_number(env, found.runtime));
    napi_set_element(env, devices, static_cast<uint32_t>(i), device);
  }
  return result;
}

napi_value synchronize(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  int64_t device;
  if (!args.integer(0, 0, kDevices - 1, &device)) return nullptr;
  const Status status = self.engine().settle(static_cast<uint8_t>(device));
  return status == Status::ok ? undefined(env) : self.raise(env, status);
}

napi_value set_tf32(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  int64_t on;
  if (!args.integer(0, 0, 1, &on)) return nullptr;
  if (self.programs().recording()) {  // a program has one setting
    napi_throw_error(env, "TG_TRACE",
                     "setMatmulPrecision: not in a function that is being compiled; give compile "
                     "the option precision");
    return nullptr;
  }
  self.engine().set_tf32(on != 0);
  return undefined(env);
}

napi_value reads_listen(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  napi_valuetype type;
  napi_typeof(env, args.value[0], &type);
  if (type != napi_function || !Environment::of(env).reads().listen(env, args.value[0])) {
    napi_throw_type_error(env, "TG_TYPE", "readsListen: needs a function");
    return nullptr;
  }
  return undefined(env);
}

napi_value read_later(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  double handle;
  int64_t dtype, id;
  if (!args.number(0, &handle) || !args.integer(1, 0, kDTypes - 1, &dtype)) return nullptr;
  Tensor* tensor;
  Status status = self.engine().find("data", handle, &tensor);
  if (status != Status::ok) return self.raise(env, status);
  if (!self.reads().listening() || tensor->storage->device == kCpu) {
    napi_throw_type_error(env, "TG_TYPE", "data: nobody listens, or the tensor is on the CPU");
    return nullptr;
  }
  status = self.reads().start(env, handle, static_cast<DType>(dtype), &id);
  return status == Status::ok ? make_number(env, static_cast<double>(id)) : self.raise(env, status);
}

napi_value read_take(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  int64_t id;
  napi_typedarray_type type;
  void* data;
  size_t length, byte_length;
  if (!args.integer(0, 0, int64_t{1} << 53, &id) ||
      !args.bytes(1, &type, &data, &length, &byte_length))
    return nullptr;
  const Status status = self.reads().take(id, data, byte_length);
  return status == Status::ok ? undefined(env) : self.raise(env, status);
}

}  // namespace tg::binding
