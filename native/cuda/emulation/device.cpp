// The emulated device: what it says of itself, its errors, the options.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <atomic>

#include "state.h"

namespace tg::emulation {

namespace {

thread_local cudaError_t last_error = cudaSuccess;
std::atomic<bool> lost{false};

uint64_t number(const char* name, uint64_t otherwise) {
  const char* const text = getenv(name);
  return text && *text ? strtoull(text, nullptr, 10) : otherwise;
}

cudaError_t check_device(int device) {
  int count = 0;
  TG_STEP(cudaGetDeviceCount(&count));
  return report(device >= 0 && device < count ? cudaSuccess : cudaErrorInvalidDevice);
}

}  // namespace

Options& options() {
  static Options options = [] {
    Options o;
    o.seed = number("TAPEGRAD_EMULATION_SEED", o.seed);
    o.capability = static_cast<int>(number("TAPEGRAD_EMULATION_CAPABILITY", 90));
    o.devices = static_cast<int>(number("TAPEGRAD_EMULATION_DEVICES", 1));
    o.driver = number("TAPEGRAD_EMULATION_DRIVER", 1) != 0;
    o.memory = number("TAPEGRAD_EMULATION_MEMORY", o.memory);
    o.fail_launch = static_cast<int64_t>(number("TAPEGRAD_EMULATION_FAIL_LAUNCH", 0));
    o.copy_delay = static_cast<unsigned>(number("TAPEGRAD_EMULATION_COPY_DELAY", 0));
    o.guard = number("TAPEGRAD_EMULATION_GUARD", 0) != 0;
    return o;
  }();
  return options;
}

std::mutex& registry() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

cudaError_t report(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t device_state() { return report(lost ? cudaErrorLaunchFailure : cudaSuccess); }
bool device_lost() { return lost; }
void lose_device() { lost = true; }

}  // namespace tg::emulation

using namespace tg::emulation;

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
#define TG_ERROR(name, number, text) \
  case cuda##name:                   \
    return text;
    TG_CUDA_ERRORS(TG_ERROR)
#undef TG_ERROR
  }
  return "unrecognized error code";
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define TG_ERROR(name, number, text) \
  case cuda##name:                   \
    return "cuda" #name;
    TG_CUDA_ERRORS(TG_ERROR)
#undef TG_ERROR
  }
  return "unrecognized error code";
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = lost ? cudaErrorLaunchFailure : cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() { return last_error; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  if (!options().driver) return report(cudaErrorInsufficientDriver);
  if (options().devices < 1) return report(cudaErrorNoDevice);
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  TG_STEP(check_device(device));
  const bool hopper = options().capability >= 90;
  *p = {};
  snprintf(p->name, sizeof p->name, "Emulated device");
  p->totalGlobalMem = options().memory;
  p->sharedMemPerBlock = 48 << 10;
  p->regsPerBlock = p->regsPerMultiprocessor = 64 << 10;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 0x7FFFFFFF;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->totalConstMem = 64 << 10;
  p->major = options().capability / 10;
  p->minor = options().capability % 10;
  p->multiProcessorCount = 4;
  p->l2CacheSize = 4 << 20;
  p->maxThreadsPerMultiProcessor = 2048;
  p->sharedMemPerBlockOptin = (hopper ? 227 : 163) << 10;
  p->sharedMemPerMultiprocessor = (hopper ? 228 : 164) << 10;
  p->maxBlocksPerMultiProcessor = 32;
  p->memoryPoolsSupported = 1;
  p->clusterLaunch = hopper;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p;
  TG_STEP(cudaGetDeviceProperties(&p, device));
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      return *value = p.maxThreadsPerBlock, cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return *value = 48 << 10, cudaSuccess;
    case cudaDevAttrWarpSize:
      return *value = p.warpSize, cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      return *value = p.multiProcessorCount, cudaSuccess;
    case cudaDevAttrL2CacheSize:
      return *value = p.l2CacheSize, cudaSuccess;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return *value = p.maxThreadsPerMultiProcessor, cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      return *value = p.major, cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      return *value = p.minor, cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return *value = static_cast<int>(p.sharedMemPerMultiprocessor), cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return *value = static_cast<int>(p.sharedMemPerBlockOptin), cudaSuccess;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      return *value = p.maxBlocksPerMultiProcessor, cudaSuccess;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      return *value = 1 << 10, cudaSuccess;
    case cudaDevAttrMemoryPoolsSupported:
      return *value = 1, cudaSuccess;
    case cudaDevAttrClusterLaunch:
      return *value = p.clusterLaunch, cudaSuccess;
  }
  return report(cudaErrorInvalidValue);
}

cudaError_t cudaSetDevice(int device) {
  TG_STEP(device_state());
  return check_device(device);
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return check_device(0);
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = options().driver ? CUDART_VERSION : 0;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
