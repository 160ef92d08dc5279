// The families of cases, one file each.
#pragma once

#include "harness.h"

namespace tg::test {

// clang-format off
#define TG_FAMILIES(X) \
  X(chain) \
  X(convolution) \
  X(copy) \
  X(elementwise) \
  X(library) \
  X(matmul) \
  X(norm) \
  X(optimizers) \
  X(pool) \
  X(random) \
  X(reduce) \
  X(shape_ops) \
  X(softmax)
// clang-format on

#define TG_DECLARE(family) void family##_cases(Harness& h);
TG_FAMILIES(TG_DECLARE)
#undef TG_DECLARE

}  // namespace tg::test
