// What runs: threads as fibers, blocks, clusters; how threads wait for each other. Kernels use the
// upper part, the warp-wide operations and ptx.h the lower.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fibers.h"
#include "language.h"

namespace tg::emulation {

constexpr int kWarp = 32;
struct Block;
struct Cluster;

// One thread of a block that is being run.
struct Thread {
  uint3 thread_index;
  int index;  // in its block
  int lane;
  Block* block;
  Fiber* fiber = nullptr;  // null before it starts and after its end
  bool finished = false;
  uint64_t cluster_phase =
      0;  // the first phase of the cluster's barrier that it has not arrived at
  const char* waits_for = nullptr;  // what it stands at, for the report of a deadlock
  uint64_t detail = 0;
};

// The thread that this thread of the host is running; null outside kernels.
extern __thread Thread* running;

}  // namespace tg::emulation

// Those of the running thread.
extern __thread uint3 threadIdx, blockIdx;
extern __thread dim3 blockDim, gridDim;
constexpr int warpSize = 32;

void __syncthreads();
int __syncthreads_count(int predicate);
int __syncthreads_and(int predicate);
int __syncthreads_or(int predicate);
void __nanosleep(unsigned nanoseconds);
[[noreturn]] void __trap();
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

// The block's dynamic shared memory, aligned to 1,024 bytes; null if the launch asked for none.
void* emulated_dynamic_shared();

namespace tg::emulation {

// Threads that meet: the last to come lets the others go.
struct Barrier {
  int arrived = 0;
  int expected = 0;  // 0: nobody has come
  std::vector<Thread*> waiting;
};

// Threads in the middle of an operation that they do together; each brings what `operands` points
// at, on its own stack, and the last to come does the work for all.
struct Meeting {
  const void* operation;  // which: they must agree
  const char* name;
  int first, size;   // the threads of the block that may take part
  uint64_t mask[2];  // those of them that do
  int arrived;
  std::vector<Thread*> waiting;
  std::vector<void*> operands;  // by place in the group; null who takes no part, or has ended
  void (*work)(void* context, void** all);
  void* context;
};

struct Block {
  Cluster* cluster;
  int rank;  // in its cluster
  uint3 index;
  std::vector<Thread> threads;
  int alive;
  Barrier barriers[16];
  int predicates = 0;         // that were true so far at __syncthreads_count and its kin
  int counted = 0, came = 0;  // how many were, and of how many, when all had come
  std::vector<Meeting*> meetings;
  unsigned char* shared;
  size_t shared_bytes;
  struct Units* units = nullptr;  // what is asynchronous in it: units.h
};

// The blocks that run together: one, unless the launch says otherwise.
struct Cluster {
  dim3 size;
  std::vector<Block> blocks;
  int alive;
  uint64_t phase;  // of barrier.cluster
  int missing;     // threads that have neither arrived there nor ended
  std::vector<Thread*> waiting;
  // Copies that the device does in the background, and what they still have to do.
  std::vector<std::function<void()>> background;
};

// Forgets what the units of a block had under way.
void reset_units(Block& block);
// A thread must not leave units at work behind.
void check_units_at_end(const Thread& thread);
// After the end of a thread: who waited for it alone may go on.
void release_after_end(Thread* ended);

// Ends the process with a message; says which block and thread if one is running.
[[noreturn]] __attribute__((format(printf, 1, 2))) void fail(const char* format, ...);

// Lets others run until someone wakes this thread. `what` is for the report of a deadlock.
void wait(const char* what, uint64_t detail = 0);
void wake(Thread* thread);
// Lets others run, if there are any.
void yield();
// The same, now and then, in runs with a seed.
void maybe_yield();
// A number from the run's seed; 0 if it has none.
uint64_t random_number();

// bar.sync and bar.arrive: waits, or only reports, at barrier `id` of the block, for which
// `expected` threads come (0: all).
void barrier_sync(int id, int expected);
void barrier_arrive(int id, int expected);
// barrier.cluster
void cluster_arrive();
void cluster_wait();

// Brings `operands` together with those of the others of `mask` in the `size` threads from `first`
// on (those who have not ended). The last to come calls work(context, all, by place in the group);
// then all go on.
void meet(const char* name, const void* operation, int first, int size, const uint64_t mask[2],
          void* operands, void (*work)(void* context, void** all), void* context);

struct LaunchShape {
  const char* name = "kernel";
  const void* kernel = nullptr;
  dim3 grid, block, cluster;
  size_t shared = 0;
};
// Runs body() once for each thread of the grid, on the calling thread of the host.
void run_grid(const LaunchShape& shape, const std::function<void()>& body);

// The __shared__ variables of this module, of the calling thread of the host, get the poison.
void poison_shared_arrays();
constexpr int kPoison = 0xFF;  // NaN in every float format, -1 in integers

}  // namespace tg::emulation
