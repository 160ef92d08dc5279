// Device memory that faults when the host touches it, as on a real device: where options().guard
// says so, since each kernel and copy then costs a change of the pages' protection.
#pragma once

#include <stddef.h>

namespace tg::emulation {

// From a range of addresses set aside, at a multiple of 256; null if it is full.
void* take_guarded(size_t bytes);
void give_guarded(void* memory);

// While one lives, the memory may be touched: around kernels, copies and what fills memory.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace tg::emulation
