#include "passes.h"

namespace tg::program {

namespace {

// How often each value is written to.
std::vector<int> writes_of(const Graph& graph) {
  std::vector<int> writes(graph.values.size());
  for (const Instruction& i : graph.body)
    for_writes(i, [&](const Operand& o) { ++writes[static_cast<size_t>(o.value)]; });
  return writes;
}

}  // namespace

void hoist_constants(Graph& graph) {
  const std::vector<int> writes = writes_of(graph);
  std::vector<Instruction> rest;
  for (Instruction& i : graph.body) {
    bool constant = i.kind == Instruction::Kind::op && i.stream < 0 &&
                    writes[static_cast<size_t>(i.out.value)] == 1;
    for_reads(i, [&](const Operand& o) {
      constant = constant && graph.values[static_cast<size_t>(o.value)].constant;
    });
    if (constant) graph.values[static_cast<size_t>(i.out.value)].constant = true;
    (constant ? graph.setup : rest).push_back(static_cast<Instruction&&>(i));
  }
  graph.body.swap(rest);
}

void drop_dead(Graph& graph) {
  std::vector<bool> live(graph.values.size());
  for (const Operand& o : graph.outputs) live[static_cast<size_t>(o.value)] = true;
  // From the end: an instruction is needed if it writes to a live value, or outside.
  const auto sweep = [&](std::vector<Instruction>& list) {
    std::vector<Instruction> kept;
    for (size_t k = list.size(); k-- > 0;) {
      Instruction& i = list[k];
      bool needed = false;
      for_writes(i, [&](const Operand& o) {
        const size_t v = static_cast<size_t>(o.value);
        needed = needed || live[v] || graph.values[v].kind == Value::Kind::external;
      });
      if (!needed) continue;
      for_reads(i, [&](const Operand& o) { live[static_cast<size_t>(o.value)] = true; });
      kept.push_back(static_cast<Instruction&&>(i));
    }
    list.clear();
    for (size_t k = kept.size(); k-- > 0;) list.push_back(static_cast<Instruction&&>(kept[k]));
  };
  sweep(graph.body);
  sweep(graph.setup);
}

bool is_elementwise(Op op) {
  switch (op) {
#define TG_UNARY(name, types, keeps, forward, dx, attrs, doc) \
  case op_##name:                                             \
  case op_##name##_dx:
#define TG_BINARY(name, types, keeps, forward, dx, dy, attrs, doc) \
  case op_##name:                                                  \
  case op_##name##_dx:                                             \
  case op_##name##_dy:
#define TG_COMPARE(name, forward, doc) case op_##name:
#include "../schema/ops.h"
    case op_where:
      return true;
    default:
      return false;
  }
}

}  // namespace tg::program
