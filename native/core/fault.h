// Operands that only their numbers make wrong: a class or an index out of range, a negative
// probability. The CPU reads them before it computes, and refuses. A device notes the first one
// while it computes, puts NaN (in integers 0) where it would have counted, and goes on: the host
// finds the note when it next waits for the device (device_faults.h).
#pragma once

#include "op.h"
#include "status.h"

namespace tg {

// Memory of the device. One call's note is 0, or of all its bad elements the one at the lowest
// position: the largest note.
struct FaultNotes {
  uint64_t* call = nullptr;  // of the call under way; null: nobody asks
  // Not 0 once any call has found one, until the host has heard of it. Optimizers and assignments
  // change nothing then: on the CPU they would not have been reached. Null: nothing was checked.
  uint32_t* any = nullptr;
};

// Positions from 2^32 - 2 on are noted as that.
TG_DEVICE_TOO inline uint64_t fault_note(int64_t position, uint32_t value) {
  constexpr int64_t kLast = 0xFFFFFFFE;
  return ~(static_cast<uint64_t>(position < kLast ? position : kLast) << 32 | value);
}

// What a call checks, and the error for a note of it.
struct FaultSource {
  FaultSource() = default;
  explicit FaultSource(const OpCall& call);

  static bool checks(Op op);
  // The CPU's words, with `ending` behind them.
  Status describe(Error* error, uint64_t note, const char* ending) const;

  Op op = kOps;
  bool probabilities = false;  // of rows of `size`; else indices below `size`
  int axis = 0;
  int64_t size = 0;
};

}  // namespace tg
