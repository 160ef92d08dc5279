// Element types: the codes that TypeScript, kernels and files share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tg {

enum class DType : uint8_t { float32, float64, int32, boolean, bfloat16 };
constexpr int kDTypes = 5;

constexpr const char* kDTypeNames[kDTypes] = {"float32", "float64", "int32", "bool", "bfloat16"};
constexpr size_t kDTypeSizes[kDTypes] = {4, 8, 4, 1, 2};

constexpr size_t size_of(DType t) { return kDTypeSizes[static_cast<int>(t)]; }
constexpr const char* name_of(DType t) { return kDTypeNames[static_cast<int>(t)]; }
// bfloat16, the upper half of a float32, is what tensors are kept in; kernels compute in float32.
constexpr bool is_float(DType t) {
  return t == DType::float32 || t == DType::float64 || t == DType::bfloat16;
}
// Floats that small updates do not vanish in: what optimizers work on.
constexpr bool is_wide_float(DType t) { return t == DType::float32 || t == DType::float64; }

}  // namespace tg
