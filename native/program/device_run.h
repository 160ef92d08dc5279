// What a program needs to run on a device other than the CPU. Its calls are recorded into graphs of
// the device once; what differs from step to step travels there in one block of memory before they
// run. Graphs end where the host must look at a number before more may happen.
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

struct DeviceRun {
  explicit DeviceRun(DeviceState& of) : state(of), library(*of.library) {}
  ~DeviceRun();
  DeviceRun(const DeviceRun&) = delete;
  DeviceRun& operator=(const DeviceRun&) = delete;

  Status copy(Error* error, void* to, const void* from, size_t bytes) {
    return library.copy(device, error, to, from, bytes);
  }
  // Copies on the program's stream, later: host memory is this object's.
  Status upload(Error* error, void* to, const void* from, size_t bytes) {
    return library.upload_later(device, error, to, from, bytes);
  }
  Status fetch(Error* error, size_t to, const void* from, size_t bytes) {
    return library.fetch_later(device, error, on_host(to), from, bytes);
  }
  Status finish(Error* error) { return library.finish(device, error); }
  void drop_graphs();

  static constexpr size_t kNumber = sizeof(double);  // room for each number of a step

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
  char* on_host(size_t offset) const { return static_cast<char*>(mirror->data) + offset; }
  size_t norm_at(int slot) const { return layout.norms + static_cast<size_t>(slot) * kNumber; }
  size_t note_at(size_t check) const { return layout.faults + (1 + check) * sizeof(uint64_t); }
  size_t fault_bytes() const { return note_at(checks.size()) - layout.faults; }
  // A number that was fetched.
  double number(size_t offset) const {
    double value;
    std::memcpy(&value, on_host(offset), sizeof value);
    return value;
  }

  // Rows or values on their way to an input. Null where nothing was needed yet.
  struct Staged {
    Storage* host = nullptr;       // the input's bytes
    Storage* host_rows = nullptr;  // int32: which rows of a source on the device
    Storage* rows = nullptr;       // the same, on the device
    bool fresh = false;            // `host` has values that the device has not
  };

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
  Storage* mirror = nullptr;  // in memory that the device copies from by itself
  std::vector<Segment> segments;
  std::vector<DeviceGraph*> graphs[2];  // of the segments; without and with all norms
  std::vector<int> norm_of;             // of each instruction of the body; -1: it has none
  std::vector<Checked> checks;          // see program_faults.cpp
  std::vector<Staged> staged;           // of the inputs
  std::vector<Storage*> backups;        // of early writes
  Storage* scratch[2] = {};
  std::vector<Storage*> outgrown;  // scratch that recorded calls use still
};

}  // namespace tg::program
