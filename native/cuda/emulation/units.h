// What a block's asynchronous units have under way: copies, barriers in shared memory, the matrix
// units. Each does its work as late as the program's waits allow, and poisons what it is going to
// write, so that whoever is too early, or still reads what was there, computes NaN.
#pragma once

#include <deque>
#include <vector>

#include "execution.h"
#include "tensor_map.h"

namespace tg::emulation {

struct AsyncCopy {
  void* to;
  const void* from;
  int bytes, valid;
};

// Work of one thread, in groups that it commits and waits for.
template <class Work>
struct Groups {
  std::vector<Work> open;
  std::deque<std::vector<Work>> committed;

  void commit() {
    committed.push_back(std::move(open));
    open.clear();
  }
  template <class Do>
  void wait(int pending, Do action) {
    for (; committed.size() > static_cast<size_t>(pending); committed.pop_front())
      for (const Work& work : committed.front()) action(work);
  }
  bool idle() const {
    if (!open.empty()) return false;
    for (const auto& group : committed)
      if (!group.empty()) return false;
    return true;
  }
};

struct ThreadUnits {
  Groups<AsyncCopy> copies;
};

// The registers that one or more wgmmas of a warpgroup add to, while these are under way.
struct Accumulators {
  float* registers[128];  // of each thread
  int count;              // of each thread
  std::vector<float> values;
  int pending = 0;
};
struct Wgmma {
  uint64_t a, b;
  int n;
  bool tf32, a_mn, b_mn, accumulate;
  size_t accumulators;
};
struct Warpgroup {
  std::vector<Accumulators> accumulators;
  Groups<Wgmma> work;
  bool fenced = false;  // since work was last waited for
};

struct Waiter {
  Thread* thread;
  const uint64_t* barrier;
};

struct Units {
  std::vector<ThreadUnits> threads;
  Warpgroup warpgroups[8];
  std::vector<Waiter> waiters;
};

Units& units_of(Block& block);
ThreadUnits& units_of(Thread& thread);

// Ends the process if the device is older than the instruction.
void need(int capability, const char* instruction);
// The bytes are shared memory of this thread's block, at a multiple of `alignment`.
void check_shared(const void* address, size_t bytes, size_t alignment, const char* what);
// The place in `block` of an address in the running thread's dynamic shared memory.
unsigned char* counterpart(const void* address, size_t bytes, Block& block, const char* what);
// The bytes of the block's dynamic shared memory at an address as instructions have it.
const unsigned char* at_address(const Block& block, uint32_t address, size_t bytes,
                                const char* what);

}  // namespace tg::emulation
