// All kernels of one instruction set. Plain data; each isa/*.cpp defines one of these and exports
// nothing else.
#pragma once

#include "bfloat16_table.h"
#include "convolution_table.h"
#include "elementwise_table.h"
#include "gemm_table.h"
#include "norm_table.h"
#include "optimizers_table.h"
#include "pool_table.h"
#include "reduce_table.h"
#include "softmax_table.h"

namespace tg::cpu {

struct KernelTable {
  const char* isa;
  ElementwiseTable elementwise;
  ReduceTable reduce;
  SoftmaxTable softmax;
  OptimizersTable optimizers;
  GemmTable gemm;
  NormTable norm;
  PoolTable pool;
  ConvolutionTable convolution;
  Bfloat16Table bfloat16;
};

}  // namespace tg::cpu
