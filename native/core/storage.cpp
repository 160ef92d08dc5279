#include "storage.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "shared_memory.h"

namespace tg {

namespace {
constexpr size_t kAlignment = 64;
static_assert(sizeof(Storage) <= kAlignment, "a block's header is as large as its alignment");
// How much freed memory the pool may hold back for the next step.
constexpr size_t kCacheBytes = size_t{256} << 20;

size_t read_limit(const char* path) {
  std::FILE* file = std::fopen(path, "re");
  if (!file) return SIZE_MAX;
  unsigned long long value = 0;
  const int read = std::fscanf(file, "%llu", &value);  // "max" reads nothing
  std::fclose(file);
  return read == 1 ? static_cast<size_t>(value) : SIZE_MAX;
}

// Memory from the system, freed by std::free; null if there is none. Large blocks lie on huge pages
// where the system has them: a core then streams 1.4 times as fast, since neither the prefetcher
// nor the TLB stumbles over a page every 4 KiB.
void* take(size_t bytes) {
#if defined(MADV_HUGEPAGE)
  constexpr size_t kHugePage = size_t{2} << 20;
  if (bytes >= kHugePage) {
    void* memory;  // aligned_alloc wants sizes that are multiples of the alignment
    if (posix_memalign(&memory, kHugePage, bytes) != 0) return nullptr;
    // Whole pages only, so that no block takes more than it asked for. A refusal changes nothing.
    (void)madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
    return memory;
  }
#endif
  return std::aligned_alloc(kAlignment, bytes);
}
}  // namespace

size_t system_memory() {
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  size_t bytes =
      pages > 0 && page > 0 ? static_cast<size_t>(pages) * static_cast<size_t>(page) : SIZE_MAX;
  constexpr const char* kLimits[] = {"/sys/fs/cgroup/memory.max",
                                     "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
  for (const char* path : kLimits) {
    const size_t limit = read_limit(path);
    if (limit < bytes) bytes = limit;
  }
  return bytes;
}

StoragePool::StoragePool(size_t limit)
    : StoragePool(limit, {kCpu, nullptr, nullptr, nullptr, kCacheBytes}) {}

StoragePool::StoragePool(size_t limit, const MemorySource& source)
    : source_(source), limit_(limit) {}

StoragePool::~StoragePool() { trim(0); }

int StoragePool::class_of(size_t bytes, size_t* capacity) {
  if (bytes < 64) bytes = 64;
  const int log = 63 - __builtin_clzll(bytes);
  const size_t base = size_t{1} << log, quarter = base / 4;
  const size_t steps = (bytes - base + quarter - 1) / quarter;  // 0 … 4
  *capacity = base + steps * quarter;
  const int at = (log - 6) * 4 + static_cast<int>(steps);
  return at < kClasses ? at : -1;
}

// The host's blocks begin with their header; those of a device have it apart, in the host's memory.
Storage* StoragePool::take_block(size_t capacity) {
  if (!source_.allocate) {
    void* memory = take(kAlignment + (capacity + kAlignment - 1) / kAlignment * kAlignment);
    if (!memory) return nullptr;
    Storage* block = static_cast<Storage*>(memory);
    block->data = static_cast<char*>(memory) + kAlignment;
    return block;
  }
  Storage* block = static_cast<Storage*>(std::malloc(sizeof(Storage)));
  if (!block) return nullptr;
  block->data = source_.allocate(source_.owner, capacity);
  if (block->data) return block;
  std::free(block);
  return nullptr;
}

void StoragePool::give_back(Storage* block) {
  if (source_.release) source_.release(source_.owner, block->data);
  std::free(block);
}

Storage* StoragePool::allocate(size_t bytes) {
  size_t capacity;
  if (bytes > (size_t{1} << 47)) return nullptr;
  const int at = class_of(bytes, &capacity);
  if (at < 0 || capacity > limit_ || live_ > limit_ - capacity) return nullptr;
  Storage* block = free_[at];
  if (block) {
    free_[at] = block->next;
    cached_ -= capacity;
  } else {
    // The budget covers what is cached, too.
    if (cached_ > limit_ - live_ - capacity) trim(limit_ - live_ - capacity);
    block = take_block(capacity);
    if (!block) {
      trim(0);
      block = take_block(capacity);
      if (!block) return nullptr;
    }
    ++system_allocations_;
    block->bytes = capacity;
    block->device = source_.device;
  }
  block->users = 1;
  block->next = nullptr;
  block->shared = nullptr;
  block->writer = nullptr;
  block->readers = 0;
  block->value = -1;
  block->symbolic = false;
  live_ += capacity;
  if (live_ > peak_) peak_ = live_;
  return block;
}

Storage* StoragePool::adopt(SharedBlock* shared) {
  if (shared->bytes > limit_ || live_ > limit_ - shared->bytes) return nullptr;
  Storage* block = static_cast<Storage*>(std::malloc(sizeof(Storage)));
  if (!block) return nullptr;
  *block = Storage{shared->data, shared->bytes, 1, nullptr, shared, nullptr, 0, -1, false, kCpu};
  live_ += shared->bytes;
  if (live_ > peak_) peak_ = live_;
  return block;
}

void StoragePool::release(Storage* storage) {
  if (--storage->users > 0) return;
  if (storage->shared) {
    live_ -= storage->bytes;
    shared_release(storage->shared);
    std::free(storage);
    return;
  }
  size_t capacity;
  const int at = class_of(storage->bytes, &capacity);
  live_ -= capacity;
  storage->next = free_[at];
  free_[at] = storage;
  cached_ += capacity;
  if (cached_ > source_.cache) trim(source_.cache / 2);
}

void StoragePool::trim(size_t keep) {
  // Large blocks first: few calls give much back, and small ones are what steps reuse.
  for (int at = kClasses - 1; at >= 0 && cached_ > keep; --at) {
    while (free_[at] && cached_ > keep) {
      Storage* block = free_[at];
      free_[at] = block->next;
      cached_ -= block->bytes;
      give_back(block);
    }
  }
}

}  // namespace tg
