// The guarded memory: one range of addresses, so that one call opens or closes all of it.
#include "guard.h"

#include <sys/mman.h>

#include <map>
#include <mutex>

#include "execution.h"
#include "options.h"

namespace tg::emulation {

namespace {

constexpr size_t kReserved = size_t{64} << 30, kUnit = 256, kPage = 64 << 10;

struct Guarded {
  std::mutex mutex;
  char* base = nullptr;
  size_t end = 0;                       // of what was ever used, in whole pages
  int users = 0;                        // who may touch it now
  std::map<size_t, size_t> live, free;  // offset, bytes

  void protect() {
    if (end && mprotect(base, end, users ? PROT_READ | PROT_WRITE : PROT_NONE) != 0)
      fail("mprotect of device memory failed");
  }
};

// Never destroyed: streams may still be at work when the process ends.
Guarded& guarded() {
  static Guarded& memory = *new Guarded;
  return memory;
}

}  // namespace

void* take_guarded(size_t bytes) {
  Guarded& m = guarded();
  const std::lock_guard<std::mutex> lock(m.mutex);
  if (!m.base) {
    void* const range =
        mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) return nullptr;
    m.base = static_cast<char*>(range);
    m.free[0] = kReserved;
  }
  bytes = (bytes + kUnit - 1) / kUnit * kUnit;
  for (auto gap = m.free.begin(); gap != m.free.end(); ++gap) {
    const auto [offset, size] = *gap;
    if (size < bytes) continue;
    m.free.erase(gap);
    if (size > bytes) m.free[offset + bytes] = size - bytes;
    m.live[offset] = bytes;
    if (offset + bytes > m.end) m.end = (offset + bytes + kPage - 1) / kPage * kPage;
    m.protect();
    return m.base + offset;
  }
  return nullptr;
}

void give_guarded(void* memory) {
  Guarded& m = guarded();
  const std::lock_guard<std::mutex> lock(m.mutex);
  const auto found = m.live.find(static_cast<size_t>(static_cast<char*>(memory) - m.base));
  auto gap = m.free.insert(*found).first;
  m.live.erase(found);
  const auto next = std::next(gap);
  if (next != m.free.end() && gap->first + gap->second == next->first) {
    gap->second += next->second;
    m.free.erase(next);
  }
  if (gap == m.free.begin()) return;
  const auto before = std::prev(gap);
  if (before->first + before->second != gap->first) return;
  before->second += gap->second;
  m.free.erase(gap);
}

DeviceAccess::DeviceAccess() {
  if (!options().guard) return;
  const std::lock_guard<std::mutex> lock(guarded().mutex);
  if (guarded().users++ == 0) guarded().protect();
}

DeviceAccess::~DeviceAccess() {
  if (!options().guard) return;
  const std::lock_guard<std::mutex> lock(guarded().mutex);
  if (--guarded().users == 0) guarded().protect();
}

}  // namespace tg::emulation
