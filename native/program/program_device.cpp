// Programs on a device other than the CPU, up to their graphs: see device_run.h. How steps are run:
// device_steps.cpp.
#include <new>

#include "device_run.h"

namespace tg::program {

namespace {

constexpr size_t kNumber = DeviceRun::kNumber;

// Ends a capture whatever became of it; null if nothing usable was recorded.
Status end_graph(DeviceRun& run, Error* error, Status status, DeviceGraph** graph) {
  Error ending;
  const Status ended = run.library.end_graph(run.device, &ending, graph);
  if (status == Status::ok) {
    if (ended == Status::ok) return Status::ok;
    return error->set(ended, "%s", ending.message());
  }
  if (ended == Status::ok) run.library.drop_graph(run.device, *graph);
  return status;
}

}  // namespace

DeviceRun::~DeviceRun() {
  Error ignored;
  if (device) (void)library.finish(device, &ignored);
  drop_graphs();
  const auto release = [](StoragePool& pool, Storage* storage) {
    if (storage) pool.release(storage);
  };
  for (DeviceSlot& slot : slots) {
    for (DeviceSlot::Staged& s : slot.staged) release(state.staging, s.host);
    release(state.staging, slot.rows);
    release(state.staging, slot.mirror);
    if (slot.mark) library.drop_mark(device, slot.mark);
  }
  for (Storage* storage : {block, rows, scratch[0], scratch[1]}) release(state.pool, storage);
  for (Storage* storage : outgrown) release(state.pool, storage);
  for (Storage* storage : backups) release(state.pool, storage);
  if (device) library.close(device);
}

void DeviceRun::drop_graphs() {
  for (auto& of_segments : graphs)
    for (std::vector<DeviceGraph*>& list : of_segments) {
      for (DeviceGraph* graph : list)
        if (graph) library.drop_graph(device, graph);
      list.clear();
    }
}

// Only on the JavaScript thread, while calls are recorded: they keep the address.
template <int kBlock>
void* Program::device_scratch(void* owner, size_t bytes) {
  Program& self = *static_cast<Program*>(owner);
  DeviceRun& run = *self.device_;
  Storage*& block = run.scratch[kBlock];
  if (block && block->bytes >= bytes) return block->data;
  Storage* grown = self.engine_.obtain(run.state, bytes);
  if (!grown) return nullptr;
  if (block) run.outgrown.push_back(block);
  block = grown;
  ++self.allocations_;
  // Memory comes with the eager calls' stream, and set_up's calls do not wait for the first step.
  return self.engine_.finish(run.state.id) == Status::ok ? block->data : nullptr;
}

Status Program::open_device() {
  DeviceState& state = engine_.device_state(device());
  device_.reset(new (std::nothrow) DeviceRun(state));
  if (!device_) return engine_.error().set(Status::out_of_memory, "compile: no memory");
  DeviceRun& run = *device_;
  TG_TRY(run.library.open(&engine_.error(), 0, &run.device));
  int norms = 0;
  for (size_t k = 0; k < graph_->body.size(); ++k) {
    const Instruction& i = graph_->body[k];
    const bool clips = i.kind == Instruction::Kind::clip_norm;
    const bool has_norm = clips || i.kind == Instruction::Kind::optimize;
    run.norm_of.push_back(has_norm ? norms++ : -1);
    const int finite_norm = clips && i.finite ? run.norm_of.back() : -1;
    for (const bool guard : {false, true}) {
      const bool loss = guard && has_loss_ && loss_at_ == k + 1;
      if (loss || finite_norm >= 0) run.segments[guard].push_back({k + 1, loss, finite_norm});
    }
  }
  for (std::vector<Segment>& segments : run.segments)
    if (segments.empty() || segments.back().end < graph_->body.size())
      segments.push_back({graph_->body.size()});
  DeviceRun::Layout& at = run.layout;
  at.numbers = at.row + static_cast<size_t>(graph_->row) * kNumber;
  at.norms = at.numbers + graph_->step_numbers.size() * kNumber;
  at.loss = at.norms + static_cast<size_t>(norms) * kNumber;
  at.faults = at.loss + kNumber;
  find_checks();
  at.bytes = at.faults + run.fault_bytes();
  for (const Operand& input : graph_->inputs) {
    const int64_t rows = input.view.shape.ndim > 0 ? input.view.shape[0] : 0;
    run.rows_at.push_back(run.rows_bytes);
    run.rows_bytes += static_cast<size_t>(rows) * sizeof(int32_t);
  }
  run.block = engine_.allocate(state, at.bytes);
  if (!run.block || !prepare_slot(run.slots[0], {}))
    return engine_.out_of_memory(state, "compile", at.bytes);
  for (Backup& b : early_) {
    b.on_device = engine_.allocate(state, graph_->values[b.value].bytes);
    if (!b.on_device) return engine_.out_of_memory(state, "compile", graph_->values[b.value].bytes);
    run.backups.push_back(b.on_device);
  }
  context_.scratch = device_scratch<0>;
  context_.operands = device_scratch<1>;
  context_.device = run.device;
  context_.step = static_cast<const StepState*>(run.block->data);
  // Memory comes with the eager calls' stream, and so does what they left in constants.
  TG_TRY(engine_.finish(device()));
  const Status status = clear_faults();
  return status == Status::ok ? status : engine_.error().set(status, "%s", error_.message());
}

// One call on the program's stream, or into the graph that it records.
Status Program::record(const Instruction& i, Call& call, bool want_norm) {
  DeviceRun& run = *device_;
  const Backend& backend = run.state.backend;
  TensorView* in = views_.data() + call.views;
  OptimizerItem* items = items_.data() + call.items;
  double* norm = nullptr;
  if (&i >= graph_->body.data() && &i < graph_->body.data() + graph_->body.size()) {
    const int slot = run.norm_of[static_cast<size_t>(&i - graph_->body.data())];
    if (slot >= 0) norm = reinterpret_cast<double*>(run.on_device(run.norm_at(slot)));
  }
  switch (i.kind) {
    case Instruction::Kind::op: {
      if (i.stream >= 0) call.op.attrs.stream = static_cast<uint64_t>(i.stream);
      context_.faults.call = note_of(i);
      const Status status = backend.run(&context_, &call.op);
      context_.faults.call = nullptr;
      return status;
    }
    case Instruction::Kind::chain:
      return backend.run_chain(&context_, &chains_[static_cast<size_t>(call.chain)]->call);
    case Instruction::Kind::accumulate:
      return backend.accumulate(&context_, &in[0], &in[1]);
    case Instruction::Kind::assign:
      return backend.assign(&context_, in[0].data, in[1].data, in[0].bytes());
    case Instruction::Kind::clip_value:
      return backend.clip(&context_, in, static_cast<int>(i.in.size()), i.limit);
    case Instruction::Kind::clip_norm:
      TG_TRY(backend.gradient_norm(&context_, items, call.n_items, norm));
      return backend.clip_norm(&context_, in, static_cast<int>(i.in.size()), i.limit, i.finite,
                               norm);
    case Instruction::Kind::optimize:
      if (want_norm && !clips_) TG_TRY(backend.gradient_norm(&context_, items, call.n_items, norm));
      return backend.optimize(
          &context_, i.rule,
          reinterpret_cast<const double*>(run.on_device(run.layout.row)) + i.numbers, items,
          call.n_items);
  }
  return Status::internal;
}

Status Program::record_graphs(bool guard, bool want_norm) {
  DeviceRun& run = *device_;
  std::vector<DeviceGraph*>& graphs = run.graphs[guard][want_norm];
  if (!graphs.empty()) return Status::ok;
  size_t k = 0;
  for (const Segment& segment : run.segments[guard]) {
    Status status = run.library.begin_graph(run.device, &error_);
    if (status == Status::ok) {
      for (size_t n = 0; n < graph_->step_numbers.size() && k == 0 && status == Status::ok; ++n) {
        const Operand& to = graph_->step_numbers[n].to;
        status = run.copy(&error_, address(to), run.on_device(run.layout.numbers + n * kNumber),
                          to.view.bytes());
      }
      for (; k < segment.end && status == Status::ok; ++k)
        status = record(graph_->body[k], calls_[k], want_norm);
      DeviceGraph* graph = nullptr;
      status = end_graph(run, &error_, status, &graph);
      if (status == Status::ok) graphs.push_back(graph);
    }
    if (status != Status::ok) {
      run.drop_graphs();
      return engine_.error().set(status, "%s", error_.message());
    }
  }
  return Status::ok;
}

}  // namespace tg::program
