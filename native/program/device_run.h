// What a program needs to run on a device other than the CPU. Its calls are recorded into graphs of
// the device once; what differs from step to step travels there in one block of memory before they
// run. Graphs end where the host must look at a number before more may happen. Steps that were
// asked for and have not been waited for are in flight: each has a slot of host memory to itself.
#pragma once

#include <cstring>
#include <vector>

#include "program.h"

namespace tg::program {

// A piece of the body, and what the host looks at after it.
struct Segment {
  size_t end;            // instruction behind its last
  bool loss = false;     // is the loss finite?
  int finite_norm = -1;  // is this norm finite?
};

// What a step has to itself while it is in flight: host memory that the device reads and writes
// when it gets there. Nothing in it is touched before the step is known to have arrived.
struct DeviceSlot {
  // What an input is filled with: values from the host, or rows of a source on the device.
  struct Staged {
    Storage* host = nullptr;         // the input's bytes; null where nothing was needed yet
    bool fresh = false;              // `host` has values that the device was not sent
    const Source* source = nullptr;  // on the device
  };
  std::vector<Staged> staged;  // of the inputs
  Storage* rows = nullptr;     // of DeviceRun::rows; null as long as no source is on the device
  Storage* mirror = nullptr;   // of DeviceRun::block, and the loss
  DeviceMark* mark = nullptr;  // behind the step, once a later one has been begun
  bool skipped = false;        // the loss was not finite
  bool norms = false;          // were fetched
  char* at(size_t offset) const { return static_cast<char*>(mirror->data) + offset; }
  // A number that was fetched.
  double number(size_t offset) const {
    double value;
    std::memcpy(&value, at(offset), sizeof value);
    return value;
  }
};

struct DeviceRun {
  explicit DeviceRun(DeviceState& of) : state(of), library(*of.library) {}
  ~DeviceRun();
  DeviceRun(const DeviceRun&) = delete;
  DeviceRun& operator=(const DeviceRun&) = delete;

  Status copy(Error* error, void* to, const void* from, size_t bytes) {
    return library.copy(device, error, to, from, bytes);
  }
  // Copies on the program's stream, later, from and to memory of a slot.
  Status upload(Error* error, void* to, const void* from, size_t bytes) {
    return library.upload_later(device, error, to, from, bytes);
  }
  Status fetch(Error* error, void* to, const void* from, size_t bytes) {
    return library.fetch_later(device, error, to, from, bytes);
  }
  // Waits for all that was asked for.
  Status finish(Error* error);
  // Waits for a step in flight.
  Status wait_for(Error* error, int64_t step);
  void drop_graphs();

  static constexpr size_t kNumber = sizeof(double);  // room for each number of a step
  // Two steps in flight keep a device busy: while one runs, the next is there. Two more cover for a
  // host that is late.
  static constexpr int kSlots = 4;
  // What the inputs of more than two slots may take: memory that cannot be paged out is dear, and
  // steps on large inputs are long.
  static constexpr size_t kStaging = size_t{64} << 20;

  // The block: what a step brings, then the norms that it computes. At the same places in both.
  struct Layout {
    size_t row = sizeof(StepState);  // the optimizers' numbers
    size_t numbers;                  // the graph's step numbers, converted, 8 bytes each
    size_t norms;                    // one double for each instruction that has a norm
    size_t loss;                     // on the host only
    size_t faults;                   // FaultNotes::any, and a note for each of `checks`
    size_t bytes;
  };
  char* on_device(size_t offset) const { return static_cast<char*>(block->data) + offset; }
  size_t norm_at(int norm) const { return layout.norms + static_cast<size_t>(norm) * kNumber; }
  DeviceSlot& slot_of(int64_t step) { return slots[step % depth]; }
  size_t note_at(size_t check) const { return layout.faults + (1 + check) * sizeof(uint64_t); }
  size_t fault_bytes() const { return note_at(checks.size()) - layout.faults; }

  // A call that checks its operands' numbers.
  struct Checked {
    const Instruction* of;
    FaultSource source;
  };

  DeviceState& state;
  const DeviceLibrary& library;
  Device* device = nullptr;  // the program's own stream
  Layout layout;
  Storage* block = nullptr;
  // Numbers of rows, int32, as many for each input as it has; each input's begin at rows_at.
  Storage* rows = nullptr;
  std::vector<size_t> rows_at;
  size_t rows_bytes = 0;
  std::vector<Segment> segments[2];        // of a step; of one that looks at its loss
  std::vector<DeviceGraph*> graphs[2][2];  // of these; without and with all norms
  std::vector<int> norm_of;                // of each instruction of the body; -1: it has none
  std::vector<Checked> checks;             // see program_faults.cpp
  std::vector<Storage*> backups;           // of early writes
  Storage* scratch[2] = {};
  std::vector<Storage*> outgrown;  // scratch that recorded calls use still

  DeviceSlot slots[kSlots];
  // Of the run of steps under way: slots in use; steps begun, known to have arrived, and ended.
  int depth = 1;
  int64_t begun = 0, arrived = 0, ended = 0;
  uint64_t stalls = 0;
};

}  // namespace tg::program
