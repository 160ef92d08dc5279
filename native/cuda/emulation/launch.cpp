// Launches of kernels: what hardware would refuse is reported, and ends the process.
#include "launch.h"

#include <atomic>
#include <map>

#include "guard.h"
#include "state.h"
#include "symbols.h"

namespace tg::emulation {

namespace {

struct Allowed {
  size_t shared = 48 << 10;
  bool large_clusters = false;
};

std::map<const void*, Allowed>& allowed() {
  static auto& all = *new std::map<const void*, Allowed>;
  return all;
}

// What is wrong with the shape; null if nothing is.
const char* fault(const LaunchShape& s, const Allowed& allowed) {
  const uint64_t threads = uint64_t{s.block.x} * s.block.y * s.block.z;
  if (s.grid.x == 0 || s.grid.y == 0 || s.grid.z == 0) return "an empty grid";
  if (s.grid.x > 0x7FFFFFFF || s.grid.y > 65535 || s.grid.z > 65535) return "too large a grid";
  if (threads == 0 || s.block.z > 64) return "an impossible shape of blocks";
  if (threads > 1024) return "more than 1,024 threads in a block";
  if (s.shared > allowed.shared)
    return allowed.shared > 48 << 10
               ? "more dynamic shared memory than cudaFuncSetAttribute asked for"
               : "more than 48 KiB of dynamic shared memory, which "
                 "cudaFuncSetAttribute was not asked for";
  const uint64_t cluster = uint64_t{s.cluster.x} * s.cluster.y * s.cluster.z;
  if (cluster == 0 || s.grid.x % s.cluster.x || s.grid.y % s.cluster.y || s.grid.z % s.cluster.z)
    return "a grid that is not a multiple of its clusters";
  if (cluster > 1 && options().capability < 90) return "a cluster, before compute capability 9.0";
  if (cluster > (allowed.large_clusters ? 16u : 8u)) return "too large a cluster";
  return nullptr;
}

}  // namespace

cudaError_t launch(const void* kernel, const cudaLaunchConfig_t& config,
                   std::function<void()> body) {
  TG_STEP(device_state());
  LaunchShape shape;
  shape.kernel = kernel;
  shape.grid = config.gridDim;
  shape.block = config.blockDim;
  shape.shared = config.dynamicSmemBytes;
  for (unsigned i = 0; i < config.numAttrs; ++i)
    if (config.attrs[i].id == cudaLaunchAttributeClusterDimension) {
      const auto& c = config.attrs[i].val.clusterDim;
      shape.cluster = dim3(c.x, c.y, c.z);
    }
  {
    std::unique_lock<std::mutex> lock(registry());
    const Allowed limits = allowed()[kernel];
    lock.unlock();
    if (const char* const what = fault(shape, limits))
      fail("a launch of %s with %s: grid (%u, %u, %u), block (%u, %u, %u), %zu bytes",
           symbol_at(kernel).c_str(), what, shape.grid.x, shape.grid.y, shape.grid.z, shape.block.x,
           shape.block.y, shape.block.z, shape.shared);
  }
  return enqueue(config.stream, [shape, body = std::move(body)] {
    static std::atomic<int64_t> launches{0};
    if (++launches == options().fail_launch) return lose_device();
    const DeviceAccess access;
    run_grid(shape, body);
  });
}

}  // namespace tg::emulation

using namespace tg::emulation;

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  TG_STEP(device_state());
  cudaDeviceProp device;
  TG_STEP(cudaGetDeviceProperties(&device, 0));
  const std::lock_guard<std::mutex> lock(registry());
  Allowed& limits = allowed()[kernel];
  if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
    if (value < 0 || static_cast<size_t>(value) > device.sharedMemPerBlockOptin)
      return report(cudaErrorInvalidValue);
    limits.shared = static_cast<size_t>(value);
  } else if (attribute == cudaFuncAttributeNonPortableClusterSizeAllowed) {
    limits.large_clusters = value != 0;
  }
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads,
                                                          size_t shared) {
  cudaDeviceProp device;
  TG_STEP(cudaGetDeviceProperties(&device, 0));
  if (threads < 1) return report(cudaErrorInvalidValue);
  *blocks = 0;
  if (threads > device.maxThreadsPerBlock || shared > device.sharedMemPerBlockOptin)
    return cudaSuccess;
  const int by_threads = device.maxThreadsPerMultiProcessor / ((threads + 31) / 32 * 32);
  const int by_memory = static_cast<int>(device.sharedMemPerMultiprocessor / (shared + 1024));
  *blocks = by_threads < by_memory ? by_threads : by_memory;
  if (*blocks > device.maxBlocksPerMultiProcessor) *blocks = device.maxBlocksPerMultiProcessor;
  return cudaSuccess;
}
