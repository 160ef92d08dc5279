// Launching kernels: on the context's stream, checked, with one size for all grids.
#pragma once

#include "device.h"

namespace tg::cuda {

// A block's dynamic shared memory, aligned to 1,024 bytes where the kernel asks for that much.
#if defined(__CUDACC__)
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(1024) unsigned char tg_shared[];
  return reinterpret_cast<T*>(tg_shared);
}
#else
template <class T>
T* dynamic_shared() {
  return static_cast<T*>(emulated_dynamic_shared());
}
#endif

struct Grid {
  dim3 blocks;
  dim3 threads;
  size_t shared = 0;     // bytes of dynamic shared memory
  unsigned cluster = 1;  // blocks along x that run together
};

// Bytes of a kernel's parameters, one behind the other.
template <class... Parameters>
constexpr size_t parameter_bytes() {
  size_t bytes = 0;
  (void)((bytes = (bytes + alignof(Parameters) - 1) / alignof(Parameters) * alignof(Parameters) +
                  sizeof(Parameters)),
         ...);
  return bytes;
}
constexpr size_t kMostParameterBytes = 32764;  // since CUDA 12.1, from compute capability 7.0 on

// kernel(args…) on the grid. The arguments are copied; memory behind pointers is the device's.
template <class... Parameters, class... Arguments>
Status launch(ExecContext* ctx, void (*kernel)(Parameters...), const Grid& grid,
              Arguments... args) {
  static_assert(parameter_bytes<Parameters...>() <= kMostParameterBytes,
                "more than a launch can take: leave some in device memory");
  Error* const error = ctx->error;
  if (grid.shared > 48 * 1024)
    TG_CUDA(ctx->trace.kernel, cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                    cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                    static_cast<int>(grid.shared)));
  cudaLaunchConfig_t config = {};
  config.gridDim = grid.blocks;
  config.blockDim = grid.threads;
  config.dynamicSmemBytes = grid.shared;
  config.stream = ctx->device->stream;
  cudaLaunchAttribute cluster = {};
  if (grid.cluster > 1) {
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = grid.cluster;
    cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
    config.attrs = &cluster;
    config.numAttrs = 1;
  }
  TG_CUDA(ctx->trace.kernel, cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(args)...));
  return Status::ok;
}

constexpr int kThreads = 256;

// Blocks of kThreads for `items`, each of which a thread takes in a loop over the grid; enough to
// keep every multiprocessor at work, and no more.
inline Grid grid_for(const ExecContext* ctx, int64_t items) {
  const int64_t most = int64_t{8} * ctx->device->multiprocessors;
  const int64_t wanted = (items + kThreads - 1) / kThreads;
  return {dim3(static_cast<unsigned>(wanted < 1      ? 1
                                     : wanted < most ? wanted
                                                     : most)),
          dim3(kThreads)};
}

// This thread's first item of such a loop, and its stride.
__device__ __forceinline__ int64_t first_item() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64_t item_stride() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

// Device memory for the op under way, or null with a message.
inline void* scratch(ExecContext* ctx, size_t bytes) {
  void* memory = ctx->scratch(ctx->owner, bytes);
  if (!memory)
    ctx->error->set(Status::out_of_memory, "%s: no memory for %zu bytes of scratch",
                    ctx->trace.kernel, bytes);
  return memory;
}

}  // namespace tg::cuda
