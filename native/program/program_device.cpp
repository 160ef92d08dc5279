// Programs on a device other than the CPU: see device_run.h.
#include <cmath>
#include <cstring>
#include <new>

#include "device_run.h"
#include "numbers.h"

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
  for (Staged& s : staged) {
    release(state.staging, s.host);
    release(state.staging, s.host_rows);
    release(state.pool, s.rows);
  }
  release(state.staging, mirror);
  for (Storage* storage : {block, scratch[0], scratch[1]}) release(state.pool, storage);
  for (Storage* storage : outgrown) release(state.pool, storage);
  for (Storage* storage : backups) release(state.pool, storage);
  if (device) library.close(device);
}

void DeviceRun::drop_graphs() {
  for (std::vector<DeviceGraph*>& list : graphs) {
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
  return block->data;
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
    const bool loss = has_loss_ && loss_at_ == k + 1;
    const int finite_norm = clips && i.finite ? run.norm_of.back() : -1;
    if (loss || finite_norm >= 0) run.segments.push_back({k + 1, loss, finite_norm});
  }
  if (run.segments.empty() || run.segments.back().end < graph_->body.size())
    run.segments.push_back({graph_->body.size()});
  DeviceRun::Layout& at = run.layout;
  at.numbers = at.row + static_cast<size_t>(graph_->row) * kNumber;
  at.norms = at.numbers + graph_->step_numbers.size() * kNumber;
  at.loss = at.norms + static_cast<size_t>(norms) * kNumber;
  at.faults = at.loss + kNumber;
  find_checks();
  at.bytes = at.faults + run.fault_bytes();
  run.block = engine_.allocate(state, at.bytes);
  run.mirror = state.staging.allocate(at.bytes);
  if (!run.block || !run.mirror) return engine_.out_of_memory(state, "compile", at.bytes);
  for (Backup& b : early_) {
    b.on_device = engine_.allocate(state, graph_->values[b.value].bytes);
    if (!b.on_device) return engine_.out_of_memory(state, "compile", graph_->values[b.value].bytes);
    run.backups.push_back(b.on_device);
  }
  run.staged.resize(graph_->inputs.size());
  context_.scratch = device_scratch<0>;
  context_.operands = device_scratch<1>;
  context_.device = run.device;
  context_.step = static_cast<const StepState*>(run.block->data);
  if (clear_faults() != Status::ok)
    return engine_.error().set(Status::device, "%s", error_.message());
  return engine_.finish(device());  // what eager calls left in constants and parameters
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

Status Program::record_graphs(bool want_norm) {
  DeviceRun& run = *device_;
  std::vector<DeviceGraph*>& graphs = run.graphs[want_norm];
  if (!graphs.empty()) return Status::ok;
  size_t k = 0;
  for (const Segment& segment : run.segments) {
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

Status Program::prepare_sources(const std::vector<Source>& sources) {
  DeviceRun& run = *device_;
  for (size_t i = 0; i < sources.size(); ++i) {
    DeviceRun::Staged& to = run.staged[i];
    const TensorView& input = graph_->inputs[i].view;
    const size_t rows = static_cast<size_t>(input.shape[0]) * sizeof(int32_t);
    const bool here = sources[i].storage->device == device();
    if (!here && !to.host) to.host = run.state.staging.allocate(input.bytes());
    if (here && !to.rows) {
      to.host_rows = run.state.staging.allocate(rows);
      to.rows = engine_.allocate(run.state, rows);
    }
    if (here ? !to.host_rows || !to.rows : !to.host)
      return engine_.out_of_memory(run.state, "a compiled function", input.bytes());
  }
  return Status::ok;
}

Status Program::fill_on_device(size_t i, double handle) {
  DeviceRun& run = *device_;
  const Operand& input = graph_->inputs[i];
  Tensor* tensor;
  TG_TRY(engine_.find("a compiled function", handle, &tensor));
  DeviceRun::Staged& to = run.staged[i];
  to.fresh = false;
  if (tensor->storage->device == device()) {
    const OpCall call{op_clone, &tensor->view, 1, resolved(input), {}};
    return engine_.checked(run.state, run.state.backend.run(&run.state.context, &call));
  }
  if (!to.host) to.host = run.state.staging.allocate(input.view.bytes());
  if (!to.host) return engine_.out_of_memory(run.state, "a compiled function", input.view.bytes());
  TG_TRY(engine_.read(handle, input.view.dtype, to.host->data, input.view.bytes()));
  to.fresh = true;
  return Status::ok;
}

Status Program::gather_on_device(size_t i, const Source& source, const int32_t* row) {
  DeviceRun& run = *device_;
  DeviceRun::Staged& to = run.staged[i];
  const TensorView input = resolved(graph_->inputs[i]);
  const int64_t rows = input.shape[0];
  if (source.storage->device != device()) {
    copy_rows(static_cast<char*>(to.host->data), source.rows, row, rows,
              input.bytes() / static_cast<size_t>(rows));
    to.fresh = true;
    return Status::ok;
  }
  const size_t bytes = static_cast<size_t>(rows) * sizeof(int32_t);
  std::memcpy(to.host_rows->data, row, bytes);
  TG_TRY(run.upload(&error_, to.rows->data, to.host_rows->data, bytes));
  TensorView in[2];
  in[0] = input;
  in[0].data = const_cast<char*>(source.rows);
  in[0].shape[0] = source.count;
  in[1].dtype = DType::int32;
  in[1].shape.push(rows);
  in[1].strides[0] = 1;
  in[1].data = to.rows->data;
  const OpCall call{op_indexSelect, in, 2, input, {}};
  return run.state.backend.run(&context_, &call);
}

// What this step brings, on its way to the device.
Status Program::send(const StepArguments& arguments) {
  DeviceRun& run = *device_;
  const DeviceRun::Layout& at = run.layout;
  const StepState state{arguments.seed, arguments.stream};
  std::memcpy(run.on_host(0), &state, sizeof state);
  if (graph_->row > 0)
    std::memcpy(run.on_host(at.row), arguments.numbers, static_cast<size_t>(graph_->row) * kNumber);
  for (size_t n = 0; n < graph_->step_numbers.size(); ++n) {
    const Graph::StepNumber& number = graph_->step_numbers[n];
    const double value = arguments.numbers[number.at];
    const float narrow = static_cast<float>(value);
    const bool wide = number.to.view.dtype == DType::float64;
    std::memcpy(run.on_host(at.numbers + n * kNumber),
                wide ? static_cast<const void*>(&value) : &narrow, number.to.view.bytes());
  }
  TG_TRY(run.upload(&error_, run.block->data, run.mirror->data, at.norms));
  for (size_t i = 0; i < run.staged.size(); ++i) {
    DeviceRun::Staged& staged = run.staged[i];
    if (!staged.fresh) continue;
    const Operand& input = graph_->inputs[i];
    TG_TRY(run.upload(&error_, address(input), staged.host->data, input.view.bytes()));
    staged.fresh = false;
  }
  return Status::ok;
}

Status Program::fetch_loss() {
  const TensorView loss = output(0);
  return device_->fetch(&error_, device_->layout.loss, loss.data, size_of(loss.dtype));
}

double Program::fetched_loss() const {
  TensorView loss = output(0);
  loss.data = device_->on_host(device_->layout.loss);
  return number_at(loss, 0);
}

// Before more may happen, is this number finite? `go_on`: whether the step does.
Status Program::look(const Segment& segment, OnNaN on_nan, StepResult* result, bool* go_on) {
  DeviceRun& run = *device_;
  *go_on = true;
  if (segment.loss && on_nan != OnNaN::ignore) {
    TG_TRY(fetch_loss());
    TG_TRY(fetch_faults(run.on_host(0)));
    TG_TRY(run.finish(&error_));
    TG_TRY(look_at_faults(run.on_host(0)));
    result->loss = fetched_loss();
    *go_on = finite(result->loss);
  } else if (segment.finite_norm >= 0) {
    const size_t offset = run.norm_at(segment.finite_norm);
    TG_TRY(run.fetch(&error_, offset, run.on_device(offset), kNumber));
    TG_TRY(fetch_faults(run.on_host(0)));
    TG_TRY(run.finish(&error_));
    TG_TRY(look_at_faults(run.on_host(0)));
    const double norm = run.number(offset);
    if (!finite(norm)) return not_finite(norm);
  }
  return Status::ok;
}

Status Program::step_on_device(const StepArguments& arguments, StepResult* result) {
  DeviceRun& run = *device_;
  const DeviceRun::Layout& at = run.layout;
  TG_TRY(send(arguments));
  const bool guard = has_loss_ && arguments.on_nan != OnNaN::ignore;
  if (guard) TG_TRY(save_early_writes());
  const bool want_norm = arguments.want_norm && !run.graphs[1].empty();
  for (size_t s = 0; s < run.segments.size(); ++s) {
    TG_TRY(run.library.run_graph(run.device, &error_, run.graphs[want_norm][s]));
    bool go_on;
    const Status status = look(run.segments[s], arguments.on_nan, result, &go_on);
    if (status != Status::ok) {
      if (guard && run.segments[s].end <= loss_at_ && restore_early_writes() == Status::ok) {
        Error ignored;
        (void)run.library.finish(run.device, &ignored);
      }
      return status;
    }
    if (go_on) continue;
    TG_TRY(restore_early_writes());
    TG_TRY(run.finish(&error_));
    if (arguments.on_nan == OnNaN::fail) return name_culprit(arguments);
    result->skipped = true;
    return Status::ok;
  }
  if (has_loss_) TG_TRY(fetch_loss());
  TG_TRY(fetch_faults(run.on_host(0)));
  const bool norms = clips_ || want_norm;
  if (norms) TG_TRY(run.fetch(&error_, at.norms, run.on_device(at.norms), at.loss - at.norms));
  TG_TRY(run.finish(&error_));
  TG_TRY(look_at_faults(run.on_host(0)));
  if (has_loss_) result->loss = fetched_loss();
  for (size_t k = 0; norms && k < graph_->body.size(); ++k) {
    const Instruction::Kind kind = graph_->body[k].kind;
    if (run.norm_of[k] < 0 || (clips_ && kind != Instruction::Kind::clip_norm)) continue;
    const double norm = run.number(run.norm_at(run.norm_of[k]));
    result->norm = clips_ || std::isnan(result->norm) ? norm : std::hypot(result->norm, norm);
  }
  return Status::ok;
}

}  // namespace tg::program
