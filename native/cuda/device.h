// One user of a CUDA device: the stream that its work goes through, and the chip's measures. Its
// memory, copies and graphs are in library.cu.
#pragma once

#include <cuda_runtime.h>

#include "../core/device_library.h"

namespace tg {

struct Device {
  int index;
  cudaStream_t stream;
  int multiprocessors;
  int capability;        // 80, 90, …
  size_t shared_memory;  // that a block may ask for
  cudaMemPool_t pool;
  static constexpr int kArrivals = 1 << 14;
  // Zeros, for blocks that count each other and reset them: gemm_hopper.cuh.
  unsigned* arrivals;
  void* encode_tensor_map;  // the driver's function, once tensor_map.h has asked for it
};

}  // namespace tg

namespace tg::cuda {

// The CUDA library's words for an error, under a code that JavaScript sees.
Status failed(Error* error, const char* what, cudaError_t code);

}  // namespace tg::cuda

// Leaves the calling function if a call of the CUDA runtime failed. Needs `error` (Error*).
#define TG_CUDA(what, call)                                                      \
  do {                                                                           \
    const cudaError_t tg_code = (call);                                          \
    if (tg_code != cudaSuccess) return ::tg::cuda::failed(error, what, tg_code); \
  } while (0)
