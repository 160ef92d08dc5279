#include "plan.h"

#include <algorithm>

#include "passes.h"

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
    if (graph.values[static_cast<size_t>(value)].kind == Value::Kind::passing) return;
    int &first = plan.first[static_cast<size_t>(value)],
        &last = plan.last[static_cast<size_t>(value)];
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
class InPlace {
 public:
  InPlace(const Graph& graph, const Plan& plan)
      : over(graph.values.size(), -1), graph_(graph), plan_(plan) {}

  std::vector<int> over;

  void visit(const Instruction& i, int at) {
    if (i.kind == Instruction::Kind::op && is_elementwise(i.op)) {
      visit_parts(&i, 1, at);
    } else if (i.kind == Instruction::Kind::chain) {
      visit_parts(i.parts.data(), i.parts.size(), at);
    }
  }

 private:
  void visit_parts(const Instruction* parts, size_t n, int at) {
    std::vector<int> taken;
    for (size_t s = 0; s < n; ++s) {
      const Operand& out = parts[s].out;
      if (!is_elementwise(parts[s].op) ||
          graph_.values[static_cast<size_t>(out.value)].kind != Value::Kind::computed ||
          plan_.first[static_cast<size_t>(out.value)] != at)
        continue;
      for (size_t from = 0; from <= s && over[static_cast<size_t>(out.value)] < 0; ++from)
        for (const Operand& o : candidates(parts[from], from < s)) {
          if (!fits(o, out, at) || !read_last(parts, n, s, o)) continue;
          bool free = true;
          for (int t : taken) free = free && t != o.value;
          if (!free) continue;
          over[static_cast<size_t>(out.value)] = o.value;
          taken.push_back(o.value);
          break;
        }
    }
  }

  // The product's result, and what stages read.
  static std::vector<Operand> candidates(const Instruction& part, bool earlier) {
    if (!is_elementwise(part.op)) return {part.out};
    return earlier ? std::vector<Operand>{} : part.in;
  }

  // Exactly the same bytes, so that each chunk is read before it is written.
  bool fits(const Operand& o, const Operand& out, int at) const {
    if (o.value < 0) return false;
    const size_t in = static_cast<size_t>(o.value);
    const Value& value = graph_.values[in];
    return value.kind == Value::Kind::computed && !value.constant && plan_.last[in] == at &&
           !o.view.data && value.bytes == graph_.values[static_cast<size_t>(out.value)].bytes &&
           o.view.dtype == out.view.dtype && o.view.shape == out.view.shape &&
           o.view.contiguous() && out.view.contiguous();
  }

  // Whether stage s is the last to read the value, and all read it as it lies; no product reads it.
  static bool read_last(const Instruction* parts, size_t n, size_t s, const Operand& wanted) {
    for (size_t k = 0; k < n; ++k) {
      for (const Operand& o : parts[k].in) {
        if (o.value != wanted.value) continue;
        if (k > s || !is_elementwise(parts[k].op) || o.view.data || !o.view.contiguous() ||
            o.view.shape != wanted.view.shape)
          return false;
      }
    }
    return true;
  }

  const Graph& graph_;
  const Plan& plan_;
};

}  // namespace

Plan make_plan(const Graph& graph) {
  Plan plan;
  find_lifetimes(graph, plan);
  InPlace in_place(graph, plan);
  for (size_t k = 0; k < graph.body.size(); ++k) in_place.visit(graph.body[k], static_cast<int>(k));
  const std::vector<int>& over = in_place.over;
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
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), b,
                         [](const Block* x, const Block* y) { return x->offset < y->offset; }),
        b);
  }
  for (size_t v = 0; v < n; ++v) {
    const int b = block_of[static_cast<size_t>(root[v])];
    if (b >= 0) plan.offset[v] = blocks[static_cast<size_t>(b)].offset;
  }
  return plan;
}

}  // namespace tg::program
