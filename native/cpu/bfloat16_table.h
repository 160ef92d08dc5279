// bfloat16 kernels of one instruction set. Plain data; kernel objects include this header.
#pragma once

#include <stdint.h>

namespace tg::cpu {

// bfloat16 elements as their bits, contiguous. No overlap, no alignment.
struct Bfloat16Table {
  void (*widen)(float* out, const uint16_t* x, int64_t n);  // exact
  // To nearest even; a NaN becomes a quiet NaN with its upper bits.
  void (*narrow)(uint16_t* out, const float* x, int64_t n);
};

}  // namespace tg::cpu
