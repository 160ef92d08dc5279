// A private, persistent thread pool: run(tasks) executes every task index exactly once, on the
// caller and up to size() - 1 workers. Includes only standard headers; holds no statics.
#pragma once

#include <stdint.h>

namespace tg {

// TAPEGRAD_NUM_THREADS if it is an integer in 1..256, else the CPUs this process may use: its
// affinity mask, cut down by a cgroup v1 or v2 CPU quota.
int default_threads();

class ThreadPool {
 public:
  static constexpr int kMaxThreads = 256;

  // `threads` counts the caller and is clamped to 1..kMaxThreads. Workers start with the first
  // parallel run; where one cannot be started, the pool goes on with those it has.
  explicit ThreadPool(int threads);
  ~ThreadPool();  // joins; no run may be in progress
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }
  void resize(int threads);  // not from inside a task; no run may be in progress

  // Waking a sleeping worker costs the caller some 10 microseconds. kIfFrequent spares it that for
  // a run too short to be worth it, unless such runs follow one another closely: then the workers,
  // once awake, stay so. Workers that are awake help in any case.
  enum class Wake { kAlways, kIfFrequent };

  // Calls fn(arg, task) for every task in [0, tasks) and returns when all have returned. Each
  // thread begins with its own contiguous range of indices, the same from call to call, and then
  // helps the others. Tasks must not depend on one another. Workers compute with the caller's
  // floating-point control word, so results do not depend on who ran a task.
  // Any number of threads may call it at once, without waiting for each other: with one task, one
  // thread, or a run already in progress (a nested call, another thread's), everything runs inline,
  // in order.
  void run(int64_t tasks, void (*fn)(void* arg, int64_t task), void* arg,
           Wake wake = Wake::kAlways);

 private:
  struct Shared;
  Shared* shared_;  // null if memory is short: then everything runs inline
  int size_;
};

// run() for a callable taking the task index.
template <class F>
void parallel(ThreadPool& pool, int64_t tasks, F&& body,
              ThreadPool::Wake wake = ThreadPool::Wake::kAlways) {
  auto* address = &body;
  pool.run(
      tasks, [](void* arg, int64_t task) { (**static_cast<decltype(address)*>(arg))(task); },
      &address, wake);
}

}  // namespace tg
