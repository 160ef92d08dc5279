#include "shared_memory.h"

#include <cstdlib>
#include <mutex>

namespace tg {

namespace {

// Constant-initialised and never destroyed: safe from any thread at any time, the process's end
// included.
struct Registry {
  std::mutex lock;
  SharedBlock* first = nullptr;
  uint64_t last_id = 0;
};
Registry registry;

constexpr size_t kAlignment = 64;

}  // namespace

SharedBlock* shared_create(const TensorView& view, size_t wanted) {
  if (wanted > SIZE_MAX / 2) return nullptr;  // room for the rounding and the header
  const size_t bytes = (wanted + kAlignment - 1) / kAlignment * kAlignment;
  const size_t header = (sizeof(SharedBlock) + kAlignment - 1) / kAlignment * kAlignment;
  void* memory = std::aligned_alloc(kAlignment, header + bytes);
  if (!memory) return nullptr;
  SharedBlock* block = static_cast<SharedBlock*>(memory);
  block->data = static_cast<char*>(memory) + header;
  block->view = view;
  block->view.data = block->data;
  block->bytes = bytes;
  block->users = 1;
  const std::lock_guard<std::mutex> guard(registry.lock);
  block->id = ++registry.last_id;
  block->next = registry.first;
  registry.first = block;
  return block;
}

SharedBlock* shared_find(uint64_t id) {
  const std::lock_guard<std::mutex> guard(registry.lock);
  for (SharedBlock* block = registry.first; block; block = block->next)
    if (block->id == id) {
      ++block->users;
      return block;
    }
  return nullptr;
}

void shared_release(SharedBlock* block) {
  {
    const std::lock_guard<std::mutex> guard(registry.lock);
    if (--block->users > 0) return;
    SharedBlock** at = &registry.first;
    while (*at != block) at = &(*at)->next;
    *at = block->next;
  }
  std::free(block);
}

}  // namespace tg
