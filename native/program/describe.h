// A graph as JSON, for people: what describe() prints and draws.
#pragma once

#include <string>

#include "plan.h"

namespace tg::program {

// {"instructions": [{"name", "out", "in", "writes", "parts", "setup"}],
//  "values": [{"kind", "bytes", "offset"}], "inputs", "outputs", "arenaBytes", "sumBytes"};
//  operands
// are {"value", "shape", "dtype"} or {"number"}. An optimizer's "in" has a parameter, its gradient
// and "states" tensors for each. Without a plan there are no offsets. Read by
// lib/compile/describe.ts.
std::string describe(const Graph& graph, const Plan* plan);

}  // namespace tg::program
