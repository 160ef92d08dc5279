// Tensor memory that several environments of the process use at once: what Hogwild! training runs
// on. The one process-wide state of the library is the list of these blocks, behind a lock that is
// held for a few instructions. The elements have no lock: environments race on them by design, and
// a reader may see any mixture of old and new elements (aligned elements of 4 and 8 bytes do not
// tear on the supported machines). What is guaranteed is the memory's life: it ends with its last
// user.
#pragma once

#include "op.h"

namespace tg {

struct SharedBlock {
  void* data;       // 64-byte aligned
  TensorView view;  // the shared tensor: contiguous, at the start of the data
  size_t bytes;
  uint64_t id;    // never used again in this process
  int64_t users;  // environments' storages; guarded by the lock
  SharedBlock* next;
};

// A block of at least `bytes` with one user; null if the system has no memory.
SharedBlock* shared_create(const TensorView& view, size_t bytes);
// Another user of the block with this id; null if it is gone or never was.
SharedBlock* shared_find(uint64_t id);
// One user less. The last one frees the block.
void shared_release(SharedBlock* block);

}  // namespace tg
