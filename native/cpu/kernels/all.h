// What every isa/*.cpp expands: all kernels, and the one symbol that its object exports.
#pragma once

#include "../table.h"
#include "bfloat16.h"
#include "convolution.h"
#include "elementwise.h"
#include "gemm.h"
#include "norm.h"
#include "optimizers.h"
#include "pool.h"
#include "reduce.h"
#include "softmax.h"

#define TG_JOIN_(a, b) a##b
#define TG_JOIN(a, b) TG_JOIN_(a, b)
#define TG_TEXT_(a) #a
#define TG_TEXT(a) TG_TEXT_(a)

extern "C" {
extern const tg::cpu::KernelTable TG_JOIN(tg_kernels_, TG_ISA);
const tg::cpu::KernelTable TG_JOIN(tg_kernels_, TG_ISA) = {
    TG_TEXT(TG_ISA),       TG_ISA::kElementwiseTable, TG_ISA::kReduceTable,
    TG_ISA::kSoftmaxTable, TG_ISA::kOptimizersTable,  TG_ISA::kGemmTable,
    TG_ISA::kNormTable,    TG_ISA::kPoolTable,        TG_ISA::kConvolutionTable,
    TG_ISA::kBfloat16Table};
}
