// A graph as JSON, for people: what describe() prints and draws.
#pragma once

#include <string>

#include "plan.h"

namespace tg::program {

// {"instructions": [{"name", "out", "in", "setup"}], "values": [{"kind", "bytes", "offset"}],
//  "inputs", "outputs", "arenaBytes", "sumBytes"}; operands are {"value", "shape", "dtype"} or
// {"number"}. Without a plan there are no offsets.
std::string describe(const Graph& graph, const Plan* plan);

}  // namespace tg::program
