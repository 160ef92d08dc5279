// Conversions between bfloat16 and float32, on integer lanes: the same on every instruction set.
#pragma once

#include "../bfloat16_table.h"
#include "vec.h"

namespace TG_ISA {
namespace {

// Plain loops: the compiler makes full-width shifts, compares and packs of them.
void widen_bfloat16(float* __restrict out, const uint16_t* __restrict x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t bits = static_cast<uint32_t>(x[i]) << 16;
    __builtin_memcpy(out + i, &bits, sizeof bits);
  }
}

void narrow_bfloat16(uint16_t* __restrict out, const float* __restrict x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits;
    __builtin_memcpy(&bits, x + i, sizeof bits);
    const uint32_t rounded = bits + 0x7FFF + (bits >> 16 & 1);
    const bool nan = (bits & 0x7FFFFFFF) > 0x7F800000;
    out[i] = static_cast<uint16_t>((nan ? bits | 0x400000 : rounded) >> 16);
  }
}

constexpr tg::cpu::Bfloat16Table kBfloat16Table = {widen_bfloat16, narrow_bfloat16};

}  // namespace
}  // namespace TG_ISA
