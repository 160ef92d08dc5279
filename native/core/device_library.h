// The border between tapegrad and the shared library of a device (CUDA's is native/cuda): a C table
// of functions over plain structs, no C++ runtime types. Opened by device_loader.h. Who opens a
// device has a stream of its own: what is asked of it happens in that order, seldom at once.
#pragma once

#include "backend.h"

namespace tg {

struct Device;       // one user of a device: its stream, and what belongs to it
struct DeviceGraph;  // recorded calls
struct DeviceMark;   // a place in the order of a device's work

struct DeviceInfo {
  char name[256];  // "NVIDIA H200"
  int capability;  // 90: compute capability 9.0
  int driver;      // newest CUDA version that the driver knows: 13000 is 13.0
  int runtime;     // version that the library was built with
  int multiprocessors;
  size_t memory;  // in bytes, of the whole device
};

// Functions without a Device may be called from any thread at any time; those with one from one
// thread at a time. Errors are messages in `error` with Status::device, or out_of_memory.
struct DeviceLibrary {
  uint32_t abi;          // kDeviceAbi
  uint32_t backend_abi;  // kBackendAbi
  uint64_t fingerprint;  // device_fingerprint() as the library was compiled
  const char* name;      // "cuda"

  Status (*count)(Error* error, int* devices);
  Status (*describe)(Error* error, int index, DeviceInfo* info);
  Status (*open)(Error* error, int index, Device** device);
  // Waits for the work under way. Memory and graphs must have been given back.
  void (*close)(Device* device);

  // Memory, aligned to 256 bytes and not cleared; null if there is none. What was asked of the
  // device before `release` may use the memory still.
  void* (*allocate)(Device* device, size_t bytes);
  void (*release)(Device* device, void* memory);
  // Bytes of the device that nobody has taken.
  Status (*free_memory)(Device* device, Error* error, size_t* bytes);

  // From host memory, which may change at once; into host memory, waiting for all work before.
  Status (*upload)(Device* device, Error* error, void* to, const void* from, size_t bytes);
  Status (*download)(Device* device, Error* error, void* to, const void* from, size_t bytes);
  // As download, without waiting: `done` is called once, on a thread of the driver's, when `to` is
  // filled or the device has failed. `done` must not call the library.
  Status (*download_later)(Device* device, Error* error, void* to, const void* from, size_t bytes,
                           void (*done)(void* arg, bool filled), void* arg);
  // Within the device; the ranges do not overlap.
  Status (*copy)(Device* device, Error* error, void* to, const void* from, size_t bytes);
  Status (*clear)(Device* device, Error* error, void* to, size_t bytes);
  // Waits for all work; tells what failed in it.
  Status (*finish)(Device* device, Error* error);

  // Between the two, calls of the backend, copy, clear and upload_later are recorded instead of
  // being run. After a failed end_graph nothing is recorded. A graph runs any number of times.
  Status (*begin_graph)(Device* device, Error* error);
  Status (*end_graph)(Device* device, Error* error, DeviceGraph** graph);
  Status (*run_graph)(Device* device, Error* error, DeviceGraph* graph);
  void (*drop_graph)(Device* device, DeviceGraph* graph);
  // Host memory that a recorded upload or download may use: it is read or written when the graph
  // runs, and must stay. Null if there is none.
  void* (*allocate_host)(Device* device, size_t bytes);
  void (*release_host)(Device* device, void* memory);
  Status (*upload_later)(Device* device, Error* error, void* to, const void* from_host,
                         size_t bytes);
  Status (*fetch_later)(Device* device, Error* error, void* to_host, const void* from,
                        size_t bytes);

  // Marks the place behind all that was asked for so far. A null *mark is replaced by a new one,
  // another one is moved.
  Status (*set_mark)(Device* device, Error* error, DeviceMark** mark);
  // Waits for the work before a mark, not for what is behind it; tells what failed.
  Status (*reach_mark)(Device* device, Error* error, DeviceMark* mark);
  void (*drop_mark)(Device* device, DeviceMark* mark);

  const Backend* backend;
};

constexpr uint32_t kDeviceAbi = 1;
// What the library exports.
constexpr const char* kDeviceEntry = "tapegrad_device_library";
using DeviceEntry = const DeviceLibrary* (*)();

// Both sides must have been compiled from the same schema and structs.
constexpr uint64_t device_fingerprint() {
  constexpr const char* kNames[] = {
#define TG_UNARY(name, types, keeps, forward, dx, attrs, doc) #name,
#define TG_BINARY(name, types, keeps, forward, dx, dy, attrs, doc) #name,
#define TG_COMPARE(name, forward, doc) #name,
#define TG_REDUCE(name, types, result, attrs, doc) #name,
#define TG_OP(name, inputs, attrs, doc) #name,
#include "../schema/ops.h"
#define TG_OPTIMIZER(name, states, numbers, body, source) #name,
#include "../schema/optimizers.h"
  };
  constexpr size_t kSizes[] = {sizeof(OpCall),      sizeof(TensorView),    sizeof(Attrs),
                               sizeof(ChainCall),   sizeof(ChainStage),    sizeof(OptimizerItem),
                               sizeof(ExecContext), sizeof(DeviceLibrary), sizeof(Backend)};
  uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (const char* name : kNames)
    for (; *name; ++name) hash = (hash ^ static_cast<uint8_t>(*name)) * 1099511628211u;
  for (const size_t size : kSizes) hash = (hash ^ size) * 1099511628211u;
  return hash;
}

}  // namespace tg
