// Tensor memory: a caching pool with size classes and a byte budget, one for each device. Not
// thread-safe: each environment has its own and uses it from its JavaScript thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tg {

struct Device;
struct SharedBlock;
class ProgramLock;

// Where tensors can be. JavaScript knows devices by the same numbers (lib/device.ts).
constexpr uint8_t kCpu = 0, kCuda = 1;
constexpr int kDevices = 2;
constexpr const char* kDeviceNames[kDevices] = {"cpu", "cuda"};

// A block of tensor memory, counted by its users. The data is 64-byte aligned and not cleared.
struct Storage {
  void* data;
  size_t bytes;  // capacity: the size class, not the request
  int64_t users;
  Storage* next;        // in a free list
  SharedBlock* shared;  // whose data it is, if other environments have it, too; else null
  ProgramLock* writer;  // the running program that writes to it; null if there is none
  uint32_t readers;     // running programs that read it and do not write to it
  int32_t value;        // symbolic: which value of the program it stands for
  bool symbolic;        // stands for a value of a program that is being recorded, which is one user
  uint8_t device;       // whose memory it is

  // Whether several tensors look at it.
  bool viewed() const { return users > (symbolic ? 2 : 1); }
};

// Where a pool takes memory from if not from the system: functions of a device's library.
struct MemorySource {
  uint8_t device;
  Device* owner;
  void* (*allocate)(Device*, size_t bytes);
  void (*release)(Device*, void* memory);
  size_t cache;  // how many bytes of freed memory the pool may hold back for the next step
};

class StoragePool {
 public:
  explicit StoragePool(size_t limit);
  StoragePool(size_t limit, const MemorySource& source);
  ~StoragePool();
  StoragePool(const StoragePool&) = delete;
  StoragePool& operator=(const StoragePool&) = delete;

  // A block with one user; null if live memory would pass the limit or the system has none.
  Storage* allocate(size_t bytes);
  // A storage over shared memory with one user; it takes over the caller's use of the block. Null,
  // the use being the caller's still, as in allocate.
  Storage* adopt(SharedBlock* block);
  static void retain(Storage* storage) { ++storage->users; }
  void release(Storage* storage);

  // Gives cached blocks back to the system until at most `keep` bytes are cached.
  void trim(size_t keep);

  size_t live_bytes() const { return live_; }
  size_t peak_bytes() const { return peak_; }
  size_t cached_bytes() const { return cached_; }
  size_t limit() const { return limit_; }
  void set_limit(size_t bytes) { limit_ = bytes; }
  void reset_peak() { peak_ = live_; }
  // Blocks taken from the system or the device since the start: what a step without allocation does
  // not change.
  uint64_t system_allocations() const { return system_allocations_; }

 private:
  // Four classes per power of two from 64 bytes to 2^47: at most a quarter of a block is unused.
  static constexpr int kClasses = 4 * 42;
  static int class_of(size_t bytes, size_t* capacity);
  Storage* take_block(size_t capacity);
  void give_back(Storage* block);

  MemorySource source_;
  Storage* free_[kClasses] = {};
  size_t live_ = 0, peak_ = 0, cached_ = 0, limit_;
  uint64_t system_allocations_ = 0;
};

// The smaller of the machine's memory and the cgroup's limit.
size_t system_memory();

}  // namespace tg
