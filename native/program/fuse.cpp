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

bool plain_float(const TensorView& view) {
  return is_wide_float(view.dtype) && view.contiguous() && view.shape.ndim > 0;
}

// A stage stores bool or float results in order.
bool can_be_stage(const Instruction& i) {
  for (const Operand& o : i.in)
    if (!is_wide_float(o.view.dtype) && o.view.dtype != DType::boolean) return false;
  return i.kind == Instruction::Kind::op && is_elementwise(i.op) &&
         i.in.size() <= kMaxStageInputs && i.out.view.contiguous() && i.out.view.shape.ndim > 0 &&
         (is_wide_float(i.out.view.dtype) || i.out.view.dtype == DType::boolean);
}

bool can_be_root(const Instruction& i) {
  return i.kind == Instruction::Kind::op && (i.op == op_matmul || i.op == op_linear) &&
         plain_float(i.out.view);
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
               const Instruction& next) {
  const Shape& shape = body[first].out.view.shape;
  if (!can_be_stage(next) || next.out.view.shape != shape) return false;
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

// Moves elementwise ops up, right behind what they wait for, if a chain can form there.
void gather_neighbours(std::vector<Instruction>& body) {
  for (size_t k = 1; k < body.size(); ++k) {
    if (!can_be_stage(body[k])) continue;
    size_t at = k;
    const auto waits_for = [&](const Instruction& before) {
      bool waits = touches(before, body[k].out.value, false);
      for (const Operand& o : body[k].in)
        waits = waits || (o.value >= 0 && touches(before, o.value, true));
      return waits;
    };
    while (at > 0 && !waits_for(body[at - 1])) --at;
    if (at == k || at == 0) continue;
    const Instruction& before = body[at - 1];
    if ((can_be_root(before) || can_be_stage(before)) && continues(body, at - 1, at - 1, body[k]))
      std::rotate(body.begin() + static_cast<long>(at), body.begin() + static_cast<long>(k),
                  body.begin() + static_cast<long>(k) + 1);
  }
}

}  // namespace

void fuse_chains(Graph& graph) {
  std::vector<Instruction>& body = graph.body;
  gather_neighbours(body);
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
    if (can_be_root(body[k]) || can_be_stage(body[k])) {
      const size_t limit = kMaxChain + (can_be_root(body[k]) ? 1u : 0u);
      while (last + 1 < body.size() && last + 2 - k <= limit &&
             continues(body, k, last, body[last + 1]))
        ++last;
      bool ok = true;
      for (const Operand& o : body[k].in)
        ok = ok && (can_be_root(body[k]) || readable(o, body[k].out.view.shape));
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
      const bool root = can_be_root(part);
      if (!root && value.kind == Value::Kind::computed &&
          inside == uses[static_cast<size_t>(part.out.value)])
        value.kind = Value::Kind::passing;
    }
    result.push_back(static_cast<Instruction&&>(chain));
  }
  body.swap(result);
}

}  // namespace tg::program
