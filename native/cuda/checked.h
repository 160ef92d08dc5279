// How a kernel notes operands that only their numbers make wrong: see core/fault.h.
#pragma once

#include "launch.h"

namespace tg::cuda {

// Given to the kernel by value.
struct Check {
  FaultNotes notes;

  explicit Check(const ExecContext* ctx) : notes(ctx->faults) {}
  Check() = default;

  // The element at `position` is bad; the lowest position wins, whatever the order of threads.
  __device__ __forceinline__ void fail(int64_t position, int32_t value) const {
    note(position, static_cast<uint32_t>(value));
  }
  __device__ __forceinline__ void fail(int64_t position, float value) const {
    note(position, __float_as_uint(value));
  }

 private:
  __device__ __forceinline__ void note(int64_t position, uint32_t value) const {
    if (!notes.call) return;
    using Word = unsigned long long;
    Word* const call = reinterpret_cast<Word*>(notes.call);
    const Word mine = fault_note(position, value);
    // Where all elements are bad, few of them get as far as the atomic operation.
    if (*static_cast<volatile Word*>(call) < mine) atomicMax(call, mine);
    *static_cast<volatile uint32_t*>(notes.any) = 1;
  }
};

// Whether something that exists may be written: not after a fault that the host has not heard of.
__device__ __forceinline__ bool may_write(const uint32_t* any_fault) {
  return !any_fault || *any_fault == 0;
}

}  // namespace tg::cuda
