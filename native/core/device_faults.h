// What eager calls on a device find wrong with their operands' numbers (fault.h), until the host
// waits for the device anyway and is told. Nothing is sent or waited for meanwhile.
#pragma once

#include <memory>

#include "device_library.h"

namespace tg {

struct DeviceState;

class DeviceFaults {
 public:
  explicit DeviceFaults(DeviceState& state);
  DeviceFaults(const DeviceFaults&) = delete;
  DeviceFaults& operator=(const DeviceFaults&) = delete;
  // Frees the record, which no call may be using.
  void close();

  // Around a call of the backend that checks: gives it a place in the record; and if errors are to
  // come from the call itself, waits for it.
  Status begin(const OpCall& call);
  Status end(Status ran);

  // Before something waits for the device, has it say whether anything was found; after the wait,
  // the error of the first call that found something, once.
  Status ask();
  Status answer();

  // The same for a wait that JavaScript does not sit out: after `mark` calls, the device puts its
  // answer to `flag`, in host memory that it writes by itself.
  uint64_t mark() const { return next_; }
  Status ask(uint32_t* flag);
  Status answer(uint64_t mark, const uint32_t* flag);

 private:
  // Calls that nobody has asked about, before the device is asked in any case.
  static constexpr uint64_t kCalls = 1024;
  static constexpr size_t kBytes = (1 + kCalls) * sizeof(uint64_t);

  Status open();
  Status settle();
  uint64_t* word(uint64_t* record, uint64_t call) const { return record + 1 + call % kCalls; }

  DeviceState& state_;
  const bool at_once_;
  // On the device and as it was last asked: FaultNotes::any, then a ring of the calls' notes.
  uint64_t *record_ = nullptr, *copy_ = nullptr;
  std::unique_ptr<FaultSource[]> source_;
  uint64_t first_ = 0, next_ = 0;  // calls that nobody has asked about
};

}  // namespace tg
