#include "program.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

#include "device_run.h"
#include "numbers.h"
#include "passes.h"

namespace tg::program {

template <int kBlock>
void* Program::scratch(void* owner, size_t bytes) {
  Program& self = *static_cast<Program*>(owner);
  Scratch& block = self.scratch_[kBlock];
  if (block.data && block.bytes >= bytes) return block.data;
  std::free(block.data);
  const size_t rounded = (bytes + 4095) / 4096 * 4096;
  block.data = std::aligned_alloc(64, rounded);
  block.bytes = block.data ? rounded : 0;
  ++self.allocations_;
  return block.data;
}

Program::Program(Engine& engine, std::unique_ptr<Graph> graph)
    : engine_(engine), graph_(std::move(graph)) {
  context_ = ExecContext{&engine.threads(), &error_, scratch<0>, this, {"", "", "", ""}};
  context_.operands = scratch<1>;
  context_.tf32 = engine.tf32();
}

Status Program::make(Engine& engine, std::unique_ptr<Graph> graph, std::unique_ptr<Program>* made) {
  std::unique_ptr<Program> self(new (std::nothrow) Program(engine, std::move(graph)));
  if (!self) return engine.error().set(Status::out_of_memory, "compile: no memory");
  Graph& g = *self->graph_;
  self->recorded_ = describe(g, nullptr);
  share_common(g);
  hoist_constants(g);
  drop_dead(g);
  fuse_chains(g);
  self->plan_ = make_plan(g);
  self->written_.assign(g.values.size(), false);
  for (const Instruction& i : g.body) {
    for_writes(i, [&](const Operand& o) { self->written_[static_cast<size_t>(o.value)] = true; });
    self->clips_ = self->clips_ || i.kind == Instruction::Kind::clip_norm;
  }
  const size_t bytes = self->plan_.bytes > 0 ? self->plan_.bytes : 1;
  DeviceState* state;
  TG_TRY(engine.ready(g.device, &state));
  self->arena_ = engine.allocate(*state, bytes);
  if (!self->arena_) return engine.out_of_memory(*state, "compile", bytes);
  self->find_loss();
  if (!state->is_cpu()) TG_TRY(self->open_device());
  TG_TRY(self->set_up());
  self->prepare();
  *made = std::move(self);
  return Status::ok;
}

// Computes what is the same in every step.
Status Program::set_up() {
  const StepArguments none{nullptr, 0, 0, OnNaN::ignore, false};
  StepResult result;
  for (const Instruction& i : graph_->setup) {
    views_.clear();
    Call call = prepare(i);
    call.op.in = views_.data();
    const Status status = device_ ? record(i, call, false) : run(i, call, none, &result);
    if (status != Status::ok) return engine_.error().set(status, "%s", error_.message());
  }
  if (!device_ || graph_->setup.empty()) return Status::ok;
  Status status = fetch_faults(device_->slots[0]);
  if (status == Status::ok) status = device_->finish(&error_);
  if (status == Status::ok) status = look_at_faults(device_->slots[0]);
  return status == Status::ok ? status : engine_.error().set(status, "%s", error_.message());
}

Program::~Program() {
  device_.reset();  // waits for the device
  if (arena_) engine_.release(arena_);
  for (Scratch& block : scratch_) std::free(block.data);
}

void* Program::address(const Operand& o) const {
  if (o.value < 0) return const_cast<double*>(&graph_->numbers[static_cast<size_t>(o.number)]);
  const Value& value = graph_->values[static_cast<size_t>(o.value)];
  char* base =
      static_cast<char*>(value.kind == Value::Kind::external ? value.storage->data : arena_->data);
  if (value.kind != Value::Kind::external) base += plan_.offset[static_cast<size_t>(o.value)];
  return base + reinterpret_cast<uintptr_t>(o.view.data);
}

TensorView Program::resolved(const Operand& o) const {
  TensorView view = o.view;
  view.data = address(o);
  return view;
}

int Program::prepare_chain(const Instruction& i) {
  std::unique_ptr<Chain> chain(new Chain{});
  const bool rooted = !is_elementwise(i.parts[0].op);
  if (rooted) {
    const Instruction& root = i.parts[0];
    for (const Operand& o : root.in) chain->root_in.push_back(resolved(o));
    chain->root = {root.op, chain->root_in.data(), static_cast<int>(root.in.size()),
                   resolved(root.out), root.attrs};
  }
  uint32_t numbers = 0;
  size_t s = rooted;
  for (; s < i.parts.size() && is_elementwise(i.parts[s].op); ++s) {
    const Instruction& part = i.parts[s];
    ChainStage stage = {};
    stage.op = part.op;
    stage.dtype = part.in[part.op == op_where ? 1 : 0].view.dtype;
    stage.out_dtype = part.out.view.dtype;
    stage.n_in = static_cast<int>(part.in.size());
    for (int k = 0; k < 4; ++k) stage.p[k] = part.attrs.p[k];
    for (size_t k = 0; k < part.in.size(); ++k) {
      const Operand& o = part.in[k];
      int from = static_cast<int>(chain->operands.size());
      for (size_t earlier = 0; earlier < s && o.value >= 0; ++earlier)
        if (i.parts[earlier].out.value == o.value)
          from = ~(rooted && earlier == 0 ? kMaxChain : static_cast<int>(earlier - rooted));
      if (from >= 0) {
        if (o.value < 0) numbers |= 1u << from;
        chain->operands.push_back(resolved(o));
      }
      stage.in[k] = from;
    }
    const bool stored =
        graph_->values[static_cast<size_t>(part.out.value)].kind != Value::Kind::passing;
    stage.out = stored ? address(part.out) : nullptr;
    chain->stages.push_back(stage);
  }
  for (size_t k = s; k < i.parts.size(); ++k) chain->sums_in.push_back(resolved(i.parts[k].in[0]));
  for (; s < i.parts.size(); ++s) {
    const Instruction& part = i.parts[s];
    chain->sums.push_back(
        {part.op, &chain->sums_in[chain->sums.size()], 1, resolved(part.out), part.attrs});
  }
  chain->call = {rooted ? &chain->root : nullptr,
                 i.parts[0].out.view.shape,
                 chain->operands.data(),
                 static_cast<int>(chain->operands.size()),
                 chain->stages.data(),
                 static_cast<int>(chain->stages.size()),
                 numbers,
                 chain->sums.data(),
                 static_cast<int>(chain->sums.size())};
  chains_.push_back(std::move(chain));
  return static_cast<int>(chains_.size()) - 1;
}

Program::Call Program::prepare(const Instruction& i) {
  Call call{{i.op, nullptr, static_cast<int>(i.in.size()), {}, i.attrs},
            views_.size(),
            items_.size(),
            0,
            -1};
  for (size_t k = 0; k < i.in.size(); ++k) {
    if (i.in[k].value < 0) call.op.numbers |= 1u << k;
    views_.push_back(resolved(i.in[k]));
  }
  if (i.kind == Instruction::Kind::op) call.op.out = resolved(i.out);
  if (i.kind == Instruction::Kind::chain) call.chain = prepare_chain(i);
  const TensorView* in = views_.data() + call.views;
  if (i.kind == Instruction::Kind::optimize) {
    const size_t each = 2 + static_cast<size_t>(kOptimizerInfo[i.rule].states);
    for (size_t k = 0; k < i.in.size(); k += each) {
      OptimizerItem item{in[k].data, in[k + 1].data, {}, in[k].shape.count(), in[k].dtype};
      for (size_t s = 0; s + 2 < each; ++s) item.state[s] = in[k + 2 + s].data;
      items_.push_back(item);
    }
  } else if (i.kind == Instruction::Kind::clip_norm) {
    for (size_t k = 0; k < i.in.size(); ++k)
      items_.push_back({nullptr, in[k].data, {}, in[k].shape.count(), in[k].dtype});
  }
  call.n_items = static_cast<int>(items_.size() - call.items);
  return call;
}

void Program::prepare() {
  calls_.clear();
  views_.clear();
  items_.clear();
  chains_.clear();
  for (const Instruction& i : graph_->body) calls_.push_back(prepare(i));
  for (Call& call : calls_) call.op.in = views_.data() + call.views;
}

Status Program::check(int64_t steps, OnNaN on_nan, bool want_norm,
                      const std::vector<Source>& sources) {
  bool moved = false;
  for (Value& value : graph_->values)
    if (!graph_->still_there(value, &moved))
      return engine_.error().set(
          Status::disposed,
          "a compiled function uses a tensor that was disposed of, or moved to another device, "
          "since "
          "it was compiled: keep parameters and constants, or compile again");
  if (moved) prepare();
  if (!device_) return Status::ok;
  if (moved) device_->drop_graphs();
  TG_TRY(prepare_slots(steps, sources));
  TG_TRY(record_graphs(guards(on_nan), false));
  if (want_norm) TG_TRY(record_graphs(guards(on_nan), true));
  return engine_.settle(device());  // what eager calls are about to write
}

Status Program::fill(size_t i, double handle) {
  const Operand& input = graph_->inputs[i];
  if (device_) return fill_on_device(i, handle);
  return engine_.read(handle, input.view.dtype, address(input), input.view.bytes());
}

void Program::gather(const std::vector<Source>& sources, const int32_t* order, int64_t step) {
  for (size_t i = 0; i < sources.size(); ++i) {
    const TensorView& input = graph_->inputs[i].view;
    const int64_t rows = input.shape[0];
    if (rows == 0) continue;
    const int32_t* row = order + step * rows;
    if (device_) {
      gather_on_device(i, sources[i], row);
      continue;
    }
    copy_rows(static_cast<char*>(address(graph_->inputs[i])), sources[i].rows, row, rows,
              input.bytes() / static_cast<size_t>(rows));
  }
}

void copy_rows(char* to, const char* from, const int32_t* row, int64_t count, size_t bytes) {
  for (int64_t r = 0; r < count; ++r, to += bytes)
    std::memcpy(to, from + static_cast<size_t>(row[r]) * bytes, bytes);
}

TensorView Program::output(size_t i) const { return resolved(graph_->outputs[i]); }

Status Program::run(const Instruction& i, Call& call, const StepArguments& arguments,
                    StepResult* result) {
  const Backend& backend = engine_.backend();
  TensorView* in = views_.data() + call.views;
  OptimizerItem* items = items_.data() + call.items;
  switch (i.kind) {
    case Instruction::Kind::op:
      if (i.stream >= 0) {
        call.op.attrs.seed = arguments.seed;
        call.op.attrs.stream = arguments.stream + static_cast<uint64_t>(i.stream);
      }
      return backend.run(&context_, &call.op);
    case Instruction::Kind::chain:
      return backend.run_chain(&context_, &chains_[static_cast<size_t>(call.chain)]->call);
    case Instruction::Kind::accumulate:
      return backend.accumulate(&context_, &in[0], &in[1]);
    case Instruction::Kind::assign:
      std::memcpy(in[0].data, in[1].data, in[0].bytes());
      return Status::ok;
    case Instruction::Kind::clip_value:
      return backend.clip(&context_, in, static_cast<int>(i.in.size()), i.limit);
    case Instruction::Kind::clip_norm: {
      TG_TRY(backend.gradient_norm(&context_, items, call.n_items, &result->norm));
      if (i.finite && !finite(result->norm)) return not_finite(result->norm);
      const double factor = clip_factor(result->norm, i.limit, i.finite);
      if (factor == 1) return Status::ok;
      return backend.scale(&context_, in, static_cast<int>(i.in.size()), factor);
    }
    case Instruction::Kind::optimize: {
      if (arguments.want_norm && !clips_) {
        double norm;
        TG_TRY(backend.gradient_norm(&context_, items, call.n_items, &norm));
        result->norm = std::isnan(result->norm) ? norm : std::hypot(result->norm, norm);
      }
      return backend.optimize(&context_, i.rule, arguments.numbers + i.numbers, items,
                              call.n_items);
    }
  }
  return Status::internal;
}

Status Program::not_finite(double norm) {
  return error_.set(Status::nonfinite,
                    "clipGradNorm: the norm of the gradients is %g; nothing was changed", norm);
}

Status Program::run_all(size_t from, size_t to, const StepArguments& arguments,
                        StepResult* result) {
  for (size_t k = from; k < to; ++k) TG_TRY(run(graph_->body[k], calls_[k], arguments, result));
  return Status::ok;
}

int Program::depth() const { return device_ ? device_->depth : 1; }
uint64_t Program::stalls() const { return device_ ? device_->stalls : 0; }

Status Program::begin(const StepArguments& arguments, bool* skipped) {
  if (device_) return begin_on_device(arguments, skipped);
  TG_TRY(step(arguments, &result_));
  *skipped = result_.skipped;
  return Status::ok;
}

Status Program::end(StepResult* result) {
  if (device_) return end_on_device(result);
  *result = result_;
  return Status::ok;
}

Status Program::step(const StepArguments& arguments, StepResult* result) {
  *result = {kUnknown, kUnknown, false};
  for (const Graph::StepNumber& n : graph_->step_numbers) {
    const double number = arguments.numbers[n.at];
    if (n.to.view.dtype == DType::float64)
      *static_cast<double*>(address(n.to)) = number;
    else
      *static_cast<float*>(address(n.to)) = static_cast<float>(number);
  }
  const bool guard = guards(arguments.on_nan);
  if (guard) TG_TRY(save_early_writes());
  Status status = run_all(0, loss_at_, arguments, result);
  if (has_loss_ && status == Status::ok) result->loss = number_at(output(0), 0);
  if (guard && status == Status::ok && !finite(result->loss)) {
    TG_TRY(restore_early_writes());
    if (arguments.on_nan == OnNaN::fail) return name_culprit(arguments);
    result->skipped = true;
    return Status::ok;
  }
  if (status == Status::ok)
    status = run_all(loss_at_, calls_.size(), arguments, result);
  else if (guard)
    (void)restore_early_writes();
  return status;
}

// The first output counts as the loss if it is one float. It is final after its last writer.
void Program::find_loss() {
  const Graph& g = *graph_;
  loss_at_ = 0;
  has_loss_ = !g.outputs.empty() && g.outputs[0].view.shape.count() == 1 &&
              is_float(g.outputs[0].view.dtype);
  if (!has_loss_) return;
  std::vector<bool> saved(g.values.size());
  for (size_t k = 0; k < g.body.size(); ++k)
    for_writes(g.body[k], [&](const Operand& o) {
      if (o.value == g.outputs[0].value) loss_at_ = k + 1;
    });
  for (size_t k = 0; k < loss_at_; ++k)
    for_writes(g.body[k], [&](const Operand& o) {
      const size_t v = static_cast<size_t>(o.value);
      if (g.values[v].kind != Value::Kind::external || saved[v]) return;
      saved[v] = true;
      early_.push_back({v, {}, nullptr});
      if (graph_->device == kCpu) early_.back().bytes.resize(g.values[v].bytes);
    });
}

// Copies between a value and its backup.
Status Program::save_early_writes() {
  for (Backup& b : early_) {
    const void* from = graph_->values[b.value].storage->data;
    if (device_)
      TG_TRY(device_->copy(&error_, b.on_device->data, from, graph_->values[b.value].bytes));
    else
      std::memcpy(b.bytes.data(), from, b.bytes.size());
  }
  return Status::ok;
}

Status Program::restore_early_writes() {
  for (const Backup& b : early_) {
    void* to = graph_->values[b.value].storage->data;
    if (device_)
      TG_TRY(device_->copy(&error_, to, b.on_device->data, graph_->values[b.value].bytes));
    else
      std::memcpy(to, b.bytes.data(), b.bytes.size());
  }
  return Status::ok;
}

}  // namespace tg::program
