// Single numbers in host memory: losses and norms.
#pragma once

#include <cstring>
#include <limits>

#include "../core/op.h"

namespace tg::program {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

inline bool finite(double x) { return x - x == 0; }

// Element i of a dense float tensor.
inline double number_at(const TensorView& view, int64_t i) {
  if (view.dtype == DType::float64) return static_cast<const double*>(view.data)[i];
  if (view.dtype == DType::float32)
    return static_cast<double>(static_cast<const float*>(view.data)[i]);
  const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(view.data)[i]) << 16;
  float widened;
  std::memcpy(&widened, &bits, sizeof widened);
  return static_cast<double>(widened);
}

}  // namespace tg::program
