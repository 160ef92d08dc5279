// What an ISA offers for optimizers: single-threaded kernels on dense ranges. A plain struct,
// shared by the ISA objects (which fill it) and the host code (which calls it); no functions here.
#pragma once

#include <stdint.h>

#include "../core/optimizer.h"

namespace tg::cpu {

// The elements of one call of sum_squares at most: where the norm's summation is cut, whatever the
// number of threads.
constexpr int64_t kNormBlock = 8192;

struct OptimizersTable {
  // Index 0 is float, 1 is double. No alignment is asked for; arrays must not overlap
  // but where said.
  // One update of n parameters by rule r: numbers as its line in the schema says, rounded to T.
  void (*update[kOptimizers][2])(const double* numbers, void* parameter, const void* gradient,
                                 void* const* state, int64_t n);
  // Σ x² in double, in 16 interleaved sums combined in a fixed order: the same bits on every ISA.
  double (*sum_squares[2])(const void* x, int64_t n);
  void (*scale[2])(void* x, int64_t n, double factor);
  // Limits x to [-limit, limit]; NaN stays.
  void (*clip[2])(void* x, int64_t n, double limit);
  // y += x; x may be y.
  void (*accumulate[2])(void* y, const void* x, int64_t n);
};

}  // namespace tg::cpu
