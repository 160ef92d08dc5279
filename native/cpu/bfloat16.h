// bfloat16 on the CPU: its element type and conversions, and the one place where ops that have no
// kernel for it run in float32. Includes no kernel headers.
#pragma once

#include <cstring>

#include "../core/backend.h"
#include "bfloat16_table.h"

namespace tg::cpu {

// The upper half of a float32: its range, and 8 bits of precision (u = 2⁻⁸).
struct BFloat16 {
  uint16_t bits;
};

// Exact.
inline float to_float(BFloat16 x) {
  const uint32_t bits = uint32_t{x.bits} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// To nearest even; NaN stays a (quiet) NaN.
inline BFloat16 to_bfloat16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (x != x) return {static_cast<uint16_t>(bits >> 16 | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
}

// To nearest even with one rounding: what float32 loses is kept as a sticky last bit.
inline BFloat16 to_bfloat16(double x) {
  float f = static_cast<float>(x);
  const double rest = x - static_cast<double>(f);
  if (rest != 0 && x - x == 0) {
    uint32_t bits;
    std::memcpy(&bits, &f, sizeof bits);
    if ((rest < 0) == (x > 0)) --bits;  // rounded away from zero (also to infinity): back
    bits |= 1;
    std::memcpy(&f, &bits, sizeof f);
  }
  return to_bfloat16(f);
}

// Whether an input or the result is bfloat16.
bool has_bfloat16(const OpCall& call);

// Runs `float32_op`, a float32 op of any kind, on float32 copies of the bfloat16 operands, and
// rounds what it computes once. Integer and bool operands pass as they are. Random numbers stay
// below their upper bound.
Status run_widened(const Bfloat16Table& table, ExecContext* ctx, const OpCall& call,
                   Status (*float32_op)(const void* kernels, ExecContext*, const OpCall&),
                   const void* kernels);

// x, of bfloat16 and any strides, as contiguous float32. No overlap.
void widen(const Bfloat16Table& table, ThreadPool& threads, const TensorView& x, float* out);
// count float32 at x rounded to contiguous bfloat16. No overlap.
void narrow(const Bfloat16Table& table, ThreadPool& threads, const float* x, int64_t count,
            void* out);

}  // namespace tg::cpu
