// Runs the blocks of a grid, one cluster after the other: which thread goes on, and what is said
// when none can.
#include "execution.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <map>
#include <memory>
#include <utility>

#include "../../core/float_mode.h"
#include "options.h"
#include "symbols.h"

__thread uint3 threadIdx, blockIdx;
__thread dim3 blockDim, gridDim;

namespace tg::emulation {

__thread Thread* running = nullptr;

namespace {

// A stack, and the thread that is to begin on it.
struct Worker : Fiber {
  Worker() : Fiber([](void* self) { static_cast<Worker*>(self)->work(); }, this) {}
  [[noreturn]] void work();
  Thread* assigned = nullptr;
};

// One thread of the host and what it runs.
struct Machine {
  Fiber host;
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<Worker*> idle;
  std::vector<Thread*> ready, fresh;  // that can go on; that have not begun (the last is next)
  size_t first_ready = 0;
  Cluster cluster;
  const std::function<void()>* body = nullptr;
  const LaunchShape* shape = nullptr;
  uint64_t random = 0, launches = 0;
  bool seeded = false;
  uint64_t polls = 0;  // since a thread last got on

  Thread* choose(bool fresh_first);
  void start_or_resume(Thread* next, Fiber* from);
};

thread_local Machine machine;

std::string place(const Thread& t) {
  char text[128];
  snprintf(text, sizeof text, "block (%u, %u, %u), thread (%u, %u, %u)", t.block->index.x,
           t.block->index.y, t.block->index.z, t.thread_index.x, t.thread_index.y,
           t.thread_index.z);
  return text;
}

// Who stands where: one line for the threads of a block that wait for the same.
[[noreturn]] void report_deadlock() {
  const std::string name = symbol_at(machine.shape->kernel);
  fprintf(stderr, "CUDA emulation: deadlock in %s\n", name.c_str());
  for (const Block& block : machine.cluster.blocks) {
    std::map<std::pair<std::string, uint64_t>, std::vector<const Thread*>> groups;
    for (const Thread& t : block.threads)
      groups[{t.finished    ? "have ended"
              : t.waits_for ? t.waits_for
                            : "are polling",
              t.detail}]
          .push_back(&t);
    for (const auto& [what, threads] : groups) {
      fprintf(stderr, "  %s", place(*threads[0]).c_str());
      if (threads.size() > 1) fprintf(stderr, " and %zu more", threads.size() - 1);
      const bool waits = threads[0]->waits_for && !threads[0]->finished;
      fprintf(stderr, waits ? " at %s (%#llx)\n" : " %s\n", what.first.c_str(),
              static_cast<unsigned long long>(what.second));
    }
  }
  fflush(stderr);
  abort();
}

// The next thread to run; does what the device has to do in the background if none can.
Thread* Machine::choose(bool fresh_first) {
  for (;;) {
    std::vector<std::function<void()>>& background = cluster.background;
    const size_t n_ready = ready.size() - first_ready;
    const bool late = n_ready == 0 && fresh.empty();
    if (!background.empty() && (late || fresh_first || (seeded && random_number() % 8 == 0))) {
      const size_t which = seeded ? random_number() % background.size() : 0;
      const std::function<void()> action = std::move(background[which]);
      background.erase(background.begin() + static_cast<ptrdiff_t>(which));
      polls = 0;
      action();
      continue;
    }
    if (late) report_deadlock();
    const bool begin = fresh.empty()  ? false
                       : n_ready == 0 ? true
                       : seeded       ? random_number() % 2 == 0
                                      : fresh_first;
    if (begin) {
      polls = 0;
      Thread* const next = fresh.back();
      fresh.pop_back();
      return next;
    }
    if (seeded) std::swap(ready[first_ready], ready[first_ready + random_number() % n_ready]);
    Thread* const next = ready[first_ready++];
    if (first_ready == ready.size()) {
      ready.clear();
      first_ready = 0;
    }
    return next;
  }
}

void become(Thread* thread) {
  running = thread;
  threadIdx = thread->thread_index;
  blockIdx = thread->block->index;
}

void Machine::start_or_resume(Thread* next, Fiber* from) {
  if (!next->fiber) {
    if (idle.empty()) {
      workers.push_back(std::make_unique<Worker>());
      idle.push_back(workers.back().get());
    }
    Worker* const worker = idle.back();
    idle.pop_back();
    worker->assigned = next;
    next->fiber = worker;
  }
  become(next);
  from->switch_to(next->fiber);
}

void Worker::work() {
  Machine& m = machine;
  for (;;) {
    Thread* const thread = assigned;
    (*m.body)();
    check_units_at_end(*thread);
    thread->finished = true;
    thread->fiber = nullptr;
    --thread->block->alive;
    --m.cluster.alive;
    release_after_end(thread);
    if (m.cluster.alive == 0) {
      m.idle.push_back(this);
      running = nullptr;
      switch_to(&m.host);
      continue;
    }
    Thread* const next = m.choose(false);
    if (next->fiber) {
      m.idle.push_back(this);
      m.start_or_resume(next, this);
    } else {  // begins on this stack, which is still warm
      assigned = next;
      next->fiber = this;
      become(next);
    }
  }
}

// Sets up the blocks of the cluster whose first block is `first`, and runs them to their end.
void run_cluster(const LaunchShape& shape, const dim3& first) {
  Machine& m = machine;
  Cluster& cluster = m.cluster;
  const int threads = static_cast<int>(shape.block.x * shape.block.y * shape.block.z);
  cluster.alive = threads * static_cast<int>(cluster.blocks.size());
  cluster.missing = cluster.alive;
  cluster.phase = 0;
  m.fresh.clear();
  for (Block& block : cluster.blocks) {
    for (Barrier& barrier : block.barriers) barrier.arrived = 0;
    block.predicates = 0;
    reset_units(block);
    const unsigned rank = static_cast<unsigned>(block.rank);
    block.index = {first.x + rank % cluster.size.x,
                   first.y + rank / cluster.size.x % cluster.size.y,
                   first.z + rank / (cluster.size.x * cluster.size.y)};
    block.alive = threads;
    if (block.shared) memset(block.shared, kPoison, block.shared_bytes);
    block.threads.assign(static_cast<size_t>(threads), Thread());
    for (int i = 0; i < threads; ++i) {
      Thread& thread = block.threads[static_cast<size_t>(i)];
      const unsigned u = static_cast<unsigned>(i);
      thread.thread_index = {u % shape.block.x, u / shape.block.x % shape.block.y,
                             u / (shape.block.x * shape.block.y)};
      thread.index = i;
      thread.lane = i % kWarp;
      thread.block = &block;
      m.fresh.push_back(&thread);
    }
  }
  poison_shared_arrays();
  const size_t n = m.fresh.size();
  for (size_t i = 0; i < n / 2; ++i) std::swap(m.fresh[i], m.fresh[n - 1 - i]);
  if (m.seeded)
    for (size_t i = n - 1; i > 0; --i) std::swap(m.fresh[i], m.fresh[random_number() % (i + 1)]);
  m.start_or_resume(m.choose(false), &m.host);
  if (!cluster.background.empty())
    fail("block (%u, %u, %u) has ended before copies to its shared memory have", first.x, first.y,
         first.z);
}

}  // namespace

void run_grid(const LaunchShape& shape, const std::function<void()>& body) {
  Machine& m = machine;
  if (running) fail("a kernel is launched from a kernel");
  const FlushDenormals flush;
  m.body = &body;
  m.shape = &shape;
  const uint64_t seed = options().seed;
  m.seeded = seed != 0;
  blockDim = shape.block;
  gridDim = shape.grid;
  m.random = seed * 0x9E3779B97F4A7C15u + ++m.launches;
  m.polls = 0;
  const dim3 c = shape.cluster;
  m.cluster.size = c;
  m.cluster.blocks.resize(c.x * c.y * c.z);
  std::vector<std::unique_ptr<unsigned char, void (*)(void*)>> memories;
  for (size_t i = 0; i < m.cluster.blocks.size(); ++i) {
    Block& block = m.cluster.blocks[i];
    block.cluster = &m.cluster;
    block.rank = static_cast<int>(i);
    block.shared_bytes = shape.shared;
    void* memory = nullptr;
    if (shape.shared && posix_memalign(&memory, 1024, shape.shared) != 0)
      fail("no memory for %zu bytes of shared memory", shape.shared);
    memories.emplace_back(static_cast<unsigned char*>(memory), free);
    block.shared = memories.back().get();
  }
  const uint64_t nx = shape.grid.x / c.x, ny = shape.grid.y / c.y, nz = shape.grid.z / c.z;
  const uint64_t n = nx * ny * nz;
  std::vector<uint32_t> order;  // of the clusters, when they are shuffled
  if (m.seeded) {
    for (uint64_t i = 0; i < n; ++i) order.push_back(static_cast<uint32_t>(i));
    for (uint64_t i = n - 1; i > 0; --i) std::swap(order[i], order[random_number() % (i + 1)]);
  }
  for (uint64_t i = 0; i < n; ++i) {
    const uint64_t k = m.seeded ? order[i] : i;
    run_cluster(shape,
                dim3(static_cast<unsigned>(k % nx) * c.x, static_cast<unsigned>(k / nx % ny) * c.y,
                     static_cast<unsigned>(k / (nx * ny)) * c.z));
  }
  for (Block& block : m.cluster.blocks) reset_units(block);
  m.shape = nullptr;
}

void wait(const char* what, uint64_t detail) {
  Thread* const self = running;
  self->waits_for = what;
  self->detail = detail;
  Thread* const next = machine.choose(false);
  if (next != self) machine.start_or_resume(next, self->fiber);
  self->waits_for = nullptr;
}

void wake(Thread* thread) {
  machine.polls = 0;
  machine.ready.push_back(thread);
}

void yield() {
  Thread* const self = running;
  if (++machine.polls > 1u << 22) report_deadlock();
  machine.ready.push_back(self);
  Thread* const next = machine.choose(true);
  if (next != self) machine.start_or_resume(next, self->fiber);
}

void maybe_yield() {
  if (machine.seeded && random_number() % 2) yield();
}

uint64_t random_number() {
  if (!machine.seeded) return 0;
  uint64_t x = machine.random += 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x = (x ^ x >> 27) * 0x94D049BB133111EBu;
  return x ^ x >> 31;
}

void fail(const char* format, ...) {
  va_list args;
  va_start(args, format);
  char text[512];
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fprintf(stderr, "CUDA emulation: ");
  if (machine.shape) fprintf(stderr, "%s: ", symbol_at(machine.shape->kernel).c_str());
  if (running) fprintf(stderr, "%s: ", place(*running).c_str());
  fprintf(stderr, "%s\n", text);
  fflush(stderr);
  abort();
}

}  // namespace tg::emulation

void* emulated_dynamic_shared() { return tg::emulation::running->block->shared; }

void __nanosleep(unsigned) { tg::emulation::yield(); }

void __trap() { tg::emulation::fail("__trap()"); }
