// The backend's functions on lists of parameters: fused optimizer updates, gradient norms, scaling
// and clipping, and the accumulation of gradients. One call for all; compiled once, for the
// baseline.
#pragma once

#include "../core/backend.h"
#include "optimizers_table.h"

namespace tg::cpu {

// One step of rule `rule` (an OptimizerRule) for every item; `numbers` as kOptimizerInfo[rule]
// lists them. Elementwise: bits depend on neither threads nor an element's place. Empty items are
// fine; other items' arrays must not overlap.
Status optimize(const OptimizersTable& table, ExecContext* ctx, int rule, const double* numbers,
                const OptimizerItem* items, int n);

// √Σ g² over all gradients: squares and sums in double, in blocks at fixed places, so that threads
// and instruction set do not matter. NaN and Inf propagate; float64 gradients beyond 1e154 give
// Inf.
Status gradient_norm(const OptimizersTable& table, ExecContext* ctx, const OptimizerItem* items,
                     int n, double* norm);

// x *= factor, and x limited to [-limit, limit] where NaN stays. Tensors are float and dense: their
// elements fill count · size bytes from data on, in any order of strides.
Status scale(const OptimizersTable& table, ExecContext* ctx, const TensorView* tensors, int n,
             double factor);
Status clip(const OptimizersTable& table, ExecContext* ctx, const TensorView* tensors, int n,
            double limit);

// y += x; float, dense, of one dtype, shape and strides. x may be y.
Status accumulate(const OptimizersTable& table, ExecContext* ctx, const TensorView* y,
                  const TensorView* x);

}  // namespace tg::cpu
