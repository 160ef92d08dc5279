// The emulated device's memory: from malloc, of the exact size, so that AddressSanitizer sees what
// lies outside; fresh memory is poison, and so is host memory that a copy will fill. Pointers are
// checked against what was allocated.
#include <stdlib.h>
#include <string.h>

#include <chrono>
#include <map>
#include <string_view>
#include <thread>
#include <vector>

#include "execution.h"
#include "guard.h"
#include "state.h"

namespace tg::emulation {

namespace {

enum class Kind { device, host };
struct Allocation {
  size_t bytes;
  Kind kind;
};

struct Memory {
  std::map<uintptr_t, Allocation> live;
  size_t used = 0, most = 0;  // bytes on the device
  uint64_t threshold = 0;
};

Memory& memory() {
  static Memory& memory = *new Memory;
  return memory;
}

cudaError_t take(void** result, size_t bytes, Kind kind) {
  *result = nullptr;
  TG_STEP(device_state());
  if (bytes == 0) return cudaSuccess;
  const std::lock_guard<std::mutex> lock(registry());
  Memory& m = memory();
  if (kind == Kind::device && (m.used > options().memory || bytes > options().memory - m.used))
    return report(cudaErrorMemoryAllocation);
  if (kind == Kind::device && options().guard)
    *result = take_guarded(bytes);
  else if (posix_memalign(result, 256, bytes) != 0)
    *result = nullptr;
  if (!*result) return report(cudaErrorMemoryAllocation);
  {
    const DeviceAccess access;
    memset(*result, kPoison, bytes);
  }
  m.live[reinterpret_cast<uintptr_t>(*result)] = {bytes, kind};
  if (kind == Kind::device) m.used += bytes;
  if (m.used > m.most) m.most = m.used;
  return cudaSuccess;
}

// Also on a lost device, so that tests of it do not leak.
cudaError_t give_back(void* address, Kind kind) {
  const std::lock_guard<std::mutex> lock(registry());
  Memory& m = memory();
  const auto found = m.live.find(reinterpret_cast<uintptr_t>(address));
  if (found == m.live.end() || found->second.kind != kind) return report(cudaErrorInvalidValue);
  if (kind == Kind::device) m.used -= found->second.bytes;
  m.live.erase(found);
  if (kind == Kind::device && options().guard)
    give_guarded(address);
  else
    free(address);
  return device_state();
}

bool is_pinned(const void* address) {
  const std::lock_guard<std::mutex> lock(registry());
  const auto& live = memory().live;
  auto after = live.upper_bound(reinterpret_cast<uintptr_t>(address));
  if (after == live.begin()) return false;
  --after;
  return reinterpret_cast<uintptr_t>(address) - after->first < after->second.bytes;
}

// The bytes lie in one allocation on the device; or, for the host, in none.
bool lies_on(const void* address, size_t bytes, bool device) {
  const std::lock_guard<std::mutex> lock(registry());
  const uintptr_t start = reinterpret_cast<uintptr_t>(address);
  const auto& live = memory().live;
  auto after = live.upper_bound(start);
  if (after == live.begin()) return !device;
  --after;
  const bool inside = start - after->first < after->second.bytes;
  if (!inside || after->second.kind == Kind::host) return !device;
  return device && bytes <= after->second.bytes - (start - after->first);
}

cudaError_t check_copy(const void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault)
    return cudaErrorInvalidMemcpyDirection;
  if (bytes == 0 || kind == cudaMemcpyDefault) return cudaSuccess;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const bool fine = lies_on(to, bytes, to_device) && lies_on(from, bytes, from_device);
  return fine ? cudaSuccess : cudaErrorInvalidValue;
}

size_t hash_of(const void* from, size_t bytes) {
  return std::hash<std::string_view>()({static_cast<const char*>(from), bytes});
}

// What a copy between host and device does, in its turn.
void copy_late(void* to, const void* from, size_t bytes) {
  if (options().copy_delay)
    std::this_thread::sleep_for(std::chrono::microseconds(options().copy_delay));
  const DeviceAccess access;
  memmove(to, from, bytes);
}

}  // namespace

}  // namespace tg::emulation

using namespace tg::emulation;

