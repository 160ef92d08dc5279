// What is done to a recorded graph before it is laid out in memory. Each pass leaves a graph that
// computes the same bits, unless it says otherwise. Includes no kernels.
#pragma once

#include "graph.h"

namespace tg::program {

// Computes what several ops would compute alike once.
void share_common(Graph& graph);
// Moves to `setup` what is the same in every step: ops on constants and on nothing (fills, ranges).
void hoist_constants(Graph& graph);
// Drops instructions that neither write to anything outside nor lead to an output.
void drop_dead(Graph& graph);

// Joins elementwise ops on one shape into chains that run tile by tile, behind the product whose
// result they read if there is one; then sums of columns of what such a chain stores join it. What
// only the chain needs is never stored.
void fuse_chains(Graph& graph);

// Whether an op computes each element of its result from the same element of its operands alone.
bool is_elementwise(Op op);

}  // namespace tg::program
