// Tests of the memory that environments share: blocks found and left by many threads at once, lives
// that end with the last user, storages over them in pools with a limit.
#include "../core/shared_memory.h"

#include <stdio.h>
#include <string.h>

#include <atomic>
#include <thread>
#include <vector>

#include "../core/shape.h"
#include "../core/storage.h"

namespace {

using namespace tg;

int passed = 0, failed = 0;
void check(bool ok, const char* what) {
  ok ? ++passed : ++failed;
  if (!ok) printf("FAILED: %s\n", what);
}

TensorView vector_of(int64_t n) {
  TensorView view;
  view.dtype = DType::float64;
  view.shape.push(n);
  contiguous_strides(view.shape, view.strides);
  return view;
}

void one_block() {
  SharedBlock* block = shared_create(vector_of(5), 100);
  check(block && block->bytes >= 100 && block->users == 1, "a fresh block");
  check(reinterpret_cast<uintptr_t>(block->data) % 64 == 0, "alignment");
  memset(block->data, 1, 100);
  const uint64_t id = block->id;
  check(shared_find(id) == block && block->users == 2, "found by its id");
  check(!shared_find(id + 1) && !shared_find(0), "no other id");
  shared_release(block);
  check(shared_find(id) == block, "alive with one user");
  shared_release(block);
  shared_release(block);
  check(!shared_find(id), "gone with the last");
  SharedBlock* next = shared_create(vector_of(0), 0);
  check(next && next->id != id, "ids are not used twice; an empty tensor");
  shared_release(next);
  check(!shared_create(vector_of(1), SIZE_MAX - 32), "no overflow");
}

void storages() {
  StoragePool pool(4096), small(64);
  SharedBlock* block = shared_create(vector_of(100), 800);
  const uint64_t id = block->id;
  check(!small.adopt(block) && block->users == 1, "over the limit the use stays the caller's");
  Storage* storage = pool.adopt(block);
  check(storage && pool.live_bytes() == block->bytes && storage->data == block->data, "adopted");
  pool.retain(storage);
  pool.release(storage);
  check(pool.live_bytes() == 832, "one user left");
  pool.release(storage);
  check(pool.live_bytes() == 0 && pool.cached_bytes() == 0 && !shared_find(id), "released");
}

// Threads take and leave blocks that others may be freeing: a user sees the block's own bytes.
void many_threads() {
  std::atomic<uint64_t> newest{0};
  std::atomic<int> wrong{0}, met{0};
  std::vector<std::thread> threads;
  for (int k = 0; k < 4; ++k)
    threads.emplace_back([&] {
      for (int i = 0; i < 3000; ++i) {
        SharedBlock* own = shared_create(vector_of(1), 8);
        memcpy(own->data, &own->id, 8);
        newest = own->id;
        std::this_thread::yield();
        const uint64_t wanted = newest;
        if (SharedBlock* other = shared_find(wanted)) {
          uint64_t seen;
          memcpy(&seen, other->data, 8);
          if (seen != wanted) ++wrong;
          if (other != own) ++met;
          shared_release(other);
        }
        shared_release(own);
      }
    });
  for (auto& t : threads) t.join();
  check(wrong == 0, "a block's bytes are its own");
  check(met > 0, "threads met");
  check(!shared_find(newest), "all are gone");
}

}  // namespace

int main() {
  one_block();
  storages();
  many_threads();
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
