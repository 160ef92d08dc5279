// bfloat16 as an element: how it is made from wider floats and read. The same on every device.
#pragma once

#include <cstring>

#include "backend.h"

namespace tg {

// The upper half of a float32: its range, and 8 bits of precision (u = 2⁻⁸).
struct BFloat16 {
  uint16_t bits;
};

// Exact.
TG_DEVICE_TOO inline float to_float(BFloat16 x) {
  const uint32_t bits = uint32_t{x.bits} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// To nearest even; NaN stays a (quiet) NaN.
TG_DEVICE_TOO inline BFloat16 to_bfloat16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (x != x) return {static_cast<uint16_t>(bits >> 16 | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
}

// To nearest even with one rounding: what float32 loses is kept as a sticky last bit.
TG_DEVICE_TOO inline BFloat16 to_bfloat16(double x) {
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

}  // namespace tg
