#include "device_loader.h"

#if defined(__linux__)
#include <dlfcn.h>
#endif
#include <unistd.h>

#include <cstring>

namespace tg {

void DeviceLoader::add(const char* path) {
  if (count_ == kMaxPaths) return;
  Attempt& attempt = attempts_[count_++];
  std::snprintf(attempt.path, sizeof attempt.path, "%s", path);
  attempt.reason[0] = 0;
}

const DeviceLibrary* DeviceLoader::library() {
  if (tried_) return library_;
  tried_ = true;
  if (find) find(this);
  for (int i = 0; i < count_ && !library_; ++i) library_ = open(&attempts_[i]);
  return library_;
}

#if defined(__linux__)

const DeviceLibrary* DeviceLoader::open(Attempt* attempt) {
  const auto refuse = [&](const char* format, auto... values) -> const DeviceLibrary* {
    std::snprintf(attempt->reason, sizeof attempt->reason, format, values...);
    return nullptr;
  };
  if (access(attempt->path, F_OK) != 0) return refuse("%s", "there is no such file");
  void* const handle = dlopen(attempt->path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* const text = dlerror();  // most begin with the path
    const size_t length = std::strlen(attempt->path);
    const bool named = std::strncmp(text, attempt->path, length) == 0 && text[length] == ':';
    return refuse("%s", named ? text + length + 2 : text);
  }
  const auto entry = reinterpret_cast<DeviceEntry>(dlsym(handle, kDeviceEntry));
  if (!entry)
    return refuse("it is no device library of tapegrad: it does not export %s", kDeviceEntry);
  // The numbers come first in every version of the table.
  const DeviceLibrary* const found = entry();
  if (found->abi != kDeviceAbi || found->backend_abi != kBackendAbi)
    return refuse(
        "it is of another version of tapegrad (interfaces %u and %u instead of %u and %u): build "
        "it again with npm run build:cuda",
        found->abi, found->backend_abi, kDeviceAbi, kBackendAbi);
  if (found->fingerprint != device_fingerprint())
    return refuse("%s",
                  "it was built from other sources than this addon: build both again with npm run "
                  "build:native and npm run build:cuda");
  return found;
}

#else

const DeviceLibrary* DeviceLoader::open(Attempt* attempt) {
  std::snprintf(attempt->reason, sizeof attempt->reason, "CUDA is supported on Linux only");
  return nullptr;
}

#endif

}  // namespace tg
