#include "passes.h"

#include <cstring>

namespace tg::program {

namespace {

// How often each value is written to.
std::vector<int> writes_of(const Graph& graph) {
  std::vector<int> writes(graph.values.size());
  for (const Instruction& i : graph.body)
    for_writes(i, [&](const Operand& o) { ++writes[static_cast<size_t>(o.value)]; });
  return writes;
}

// An op is compared with this many before it: enough for neighbours, and never quadratic.
constexpr size_t kLookBack = 256;

bool same_view(const TensorView& a, const TensorView& b) {
  return a.data == b.data && a.dtype == b.dtype && a.shape == b.shape && a.same_layout(b);
}

bool same_operand(const Graph& graph, const Operand& a, const Operand& b) {
  if (a.value != b.value || !same_view(a.view, b.view)) return false;
  return a.value >= 0 ||
         std::memcmp(&graph.numbers[static_cast<size_t>(a.number)],
                     &graph.numbers[static_cast<size_t>(b.number)], sizeof(double)) == 0;
}

bool same_op(const Graph& graph, const Instruction& a, const Instruction& b) {
  if (a.kind != Instruction::Kind::op || b.kind != a.kind || a.op != b.op || a.stream >= 0 ||
      a.in.size() != b.in.size() || !same_view(a.out.view, b.out.view) ||
      std::memcmp(&a.attrs, &b.attrs, sizeof a.attrs) != 0)
    return false;
  for (size_t k = 0; k < a.in.size(); ++k)
    if (!same_operand(graph, a.in[k], b.in[k])) return false;
  return true;
}

}  // namespace

void share_common(Graph& graph) {
  const std::vector<int> writes = writes_of(graph);
  const auto once = [&](const Operand& o) { return writes[static_cast<size_t>(o.value)] <= 1; };
  std::vector<int> instead(graph.values.size(), -1);
  const auto replace = [&](Operand& o) {
    if (o.value >= 0 && instead[static_cast<size_t>(o.value)] >= 0)
      o.value = instead[static_cast<size_t>(o.value)];
  };
  std::vector<Instruction> kept;
  for (Instruction& i : graph.body) {
    for (Operand& o : i.in) replace(o);
    const Instruction* twin = nullptr;
    bool stable = i.kind == Instruction::Kind::op && once(i.out);
    for_reads(i, [&](const Operand& o) {
      const Value& value = graph.values[static_cast<size_t>(o.value)];
      // What is written to in mid-step may differ between the two.
      stable =
          stable && (value.kind == Value::Kind::external ? writes[static_cast<size_t>(o.value)] == 0
                                                         : once(o));
    });
    for (size_t back = 1; stable && !twin && back <= kLookBack && back <= kept.size(); ++back) {
      const Instruction& before = kept[kept.size() - back];
      if (same_op(graph, before, i) && once(before.out)) twin = &before;
    }
    if (twin)
      instead[static_cast<size_t>(i.out.value)] = twin->out.value;
    else
      kept.push_back(static_cast<Instruction&&>(i));
  }
  graph.body.swap(kept);
  for (Operand& o : graph.outputs) replace(o);
}

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
