// Element types: the codes that TypeScript, kernels and files share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tg {

enum class DType : uint8_t { float32, float64, int32, boolean };
constexpr int kDTypes = 4;

constexpr const char* kDTypeNames[kDTypes] = {"float32", "float64", "int32", "bool"};
constexpr size_t kDTypeSizes[kDTypes] = {4, 8, 4, 1};

constexpr size_t size_of(DType t) { return kDTypeSizes[static_cast<int>(t)]; }
constexpr const char* name_of(DType t) { return kDTypeNames[static_cast<int>(t)]; }
constexpr bool is_float(DType t) { return t == DType::float32 || t == DType::float64; }

}  // namespace tg
