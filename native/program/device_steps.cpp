// Steps of a program on a device other than the CPU, several of them in flight: see device_run.h.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "device_run.h"
#include "numbers.h"

namespace tg::program {

namespace {

constexpr size_t kNumber = DeviceRun::kNumber;

// Whether the step takes rows of what is on the device.
bool selects(const DeviceSlot& slot) {
  for (const DeviceSlot::Staged& staged : slot.staged)
    if (staged.source) return true;
  return false;
}

}  // namespace

Status DeviceRun::finish(Error* error) {
  ++stalls;
  TG_TRY(library.finish(device, error));
  arrived = begun;
  return Status::ok;
}

Status DeviceRun::wait_for(Error* error, int64_t step) {
  if (step < arrived) return Status::ok;
  if (step + 1 == begun) return finish(error);  // nothing is behind it, and it has no mark
  TG_TRY(library.reach_mark(device, error, slot_of(step).mark));
  arrived = step + 1;
  return Status::ok;
}

// Memory for a step on these sources; false if there is none.
bool Program::prepare_slot(DeviceSlot& slot, const std::vector<Source>& sources) {
  DeviceRun& run = *device_;
  const auto make = [&](Storage*& storage, size_t bytes) {
    if (!storage) storage = run.state.staging.allocate(bytes);
    return storage != nullptr;
  };
  slot.staged.resize(graph_->inputs.size());
  for (DeviceSlot::Staged& staged : slot.staged) staged.source = nullptr;
  if (!make(slot.mirror, run.layout.bytes)) return false;
  for (size_t i = 0; i < sources.size(); ++i) {
    const bool here = sources[i].storage->device == device();
    if (here ? !make(slot.rows, run.rows_bytes)
             : !make(slot.staged[i].host, graph_->inputs[i].view.bytes()))
      return false;
  }
  return true;
}

Status Program::prepare_slots(int64_t steps, const std::vector<Source>& sources) {
  DeviceRun& run = *device_;
  size_t staged = 0;
  for (size_t i = 0; i < sources.size(); ++i) {
    if (sources[i].storage->device != device()) {
      staged += graph_->inputs[i].view.bytes();
    } else if (!run.rows) {
      run.rows = engine_.allocate(run.state, run.rows_bytes);
      if (!run.rows) return engine_.out_of_memory(run.state, "a compiled function", run.rows_bytes);
    }
  }
  const int wanted = staged * DeviceRun::kSlots <= DeviceRun::kStaging ? DeviceRun::kSlots : 2;
  int ready = 0;
  while (ready < wanted && (ready == 0 || ready < steps) && prepare_slot(run.slots[ready], sources))
    ++ready;
  if (ready == 0) return engine_.out_of_memory(run.state, "a compiled function", staged);
  run.depth = ready;
  run.begun = run.arrived = run.ended = 0;
  return Status::ok;
}

// For the first step of a run, which has the first slot.
Status Program::fill_on_device(size_t i, double handle) {
  DeviceRun& run = *device_;
  const Operand& input = graph_->inputs[i];
  Tensor* tensor;
  TG_TRY(engine_.find("a compiled function", handle, &tensor));
  DeviceSlot::Staged& to = run.slots[0].staged[i];
  to.fresh = false;
  to.source = nullptr;
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

// The host's part: values, or numbers of rows.
void Program::gather_on_device(size_t i, const Source& source, const int32_t* row) {
  DeviceRun& run = *device_;
  DeviceSlot& slot = run.slot_of(run.begun);
  DeviceSlot::Staged& to = slot.staged[i];
  const TensorView& input = graph_->inputs[i].view;
  const int64_t rows = input.shape[0];
  const bool here = source.storage->device == device();
  to.source = here ? &source : nullptr;
  to.fresh = !here;
  if (here)
    std::memcpy(static_cast<char*>(slot.rows->data) + run.rows_at[i], row,
                static_cast<size_t>(rows) * sizeof *row);
  else
    copy_rows(static_cast<char*>(to.host->data), source.rows, row, rows,
              input.bytes() / static_cast<size_t>(rows));
}

// Rows whose numbers are on the device.
Status Program::select_rows(size_t i, const Source& source) {
  const DeviceRun& run = *device_;
  const TensorView input = resolved(graph_->inputs[i]);
  TensorView in[2];
  in[0] = input;
  in[0].data = const_cast<char*>(source.rows);
  in[0].shape[0] = source.count;
  in[1].dtype = DType::int32;
  in[1].shape.push(input.shape[0]);
  in[1].strides[0] = 1;
  in[1].data = static_cast<char*>(run.rows->data) + run.rows_at[i];
  const OpCall call{op_indexSelect, in, 2, input, {}};
  return run.state.backend.run(&context_, &call);
}

// What this step brings, on its way to the device.
Status Program::send(DeviceSlot& slot, const StepArguments& arguments) {
  DeviceRun& run = *device_;
  const DeviceRun::Layout& at = run.layout;
  const StepState state{arguments.seed, arguments.stream};
  std::memcpy(slot.at(0), &state, sizeof state);
  if (graph_->row > 0)
    std::memcpy(slot.at(at.row), arguments.numbers, static_cast<size_t>(graph_->row) * kNumber);
  for (size_t n = 0; n < graph_->step_numbers.size(); ++n) {
    const Graph::StepNumber& number = graph_->step_numbers[n];
    const double value = arguments.numbers[number.at];
    const float narrow = static_cast<float>(value);
    const bool wide = number.to.view.dtype == DType::float64;
    std::memcpy(slot.at(at.numbers + n * kNumber),
                wide ? static_cast<const void*>(&value) : &narrow, number.to.view.bytes());
  }
  TG_TRY(run.upload(&error_, run.block->data, slot.mirror->data, at.norms));
  if (selects(slot)) TG_TRY(run.upload(&error_, run.rows->data, slot.rows->data, run.rows_bytes));
  for (size_t i = 0; i < slot.staged.size(); ++i) {
    DeviceSlot::Staged& staged = slot.staged[i];
    const Operand& input = graph_->inputs[i];
    if (staged.source) TG_TRY(select_rows(i, *staged.source));
    if (staged.fresh)
      TG_TRY(run.upload(&error_, address(input), staged.host->data, input.view.bytes()));
    staged.fresh = false;
    staged.source = nullptr;
  }
  return Status::ok;
}

Status Program::fetch_loss(DeviceSlot& slot) {
  const TensorView loss = output(0);
  return device_->fetch(&error_, slot.at(device_->layout.loss), loss.data, size_of(loss.dtype));
}

double Program::fetched_loss(const DeviceSlot& slot) const {
  TensorView loss = output(0);
  loss.data = slot.at(device_->layout.loss);
  return number_at(loss, 0);
}

// Before more may happen, is this number finite? `go_on`: whether the step does.
Status Program::look(const Segment& segment, DeviceSlot& slot, bool* go_on) {
  DeviceRun& run = *device_;
  *go_on = true;
  if (segment.loss) {
    TG_TRY(fetch_loss(slot));
    TG_TRY(fetch_faults(slot));
    TG_TRY(run.finish(&error_));
    TG_TRY(look_at_faults(slot));
    *go_on = finite(fetched_loss(slot));
  } else if (segment.finite_norm >= 0) {
    const size_t offset = run.norm_at(segment.finite_norm);
    TG_TRY(run.fetch(&error_, slot.at(offset), run.on_device(offset), kNumber));
    TG_TRY(fetch_faults(slot));
    TG_TRY(run.finish(&error_));
    TG_TRY(look_at_faults(slot));
    const double norm = slot.number(offset);
    if (!finite(norm)) return not_finite(norm);
  }
  return Status::ok;
}

Status Program::run_segments(DeviceSlot& slot, const StepArguments& arguments) {
  DeviceRun& run = *device_;
  const DeviceRun::Layout& at = run.layout;
  const bool guard = guards(arguments.on_nan);
  const std::vector<Segment>& segments = run.segments[guard];
  const std::vector<DeviceGraph*>& graphs = run.graphs[guard][arguments.want_norm];
  slot.skipped = false;
  slot.norms = clips_ || arguments.want_norm;
  if (guard) TG_TRY(save_early_writes());
  for (size_t s = 0; s < segments.size(); ++s) {
    TG_TRY(run.library.run_graph(run.device, &error_, graphs[s]));
    bool go_on;
    const Status status = look(segments[s], slot, &go_on);
    if (status != Status::ok) {
      if (guard && segments[s].end <= loss_at_) (void)restore_early_writes();
      return status;
    }
    if (go_on) continue;
    TG_TRY(restore_early_writes());
    if (arguments.on_nan == OnNaN::fail) return name_culprit(arguments);
    slot.skipped = true;
    slot.norms = false;
    return Status::ok;
  }
  if (has_loss_ && !(guard && loss_at_ > 0)) TG_TRY(fetch_loss(slot));  // or it was looked at
  TG_TRY(fetch_faults(slot));
  if (!slot.norms) return Status::ok;
  return run.fetch(&error_, slot.at(at.norms), run.on_device(at.norms), at.loss - at.norms);
}

Status Program::begin_on_device(const StepArguments& arguments, bool* skipped) {
  DeviceRun& run = *device_;
  Status status = Status::ok;
  if (run.begun > run.arrived)
    status = run.library.set_mark(run.device, &error_, &run.slot_of(run.begun - 1).mark);
  DeviceSlot& slot = run.slot_of(run.begun);
  if (status == Status::ok) status = send(slot, arguments);
  if (status == Status::ok) status = run_segments(slot, arguments);
  if (status != Status::ok) {
    Error ignored;
    (void)run.finish(&ignored);
    return status;
  }
  *skipped = slot.skipped;
  ++run.begun;
  return Status::ok;
}

Status Program::end_on_device(StepResult* result) {
  DeviceRun& run = *device_;
  *result = {kUnknown, kUnknown, false};
  Status status = run.wait_for(&error_, run.ended);
  if (status == Status::ok) status = look_at_faults(run.slot_of(run.ended));
  if (status != Status::ok) {
    Error ignored;
    (void)run.finish(&ignored);
    run.ended = run.begun;
    return status;
  }
  const DeviceSlot& slot = run.slot_of(run.ended++);
  result->skipped = slot.skipped;
  if (has_loss_) result->loss = fetched_loss(slot);
  for (size_t k = 0; slot.norms && k < graph_->body.size(); ++k) {
    const Instruction::Kind kind = graph_->body[k].kind;
    if (run.norm_of[k] < 0 || (clips_ && kind != Instruction::Kind::clip_norm)) continue;
    const double norm = slot.number(run.norm_at(run.norm_of[k]));
    result->norm = clips_ || std::isnan(result->norm) ? norm : std::hypot(result->norm, norm);
  }
  return Status::ok;
}

}  // namespace tg::program
