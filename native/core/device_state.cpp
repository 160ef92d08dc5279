#include "device_state.h"

#include "engine.h"

namespace tg {

namespace {

// Other than the system, a device gives memory slowly: the pool keeps what it may.
MemorySource memory_of(uint8_t id, const DeviceLibrary& library, Device* device) {
  return {id, device, library.allocate, library.release, SIZE_MAX};
}
MemorySource staging_of(const DeviceLibrary& library, Device* device) {
  return {kCpu, device, library.allocate_host, library.release_host, size_t{64} << 20};
}

template <int kBlock>
void* scratch_block(void* owner, size_t bytes) {
  DeviceState& self = *static_cast<DeviceState*>(owner);
  self.context.counters.scratch_bytes += bytes;
  Storage*& block = self.scratch[kBlock];
  if (block && block->bytes >= bytes) return block->data;
  if (block) self.pool.release(block);
  block = self.engine.obtain(self, bytes);
  return block ? block->data : nullptr;
}

ExecContext context_of(DeviceState* self, ThreadPool* threads, Error* error, Device* device) {
  ExecContext context{threads, error, scratch_block<0>, self, {"", "", "", ""}, scratch_block<1>};
  context.device = device;
  return context;
}

}  // namespace

DeviceState::DeviceState(Engine& of, uint8_t number, const Backend& table, ThreadPool* threads,
                         Error* error, size_t limit)
    : engine(of),
      id(number),
      backend(table),
      library(nullptr),
      device(nullptr),
      pool(limit),
      staging(0),
      context(context_of(this, threads, error, nullptr)) {}

DeviceState::DeviceState(Engine& of, uint8_t number, const DeviceLibrary& opened, Device* handle,
                         Error* error, size_t limit)
    : engine(of),
      id(number),
      backend(*opened.backend),
      library(&opened),
      device(handle),
      pool(limit, memory_of(number, opened, handle)),
      staging(SIZE_MAX, staging_of(opened, handle)),
      context(context_of(this, nullptr, error, handle)) {}

DeviceState::~DeviceState() {
  if (library) (void)library->finish(device, &failure);
  faults.close();
  drop_scratch();
  pool.trim(0);
  staging.trim(0);
  if (library) library->close(device);
}

void DeviceState::drop_scratch() {
  for (Storage*& block : scratch) {
    if (block) pool.release(block);
    block = nullptr;
  }
}

}  // namespace tg