cudaError_t cudaMalloc(void** result, size_t bytes) {
  TG_STEP(refuse_in_capture());
  return take(result, bytes, Kind::device);
}
cudaError_t cudaFree(void* address) {
  TG_STEP(refuse_in_capture());
  if (!address) return device_state();
  TG_STEP(drain_all());
  return give_back(address, Kind::device);
}
// Of a graph's own memory the project makes no use: it is refused, too.
cudaError_t cudaMallocAsync(void** result, size_t bytes, cudaStream_t stream) {
  cudaStreamCaptureStatus status;
  TG_STEP(cudaStreamIsCapturing(stream, &status));
  if (status != cudaStreamCaptureStatusNone) return report(cudaErrorStreamCaptureUnsupported);
  TG_STEP(take(result, bytes, Kind::device));
  if (bytes == 0) return cudaSuccess;
  // It is there when the stream has come so far: what another one writes before that is lost.
  void* const fresh = *result;
  return enqueue(stream, [=] {
    const DeviceAccess access;
    memset(fresh, kPoison, bytes);
  });
}
cudaError_t cudaMallocFromPoolAsync(void** result, size_t bytes, cudaMemPool_t,
                                    cudaStream_t stream) {
  return cudaMallocAsync(result, bytes, stream);
}
cudaError_t cudaFreeAsync(void* address, cudaStream_t stream) {
  cudaStreamCaptureStatus status;
  TG_STEP(cudaStreamIsCapturing(stream, &status));
  if (status != cudaStreamCaptureStatusNone) return report(cudaErrorStreamCaptureUnsupported);
  if (!address) return cudaSuccess;
  if (!lies_on(address, 1, true)) return report(cudaErrorInvalidValue);
  return enqueue(
      stream, [=] { (void)give_back(address, Kind::device); }, Done::always);
}
cudaError_t cudaMallocHost(void** result, size_t bytes) {
  TG_STEP(refuse_in_capture());
  return take(result, bytes, Kind::host);
}
cudaError_t cudaHostAlloc(void** result, size_t bytes, unsigned) {
  return cudaMallocHost(result, bytes);
}
cudaError_t cudaFreeHost(void* address) {
  TG_STEP(refuse_in_capture());
  if (!address) return device_state();
  TG_STEP(drain_all());
  return give_back(address, Kind::host);
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  TG_STEP(device_state());
  const std::lock_guard<std::mutex> lock(registry());
  *total = options().memory;
  *free = *total - memory().used;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  int value;
  TG_STEP(cudaDeviceGetAttribute(&value, cudaDevAttrMemoryPoolsSupported, device));
  *pool = reinterpret_cast<cudaMemPool_t>(&memory());
  return cudaSuccess;
}
cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* pool, int device) {
  return cudaDeviceGetDefaultMemPool(pool, device);
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr attribute, void* value) {
  TG_STEP(device_state());
  const std::lock_guard<std::mutex> lock(registry());
  if (attribute == cudaMemPoolAttrReleaseThreshold)
    memory().threshold = *static_cast<uint64_t*>(value);
  if (attribute == cudaMemPoolAttrReservedMemHigh || attribute == cudaMemPoolAttrUsedMemHigh)
    memory().most = memory().used;
  return cudaSuccess;
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr attribute, void* value) {
  TG_STEP(device_state());
  const std::lock_guard<std::mutex> lock(registry());
  const Memory& m = memory();
  switch (attribute) {
    case cudaMemPoolReuseFollowEventDependencies:
    case cudaMemPoolReuseAllowOpportunistic:
    case cudaMemPoolReuseAllowInternalDependencies:
      *static_cast<int*>(value) = 1;
      break;
    case cudaMemPoolAttrReleaseThreshold:
      *static_cast<uint64_t*>(value) = m.threshold;
      break;
    case cudaMemPoolAttrReservedMemCurrent:
    case cudaMemPoolAttrUsedMemCurrent:
      *static_cast<uint64_t*>(value) = m.used;
      break;
    case cudaMemPoolAttrReservedMemHigh:
    case cudaMemPoolAttrUsedMemHigh:
      *static_cast<uint64_t*>(value) = m.most;
      break;
  }
  return cudaSuccess;
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return device_state(); }

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  TG_STEP(check_copy(to, from, bytes, kind));
  if (bytes == 0) return device_state();
  cudaStreamCaptureStatus status;
  TG_STEP(cudaStreamIsCapturing(stream, &status));
  const bool now = status == cudaStreamCaptureStatusNone;
  const bool up = kind == cudaMemcpyHostToDevice, down = kind == cudaMemcpyDeviceToHost;
  if (now && up && !is_pinned(from)) {
    // Pageable memory: read before the call returns.
    const char* const bytes_now = static_cast<const char*>(from);
    return enqueue(stream, [to, staged = std::vector<char>(bytes_now, bytes_now + bytes)] {
      copy_late(to, staged.data(), staged.size());
    });
  }
  if (now && up) {
    const size_t hash = hash_of(from, bytes);
    return enqueue(stream, [=] {
      copy_late(to, from, bytes);
      if (hash_of(from, bytes) != hash)
        fail("%zu bytes of host memory have changed before they were copied to the device", bytes);
    });
  }
  if (now && down) memset(to, kPoison, bytes);
  TG_STEP(enqueue(stream, [=] {
    if (up || down) return copy_late(to, from, bytes);
    const DeviceAccess access;
    memmove(to, from, bytes);
  }));
  if (now && down && !is_pinned(to)) TG_STEP(drain(stream));  // written before the call returns
  return device_state();
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  if (width > to_pitch || width > from_pitch) return report(cudaErrorInvalidValue);
  if (width == 0 || height == 0) return device_state();
  TG_STEP(check_copy(to, from,
                     (height - 1) * (to_pitch < from_pitch ? to_pitch : from_pitch) + width, kind));
  return enqueue(stream, [=] {
    const DeviceAccess access;
    for (size_t row = 0; row < height; ++row)
      memcpy(static_cast<char*>(to) + row * to_pitch,
             static_cast<const char*>(from) + row * from_pitch, width);
  });
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (bytes && !lies_on(to, bytes, true)) return report(cudaErrorInvalidValue);
  return enqueue(stream, [=] {
    const DeviceAccess access;
    if (bytes) memset(to, value, bytes);
  });
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  TG_STEP(refuse_in_capture());
  TG_STEP(cudaMemcpyAsync(to, from, bytes, kind, nullptr));
  // Within the device nobody waits, and pageable memory has been read, but not arrived yet: to
  // streams that do not mind the null stream this may be news.
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  if (!to_device || (kind == cudaMemcpyHostToDevice && is_pinned(from))) TG_STEP(drain(nullptr));
  return device_state();
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  TG_STEP(refuse_in_capture());
  return cudaMemsetAsync(to, value, bytes, nullptr);
}
