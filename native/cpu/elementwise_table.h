// Elementwise kernels of one instruction set. Plain data; kernel objects include this header.
#pragma once

#include <stdint.h>

#include "../core/opcode.h"

namespace tg::cpu {

// out[i] = f(in[0][i], in[1][i], …) for i < n, all contiguous; out may be in[k] itself but may not
// overlap it otherwise. p: the numbers p0 … p3 of the schema line.
using ElementwiseFn = void (*)(void* out, const void* const* in, int64_t n, const double* p);

constexpr int kArithmeticTypes = 3;  // float32, float64, int32, in the order of DType

struct ElementwiseTable {
  ElementwiseFn fn[kOps][kArithmeticTypes];  // null where the schema says so; op_where included
};

}  // namespace tg::cpu
