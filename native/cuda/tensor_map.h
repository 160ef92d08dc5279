// Tensor maps: how the copy engine (TMA) is told of a matrix in device memory. Host code.
#pragma once

#include <cuda.h>

#include "device.h"

namespace tg::cuda {

// Matrices of lines of contiguous elements, in stacks of stacks: sizes[0] is a line's, then come
// those of lines, matrices, stacks; strides, in elements, from one of these to the next. tma_load
// brings `box` lines of 128 bytes of one matrix, swizzled (see ptx.h); float32 arrives rounded to
// tf32 (to nearest, ties to even).
struct MapOf {
  const void* data;
  int64_t sizes[4];
  int64_t strides[3];
  uint32_t box;
  DType dtype = DType::bfloat16;  // or float32
};

// Whether the engine can read it: it counts in units of 16 bytes.
inline bool mappable(const MapOf& m) {
  constexpr int64_t kMost = int64_t{1} << 31;
  const int64_t unit = 16 / static_cast<int64_t>(size_of(m.dtype));
  for (int i = 0; i < 4; ++i)
    if (m.sizes[i] < 1 || m.sizes[i] >= kMost) return false;
  for (int i = 0; i < 3; ++i)
    if (m.sizes[i + 1] > 1 && (m.strides[i] <= 0 || m.strides[i] % unit != 0 ||
                               m.strides[i] >= (int64_t{1} << 36) * unit))
      return false;
  return reinterpret_cast<uintptr_t>(m.data) % 16 == 0;
}

// The driver's function, found at run time so that the library loads without a driver.
inline Status find_encoder(Error* error, Device* device) {
  if (device->encode_tensor_map) return Status::ok;
  cudaDriverEntryPointQueryResult found;
  TG_CUDA("tensor map",
          cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &device->encode_tensor_map,
                                           12000, cudaEnableDefault, &found));
  if (found == cudaDriverEntryPointSuccess && device->encode_tensor_map) return Status::ok;
  device->encode_tensor_map = nullptr;
  return error->set(Status::device, "tensor map: the driver has no cuTensorMapEncodeTiled");
}

inline Status make_tensor_map(Error* error, Device* device, const MapOf& m, CUtensorMap* map) {
  const Status status = find_encoder(error, device);
  if (status != Status::ok) return status;
  cuuint64_t sizes[4], strides[3];
  const cuuint64_t bytes = size_of(m.dtype);
  for (int i = 0; i < 4; ++i) sizes[i] = static_cast<cuuint64_t>(m.sizes[i]);
  // An axis of one has any stride; the driver is told that of a dense tensor.
  cuuint64_t dense = (bytes * sizes[0] + 15) / 16 * 16;
  for (int i = 0; i < 3; ++i) {
    strides[i] = sizes[i + 1] > 1 ? bytes * static_cast<cuuint64_t>(m.strides[i]) : dense;
    dense = strides[i] * sizes[i + 1];
  }
  const cuuint32_t across = static_cast<cuuint32_t>(128 / bytes);
  const cuuint32_t box[4] = {across, m.box, 1, 1}, steps[4] = {1, 1, 1, 1};
  const CUtensorMapDataType type = m.dtype == DType::float32 ? CU_TENSOR_MAP_DATA_TYPE_TFLOAT32
                                                             : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  const auto encode =
      reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(device->encode_tensor_map);
  const CUresult result =
      encode(map, type, 4, const_cast<void*>(m.data), sizes, strides, box, steps,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result == CUDA_SUCCESS) return Status::ok;
  return error->set(Status::device, "tensor map: CUDA refused %lld lines of %lld (error %d)",
                    static_cast<long long>(m.sizes[1]), static_cast<long long>(m.sizes[0]),
                    static_cast<int>(result));
}

}  // namespace tg::cuda
