// Tensor maps: encoding them with the driver's checks, and copying the boxes that they describe.
#include "tensor_map.h"

#include <string.h>

#include "execution.h"
#include "state.h"

namespace tg::emulation {

namespace {

constexpr uint32_t kMagic = 0x7E4508A9;

int element_bytes(CUtensorMapDataType type) {
  switch (type) {
    case CU_TENSOR_MAP_DATA_TYPE_UINT8:
      return 1;
    case CU_TENSOR_MAP_DATA_TYPE_UINT16:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
    case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16:
      return 2;
    case CU_TENSOR_MAP_DATA_TYPE_UINT64:
    case CU_TENSOR_MAP_DATA_TYPE_INT64:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT64:
      return 8;
    default:
      return 4;
  }
}

bool is_tf32(CUtensorMapDataType type) {
  return type == CU_TENSOR_MAP_DATA_TYPE_TFLOAT32 || type == CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ;
}
// As the engine rounds float32 that it is told to bring as tf32: to nearest, ties to even.
void round_to_tf32(void* at, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 4) {
    uint32_t x;
    memcpy(&x, static_cast<char*>(at) + i, 4);
    if ((x & 0x7F800000u) != 0x7F800000u) x += 0xFFF + (x >> 13 & 1);
    x &= 0xFFFFE000u;
    memcpy(static_cast<char*>(at) + i, &x, 4);
  }
}

bool is_float(CUtensorMapDataType type) { return type >= CU_TENSOR_MAP_DATA_TYPE_FLOAT16; }

// Calls visit(global, shared, bytes) for the parts of the box: pieces of 16 bytes, or single
// elements where the tensor's edge goes through one. `global` is 0 outside of the tensor.
template <class Visit>
void each_piece(const TensorMap& map, const int* at, uintptr_t shared, Visit visit) {
  const int per_piece = 16 / map.element;
  int index[5] = {};  // in the box, of dimensions 1 and up
  for (size_t line = 0;; ++line) {
    uint64_t offset = 0;
    bool inside = true;
    for (int d = 1; d < map.rank; ++d) {
      const int64_t place = int64_t{at[d]} + index[d];
      inside &= place >= 0 && static_cast<uint64_t>(place) < map.dims[d];
      offset += static_cast<uint64_t>(place) * map.strides[d];
    }
    for (int x = 0; x < map.box[0]; x += per_piece) {
      const uintptr_t piece = swizzled(
          shared + (line * map.box[0] + static_cast<size_t>(x)) * map.element, map.swizzle);
      const int64_t first = int64_t{at[0]} + x, end = static_cast<int64_t>(map.dims[0]);
      const auto column = [&](int i) {  // its address, or 0
        const bool in = inside && first + i >= 0 && first + i < end;
        return in ? map.address + offset + static_cast<uint64_t>(first + i) * map.element : 0;
      };
      if (!inside || (first >= 0 && first + per_piece <= end)) {
        visit(column(0), piece, size_t{16});
        continue;
      }
      for (int i = 0; i < per_piece; ++i)
        visit(column(i), piece + static_cast<size_t>(i) * map.element, size_t{map.element});
    }
    int d = 1;
    while (d < map.rank && ++index[d] == map.box[d]) index[d++] = 0;
    if (d >= map.rank) return;
  }
}

}  // namespace

size_t TensorMap::box_bytes() const {
  size_t bytes = element;
  for (int d = 0; d < rank; ++d) bytes *= box[d];
  return bytes;
}

TensorMap decode(const CUtensorMap* map) {
  static_assert(sizeof(TensorMap) <= sizeof(CUtensorMap));
  if (reinterpret_cast<uintptr_t>(map) % 64 != 0)
    fail("a tensor map that is not aligned to 64 bytes");
  TensorMap result;
  memcpy(&result, map, sizeof result);
  if (result.magic != kMagic) fail("a tensor map that was never encoded");
  return result;
}

void load_box(const TensorMap& map, const int* at, unsigned char* shared) {
  each_piece(map, at, reinterpret_cast<uintptr_t>(shared),
             [&](uint64_t global, uintptr_t to, size_t bytes) {
               void* const target = reinterpret_cast<void*>(to);
               if (global)
                 memcpy(target, reinterpret_cast<const void*>(global), bytes);
               else
                 memset(target, map.nan_fill ? 0xFF : 0, bytes);
               if (map.tf32) round_to_tf32(target, bytes);
             });
}

}  // namespace tg::emulation

