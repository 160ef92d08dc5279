// Opcodes. No functions here: kernel objects of every instruction set include this header.
#pragma once

#include <stdint.h>

namespace tg {

// op_relu, op_add, … in schema order, then the fused backward kernels that elementwise lines imply:
// op_relu_dx (inputs g, then x and y as the line keeps them), op_mul_dx, op_mul_dy (g, then x, y, z
// likewise).
enum Op : uint16_t {
#define TG_UNARY(name, types, keeps, forward, dx, attrs, doc) op_##name,
#define TG_BINARY(name, types, keeps, forward, dx, dy, attrs, doc) op_##name,
#define TG_COMPARE(name, forward, doc) op_##name,
#define TG_REDUCE(name, types, result, attrs, doc) op_##name,
#define TG_OP(name, inputs, attrs, doc) op_##name,
#include "../schema/ops.h"
#define TG_UNARY(name, types, keeps, forward, dx, attrs, doc) op_##name##_dx,
#define TG_BINARY(name, types, keeps, forward, dx, dy, attrs, doc) op_##name##_dx, op_##name##_dy,
#include "../schema/ops.h"
  kOps,
};

}  // namespace tg
