// What a step on a device finds wrong with its operands' numbers (core/fault.h). Each call that
// checks has its own note in the block; what they found is fetched with the step's other numbers.
#include <cstring>

#include "device_run.h"

namespace tg::program {

// Of the constant part and of the body, in the order in which they run.
void Program::find_checks() {
  DeviceRun& run = *device_;
  for (const std::vector<Instruction>* list : {&graph_->setup, &graph_->body})
    for (const Instruction& i : *list) {
      if (i.kind != Instruction::Kind::op || !FaultSource::checks(i.op)) continue;
      std::vector<TensorView> in;
      for (const Operand& o : i.in) in.push_back(o.view);
      run.checks.push_back(
          {&i, FaultSource({i.op, in.data(), static_cast<int>(in.size()), i.out.view, i.attrs})});
    }
}

// Nothing noted, at first.
Status Program::clear_faults() {
  DeviceRun& run = *device_;
  if (run.checks.empty()) return Status::ok;
  context_.faults.any = reinterpret_cast<uint32_t*>(run.on_device(run.layout.faults));
  return run.library.clear(run.device, &error_, context_.faults.any, run.fault_bytes());
}

uint64_t* Program::note_of(const Instruction& i) const {
  for (size_t k = 0; k < device_->checks.size(); ++k)
    if (device_->checks[k].of == &i)
      return reinterpret_cast<uint64_t*>(device_->on_device(device_->note_at(k)));
  return nullptr;
}

// What was noted up to here, into the step's host memory.
Status Program::fetch_faults(DeviceSlot& slot) {
  DeviceRun& run = *device_;
  const size_t at = run.layout.faults;
  if (run.checks.empty()) return Status::ok;
  return run.fetch(&error_, slot.at(at), run.on_device(at), run.fault_bytes());
}

// After the wait for it. The step's optimizers and assignments behind a fault changed nothing, nor
// do those of steps that were begun since: they come before the clearing, and must not count.
Status Program::look_at_faults(const DeviceSlot& slot) {
  DeviceRun& run = *device_;
  for (size_t k = 0; k < run.checks.size(); ++k) {
    uint64_t note;
    std::memcpy(&note, slot.at(run.note_at(k)), sizeof note);
    if (note == 0) continue;
    TG_TRY(clear_faults());
    return run.checks[k].source.describe(&error_, note, "");
  }
  return Status::ok;
}

}  // namespace tg::program
