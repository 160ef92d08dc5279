// Where the values of a graph lie in one arena: those that are never needed at the same time share
// memory. Includes no kernels.
#pragma once

#include "graph.h"

namespace tg::program {

struct Plan {
  std::vector<size_t> offset;    // of each value; external ones have none
  std::vector<int> first, last;  // instructions of the body between which a value is in use:
                                 // inputs, constants and outputs from -1 or to body.size()
  size_t bytes = 0;              // of the arena
  size_t sum = 0;                // what the computed values would take without sharing
};

// Ops that write their result over an operand which nobody needs afterwards do so.
Plan make_plan(const Graph& graph);

}  // namespace tg::program
