// What an engine has for each device: backend, memory, and the context in which kernels run.
#pragma once

#include "device_faults.h"
#include "storage.h"

namespace tg {

class Engine;

struct DeviceState {
  DeviceState(Engine& engine, uint8_t id, const Backend& backend, ThreadPool* threads, Error* error,
              size_t limit);
  // Over an open device, which it closes.
  DeviceState(Engine& engine, uint8_t id, const DeviceLibrary& library, Device* device,
              Error* error, size_t limit);
  ~DeviceState();
  DeviceState(const DeviceState&) = delete;
  DeviceState& operator=(const DeviceState&) = delete;

  bool is_cpu() const { return id == kCpu; }
  const char* name() const { return kDeviceNames[id]; }
  // Memory that kernels keep between calls; no tensor's.
  size_t scratch_bytes() const {
    return (scratch[0] ? scratch[0]->bytes : 0) + (scratch[1] ? scratch[1]->bytes : 0);
  }
  void drop_scratch();

  Engine& engine;
  const uint8_t id;
  const Backend& backend;
  const DeviceLibrary* const library;  // null on the CPU, as is the device
  Device* const device;
  StoragePool pool;
  // Host memory that the device copies to by itself. Not used on the CPU.
  StoragePool staging;
  ExecContext context;
  DeviceFaults faults{*this};
  Storage* scratch[2] = {};  // of a kernel; of the float32 copies that it is given
  // Set once the device cannot go on: the message for whoever wants to use it.
  bool failed = false;
  Error failure;
};

}  // namespace tg
