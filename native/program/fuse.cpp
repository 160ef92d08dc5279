// The pass that makes chains: see passes.h.
#include <algorithm>

#include "../core/chain.h"
#include "passes.h"

namespace tg::program {

namespace {

bool touches(const Instruction& i, int value, bool writes_only) {
  bool found = false;
  const auto look = [&](const Operand& o) { found = found || o.value == value; };
  for_writes(i, look);
  if (!writes_only) for_reads(i, look);
  return found;
}

// Chains are of these and bool. The CPU's have no bfloat16.
bool is_number(DType dtype, uint8_t device) {
  return is_wide_float(dtype) || (dtype == DType::bfloat16 && device != kCpu);
}

// A stage stores its result in order.
bool can_be_stage(const Instruction& i, uint8_t device) {
  const auto fits = [&](const Operand& o) {
    return is_number(o.view.dtype, device) || o.view.dtype == DType::boolean;
  };
  for (const Operand& o : i.in)
    if (!fits(o)) return false;
  return i.kind == Instruction::Kind::op && is_elementwise(i.op) &&
         i.in.size() <= kMaxStageInputs && i.out.view.contiguous() && i.out.view.shape.ndim > 0 &&
         fits(i.out);
}

bool can_be_root(const Instruction& i, uint8_t device) {
  return i.kind == Instruction::Kind::op && (i.op == op_matmul || i.op == op_linear) &&
         is_number(i.out.view.dtype, device) && i.out.view.contiguous() &&
         i.out.view.shape.ndim > 0;
}

// What a chunk can read without looking all over memory: the shape itself in order, a repeated last
// part of it, or one number.
bool readable(const Operand& o, const Shape& shape) {
  if (o.value < 0 || o.view.shape.count() == 1) return true;
  if (!o.view.contiguous()) return false;
  const int lead = shape.ndim - o.view.shape.ndim;
  for (int d = 0; d < o.view.shape.ndim; ++d)
    if (lead < 0 || o.view.shape[d] != shape[lead + d]) return false;
  return true;
}

// Whether `next` can follow the instructions body[first … last]: it reads a result of theirs as it
// is, and everything else is readable.
bool continues(const std::vector<Instruction>& body, size_t first, size_t last,
               const Instruction& next, uint8_t device) {
  const Shape& shape = body[first].out.view.shape;
  if (!can_be_stage(next, device) || next.out.view.shape != shape) return false;
  bool connected = false;
  for (const Operand& o : next.in) {
    bool ours = false;
    for (size_t k = first; k <= last; ++k) ours = ours || body[k].out.value == o.value;
    if (ours && (o.view.shape != shape || !o.view.contiguous() || o.view.data)) return false;
    if (!ours && !readable(o, shape)) return false;
    connected = connected || ours;
  }
  return connected;
}

// Whether `i` must stay behind `before`, which it was recorded behind.
bool waits_for(const Instruction& i, const Instruction& before) {
  bool waits = touches(before, i.out.value, false);
  for (const Operand& o : i.in) waits = waits || (o.value >= 0 && touches(before, o.value, true));
  return waits;
}

// Moves elementwise ops up, right behind what they wait for, if a chain can form there.
void gather_neighbours(std::vector<Instruction>& body, uint8_t device) {
  for (size_t k = 1; k < body.size(); ++k) {
    if (!can_be_stage(body[k], device)) continue;
    size_t at = k;
    while (at > 0 && !waits_for(body[k], body[at - 1])) --at;
    if (at == k || at == 0) continue;
    const Instruction& before = body[at - 1];
    if ((can_be_root(before, device) || can_be_stage(before, device)) &&
        continues(body, at - 1, at - 1, body[k], device))
      std::rotate(body.begin() + static_cast<long>(at), body.begin() + static_cast<long>(k),
                  body.begin() + static_cast<long>(k) + 1);
  }
}

// Whether this sums the columns of a value as it lies, `width` of them.
bool sums_columns(const Instruction& i, int64_t width) {
  const TensorView& x = i.in[0].view;
  const int last = x.shape.ndim - 1;
  if (last < 1 || x.shape[last] != width || x.data || !x.contiguous()) return false;
  return reduced_axes({i.op, &x, 1, i.out.view, i.attrs}) == (1u << last) - 1;
}

// Moves sums of columns, which gradients of biases are, into the chain that stores what they read,
// if it begins with a product: whoever makes a tile of that can sum its columns, too.
void join_sums(std::vector<Instruction>& body, uint8_t device) {
  std::vector<Instruction> result;
  for (Instruction& i : body) {
    const bool sum = i.kind == Instruction::Kind::op && (i.op == op_sum || i.op == op_sumTo);
    size_t at = result.size();
    while (sum && at > 0 && !waits_for(i, result[at - 1])) --at;
    Instruction* const chain = sum && at > 0 ? &result[at - 1] : nullptr;
    bool joins = false;
    if (chain && chain->kind == Instruction::Kind::chain && can_be_root(chain->parts[0], device))
      for (const Instruction& part : chain->parts) {
        const Shape& shape = part.out.view.shape;
        joins = joins || (can_be_stage(part, device) && part.out.value == i.in[0].value &&
                          part.out.view.dtype == i.in[0].view.dtype &&
                          sums_columns(i, shape[shape.ndim - 1]));
      }
    (joins ? chain->parts : result).push_back(static_cast<Instruction&&>(i));
  }
  body.swap(result);
}

}  // namespace

void fuse_chains(Graph& graph) {
  std::vector<Instruction>& body = graph.body;
  gather_neighbours(body, graph.device);
  // How often each value is used: one that all of its uses are in a chain for is never stored.
  std::vector<int> uses(graph.values.size());
  const auto count = [&](const Operand& o) { ++uses[static_cast<size_t>(o.value)]; };
  for (const Instruction& i : body) {
    for_reads(i, count);
    for_writes(i, count);
  }
  for (const Operand& o : graph.outputs) count(o);

  std::vector<Instruction> result;
  for (size_t k = 0; k < body.size();) {
    size_t last = k;
    const bool root = can_be_root(body[k], graph.device);
    if (root || can_be_stage(body[k], graph.device)) {
      const size_t limit = kMaxChain + (root ? 1u : 0u);
      while (last + 1 < body.size() && last + 2 - k <= limit &&
             continues(body, k, last, body[last + 1], graph.device))
        ++last;
      bool ok = true;
      for (const Operand& o : body[k].in) ok = ok && (root || readable(o, body[k].out.view.shape));
      if (!ok) last = k;
    }
    if (last == k) {
      result.push_back(static_cast<Instruction&&>(body[k++]));
      continue;
    }
    Instruction chain;
    chain.kind = Instruction::Kind::chain;
    for (; k <= last; ++k) chain.parts.push_back(static_cast<Instruction&&>(body[k]));
    for (const Instruction& part : chain.parts) {
      Value& value = graph.values[static_cast<size_t>(part.out.value)];
      int inside = 1;
      for (const Instruction& other : chain.parts)
        for (const Operand& o : other.in) inside += o.value == part.out.value;
      if (!can_be_root(part, graph.device) && value.kind == Value::Kind::computed &&
          inside == uses[static_cast<size_t>(part.out.value)])
        value.kind = Value::Kind::passing;
    }
    result.push_back(static_cast<Instruction&&>(chain));
  }
  body.swap(result);
  join_sums(body, graph.device);
}

}  // namespace tg::program
