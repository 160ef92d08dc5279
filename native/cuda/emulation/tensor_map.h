// What an emulated CUtensorMap holds, and the copies that it describes.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <cuda.h>

namespace tg::emulation {

struct TensorMap {
  uint64_t address;
  uint64_t dims[5];     // elements; those beyond the rank are 1
  uint64_t strides[5];  // bytes
  uint16_t box[5];
  uint8_t rank, element, swizzle, nan_fill, tf32;
  uint32_t magic;

  size_t box_bytes() const;
};

// The map behind the opaque bytes; ends the process if they are none.
TensorMap decode(const CUtensorMap* map);

// The 16-byte pieces of each 128 (64, 32) bytes of shared memory are permuted: bits 4-6 of an
// address by xor with bits 7-9 (4-5 with 7-8, 4 with 7).
inline uintptr_t swizzled(uintptr_t address, int mode) {
  const int bits = mode == CU_TENSOR_MAP_SWIZZLE_128B  ? 3
                   : mode == CU_TENSOR_MAP_SWIZZLE_64B ? 2
                   : mode == CU_TENSOR_MAP_SWIZZLE_32B ? 1
                                                       : 0;
  return address ^ (address >> 7 & ((1u << bits) - 1)) << 4;
}

// The box at element `at` of the tensor, to shared memory.
void load_box(const TensorMap& map, const int* at, unsigned char* shared);

}  // namespace tg::emulation
