#include "plan.h"

#include <algorithm>

namespace tg::program {

namespace {

constexpr size_t kAlign = 64;

size_t padded(size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

// Marks when each value is in use. Setup runs before instruction 0.
void find_lifetimes(const Graph& graph, Plan& plan) {
  const int end = static_cast<int>(graph.body.size());
  plan.first.assign(graph.values.size(), end + 1);
  plan.last.assign(graph.values.size(), -2);
  const auto touch = [&](int value, int at) {
    int &first = plan.first[static_cast<size_t>(value)], &last = plan.last[static_cast<size_t>(value)];
    if (at < first) first = at;
    if (at > last) last = at;
  };
  const auto touch_all = [&](const Instruction& i, int at) {
    for_reads(i, [&](const Operand& o) { touch(o.value, at); });
    for_writes(i, [&](const Operand& o) { touch(o.value, at); });
  };
  for (const Instruction& i : graph.setup) touch_all(i, -1);
  for (int k = 0; k < end; ++k) touch_all(graph.body[static_cast<size_t>(k)], k);
  for (const Operand& o : graph.inputs) {
    touch(o.value, -1);
    touch(o.value, end);  // a step may be run again to find where a NaN came from
  }
  for (const Graph::StepNumber& n : graph.step_numbers) {
    touch(n.to.value, -1);
    touch(n.to.value, end);
  }
  for (const Operand& o : graph.outputs) touch(o.value, end);
  for (size_t v = 0; v < graph.values.size(); ++v)
    if (graph.values[v].constant && plan.last[v] >= -1) plan.last[v] = end;
}

// Lets results take over the memory of operands that die with them: over[v] is whose.
std::vector<int> find_in_place(const Graph& graph, const Plan& plan) {
  std::vector<int> over(graph.values.size(), -1);
  for (size_t k = 0; k < graph.body.size(); ++k) {
    const Instruction& i = graph.body[k];
    if (i.kind != Instruction::Kind::op || !is_elementwise(i.op)) continue;
    const size_t out = static_cast<size_t>(i.out.value);
    for (const Operand& o : i.in) {
      if (o.value < 0) continue;
      const size_t in = static_cast<size_t>(o.value);
      const Value& value = graph.values[in];
      if (value.kind != Value::Kind::computed || value.constant ||
          plan.last[in] != static_cast<int>(k) || plan.first[out] != static_cast<int>(k))
        continue;
      // Exactly the same bytes, so that each chunk is read before it is written.
      if (o.view.data || value.bytes != graph.values[out].bytes ||
          o.view.dtype != i.out.view.dtype || o.view.shape != i.out.view.shape ||
          !o.view.contiguous() || !i.out.view.contiguous())
        continue;
      // Another operand may look at the same memory in another order.
      int uses = 0;
      for (const Operand& other : i.in) uses += other.value == o.value;
      if (uses > 1) continue;
      over[out] = o.value;
      break;
    }
  }
  return over;
}

}  // namespace

Plan make_plan(const Graph& graph) {
  Plan plan;
  find_lifetimes(graph, plan);
  const std::vector<int> over = find_in_place(graph, plan);
  const size_t n = graph.values.size();
  plan.offset.assign(n, 0);

  // Values that share memory by being written in place form one block.
  struct Block {
    size_t bytes;
    int first, last;
    int root;
    size_t offset;
  };
  std::vector<int> root(n);
  std::vector<Block> blocks;
  std::vector<int> block_of(n, -1);
  for (size_t v = 0; v < n; ++v) {
    root[v] = static_cast<int>(v);
    while (over[static_cast<size_t>(root[v])] >= 0) root[v] = over[static_cast<size_t>(root[v])];
    const Value& value = graph.values[v];
    if (value.kind == Value::Kind::external || plan.last[v] < -1) continue;
    if (value.kind == Value::Kind::computed) plan.sum += padded(value.bytes);
    int& b = block_of[static_cast<size_t>(root[v])];
    if (b < 0) {
      b = static_cast<int>(blocks.size());
      blocks.push_back({padded(value.bytes), plan.first[v], plan.last[v], root[v], 0});
    } else {
      Block& block = blocks[static_cast<size_t>(b)];
      block.first = std::min(block.first, plan.first[v]);
      block.last = std::max(block.last, plan.last[v]);
    }
  }

  // Largest first, each at the lowest place that is free for its whole life.
  std::vector<Block*> placed, order;
  for (Block& b : blocks) order.push_back(&b);
  std::sort(order.begin(), order.end(), [](const Block* a, const Block* b) {
    return a->bytes != b->bytes ? a->bytes > b->bytes : a->root < b->root;
  });
  for (Block* b : order) {
    size_t at = 0;
    for (const Block* other : placed) {  // sorted by offset
      if (other->last < b->first || b->last < other->first) continue;
      if (other->offset >= at + b->bytes) break;
      at = std::max(at, other->offset + other->bytes);
    }
    b->offset = at;
    plan.bytes = std::max(plan.bytes, at + b->bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), b,
                                   [](const Block* x, const Block* y) { return x->offset < y->offset; }),
                  b);
  }
  for (size_t v = 0; v < n; ++v) {
    const int b = block_of[static_cast<size_t>(root[v])];
    if (b >= 0) plan.offset[v] = blocks[static_cast<size_t>(b)].offset;
  }
  return plan;
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