using namespace tg::emulation;

CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank,
                                void* address, const cuuint64_t* dims, const cuuint64_t* strides,
                                const cuuint32_t* box, const cuuint32_t* element_strides,
                                CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill) {
  if (options().capability < 90) return CUDA_ERROR_NOT_SUPPORTED;
  const uintptr_t start = reinterpret_cast<uintptr_t>(address);
  if (!map || reinterpret_cast<uintptr_t>(map) % 64 != 0 || type < 0 ||
      type > CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ || rank < 1 || rank > 5 || !address ||
      start % 16 != 0 || !dims || (rank > 1 && !strides) || !box || !element_strides ||
      promotion < 0 || promotion > CU_TENSOR_MAP_L2_PROMOTION_L2_256B)
    return CUDA_ERROR_INVALID_VALUE;
  if (interleave != CU_TENSOR_MAP_INTERLEAVE_NONE) fail("tensor maps that interleave");
  const uint64_t element = static_cast<uint64_t>(element_bytes(type));
  for (cuuint32_t d = 0; d < rank; ++d) {
    if (dims[d] == 0 || dims[d] > uint64_t{1} << 32 || box[d] == 0 || box[d] > 256 ||
        element_strides[d] == 0 || element_strides[d] > 8)
      return CUDA_ERROR_INVALID_VALUE;
    if (d > 0 && element_strides[d] != 1) fail("tensor maps with element strides");
  }
  for (cuuint32_t d = 0; d + 1 < rank; ++d)
    if (strides[d] % 16 != 0 || strides[d] >= uint64_t{1} << 40) return CUDA_ERROR_INVALID_VALUE;
  const uint64_t inner = box[0] * element;
  const uint64_t span = swizzle == CU_TENSOR_MAP_SWIZZLE_NONE ? inner : uint64_t{16} << swizzle;
  if (inner % 16 != 0 || swizzle < 0 || swizzle > CU_TENSOR_MAP_SWIZZLE_128B || inner > span)
    return CUDA_ERROR_INVALID_VALUE;
  if (inner < span) fail("tensor maps whose boxes are narrower than the swizzle");
  if (fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE && !is_float(type)) return CUDA_ERROR_INVALID_VALUE;
  TensorMap m = {};
  m.address = start;
  m.rank = static_cast<uint8_t>(rank);
  m.element = static_cast<uint8_t>(element);
  m.swizzle = static_cast<uint8_t>(swizzle);
  m.tf32 = is_tf32(type);
  m.nan_fill = fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
  m.magic = kMagic;
  for (cuuint32_t d = 0; d < 5; ++d) {
    m.dims[d] = d < rank ? dims[d] : 1;
    m.strides[d] = d == 0 ? element : d < rank ? strides[d - 1] : 0;
    m.box[d] = static_cast<uint16_t>(d < rank ? box[d] : 1);
  }
  memset(static_cast<void*>(map), 0, sizeof *map);
  memcpy(static_cast<void*>(map), &m, sizeof m);
  return CUDA_SUCCESS;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned version,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  *function = nullptr;
  int count;
  TG_STEP(cudaGetDeviceCount(&count));
  auto found = cudaDriverEntryPointSymbolNotFound;
  if (strcmp(symbol, "cuTensorMapEncodeTiled") == 0) {
    found =
        version >= 12000 ? cudaDriverEntryPointSuccess : cudaDriverEntryPointVersionNotSufficent;
    if (version >= 12000) *function = reinterpret_cast<void*>(&cuTensorMapEncodeTiled);
  }
  if (result) *result = found;
  return result || *function ? cudaSuccess : report(cudaErrorSymbolNotFound);
}

cudaError_t cudaGetDriverEntryPoint(const char* symbol, void** function, unsigned long long flags,
                                    cudaDriverEntryPointQueryResult* result) {
  return cudaGetDriverEntryPointByVersion(symbol, function, CUDART_VERSION, flags, result);
}
