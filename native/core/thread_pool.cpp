// The pool behind thread_pool.h. One atomic word publishes a run and counts the workers inside it;
// a run is closed as soon as its tasks are all claimed, so nobody ever waits for a worker that is
// still asleep. Includes no kernels and nothing of the binding.
#include "thread_pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <thread>

#include "float_mode.h"

namespace tg {
namespace {

constexpr int64_t kSpinMicros = 40;

void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until done() or the spinning time is over; the clock is read rarely.
template <class F>
bool spin_until(F done) {
  using Clock = std::chrono::steady_clock;
  Clock::time_point limit{};
  for (int i = 1;; ++i) {
    if (done()) return true;
    pause_cpu();
    if (i % 64 != 0) continue;
    const Clock::time_point now = Clock::now();
    if (limit == Clock::time_point{}) limit = now + std::chrono::microseconds(kSpinMicros);
    if (now > limit) return false;
  }
}

// The word's fields, from the lowest bit: workers inside the run (16), open (1), threads taking
// part (16), number of the run (31).
constexpr uint64_t kActive = 0xFFFF;
constexpr uint64_t kOpen = 1u << 16;
constexpr int kThreadsShift = 17;
constexpr int kRunShift = 33;

uint64_t run_number(uint64_t word) { return word >> kRunShift; }
int run_threads(uint64_t word) { return static_cast<int>((word >> kThreadsShift) & 0xFFFF); }

}  // namespace

struct ThreadPool::Shared {
  struct alignas(64) Range {
    std::atomic<int64_t> next{0};
    std::atomic<int64_t> end{0};
  };
  struct Worker {
    Shared* shared = nullptr;
    int index = 0;
    pthread_t thread{};
  };

  alignas(64) std::atomic<uint64_t> word{0};
  alignas(64) std::atomic<bool> busy{false};
  std::atomic<int> sleeping{0};
  std::atomic<bool> waiting{false};  // the caller sleeps until the last worker leaves
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable left;

  // The run in progress: written only while no worker is inside.
  void (*fn)(void*, int64_t) = nullptr;
  void* arg = nullptr;
  uint64_t mode = 0;

  std::chrono::steady_clock::time_point last_short{};  // written only by the caller that is busy

  int started = 0;  // workers that exist; their indices are 1..started
  int avoided_cpu = -1;
  Range ranges[kMaxThreads];
  Worker workers[kMaxThreads];

  // Whether workers woken now for a short run would still spin at the next, to judge by the last.
  bool frequent() {
    const auto now = std::chrono::steady_clock::now(), before = last_short;
    last_short = now;
    return now - before < std::chrono::microseconds(kSpinMicros);
  }

  // Claims tasks: those of `self` first, then those of the others.
  void work(int self, int threads) {
    for (int hop = 0; hop < threads; ++hop) {
      Range& range = ranges[(self + hop) % threads];
      const int64_t end = range.end.load(std::memory_order_relaxed);
      while (range.next.load(std::memory_order_relaxed) < end) {
        const int64_t task = range.next.fetch_add(1, std::memory_order_relaxed);
        if (task >= end) break;
        fn(arg, task);
      }
    }
  }

  // Enters the next open run that wants this worker: true with the run's word, false on stop.
  bool enter(int index, uint64_t& seen, uint64_t& word_out) {
    auto fresh = [&] {
      return stop.load(std::memory_order_relaxed) ||
             run_number(word.load(std::memory_order_relaxed)) != seen;
    };
    for (;;) {
      if (!spin_until(fresh)) {
        std::unique_lock<std::mutex> lock(mutex);
        sleeping.fetch_add(1, std::memory_order_seq_cst);
        while (!stop.load(std::memory_order_seq_cst) &&
               run_number(word.load(std::memory_order_seq_cst)) == seen)
          wake.wait(lock);
        sleeping.fetch_sub(1, std::memory_order_seq_cst);
      }
      if (stop.load(std::memory_order_acquire)) return false;
      uint64_t now = word.load(std::memory_order_relaxed);
      seen = run_number(now);
      while ((now & kOpen) != 0 && run_number(now) == seen && index < run_threads(now)) {
        if (word.compare_exchange_weak(now, now + 1, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
          word_out = now;
          return true;
        }
      }
    }
  }

  void leave() {
    const uint64_t before = word.fetch_sub(1, std::memory_order_seq_cst);
    if ((before & kActive) == 1 && waiting.load(std::memory_order_seq_cst)) {
      std::lock_guard<std::mutex> lock(mutex);
      left.notify_one();
    }
  }

  static void* main(void* arg) {
    Worker& worker = *static_cast<Worker*>(arg);
    Shared& shared = *worker.shared;
    uint64_t seen = 0;
    uint64_t word = 0;
    while (shared.enter(worker.index, seen, word)) {
      set_float_mode(shared.mode);
      shared.work(worker.index, run_threads(word));
      shared.leave();
    }
    return nullptr;
  }

  void start(int threads) {
    while (started + 1 < threads) {
      Worker& worker = workers[started + 1];
      worker.shared = this;
      worker.index = started + 1;
      if (pthread_create(&worker.thread, nullptr, main, &worker) != 0) return;
      ++started;
      avoided_cpu = -1;  // the new one has not been told
    }
  }

  // Kernels may wake a worker on the caller's CPU although others are idle. The caller computes on
  // (and takes the worker's tasks), so that the worker would wait for milliseconds there. Workers
  // that sleep are therefore kept off it, where every thread can have a CPU of its own.
  void avoid_callers_cpu(int threads) {
#if defined(__linux__)
    const int cpu = sched_getcpu();
    if (cpu == avoided_cpu || cpu < 0) return;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) < threads) return;
    CPU_CLR(static_cast<unsigned>(cpu), &set);
    for (int i = 1; i <= started; ++i) pthread_setaffinity_np(workers[i].thread, sizeof set, &set);
    avoided_cpu = cpu;
#else
    (void)threads;
#endif
  }

  void join() {
    {
      std::lock_guard<std::mutex> lock(mutex);
      stop.store(true, std::memory_order_seq_cst);
      wake.notify_all();
    }
    for (int i = 1; i <= started; ++i) pthread_join(workers[i].thread, nullptr);
    started = 0;
    avoided_cpu = -1;
    stop.store(false, std::memory_order_seq_cst);
  }
};

namespace {

int clamp_threads(int threads) {
  if (threads < 1) return 1;
  return threads < ThreadPool::kMaxThreads ? threads : ThreadPool::kMaxThreads;
}

// The whole number in a file of one number; false where there is none ("max", no such file).
bool read_number(const char* path, long long& value) {
  FILE* file = fopen(path, "re");
  if (file == nullptr) return false;
  const bool ok = fscanf(file, "%lld", &value) == 1;
  fclose(file);
  return ok;
}

// CPUs granted by a cgroup quota, rounded up; 0 if there is none.
int quota_cpus() {
  long long quota = 0, period = 0;
  if (FILE* file = fopen("/sys/fs/cgroup/cpu.max", "re")) {
    const bool ok = fscanf(file, "%lld %lld", &quota, &period) == 2;
    fclose(file);
    if (!ok) return 0;
  } else if (!read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota) ||
             !read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period)) {
    return 0;
  }
  if (quota <= 0 || period <= 0) return 0;
  const long long cpus = (quota - 1) / period + 1;
  return cpus < ThreadPool::kMaxThreads ? static_cast<int>(cpus) : ThreadPool::kMaxThreads;
}

}  // namespace

int default_threads() {
  if (const char* text = getenv("TAPEGRAD_NUM_THREADS")) {
    char* end = nullptr;
    const long value = strtol(text, &end, 10);
    if (end != text && *end == '\0' && value >= 1 && value <= ThreadPool::kMaxThreads)
      return static_cast<int>(value);
  }
  int cpus = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cpus = CPU_COUNT(&set);
#endif
  const int quota = quota_cpus();
  if (quota > 0 && quota < cpus) cpus = quota;
  return clamp_threads(cpus);
}

ThreadPool::ThreadPool(int threads)
    : shared_(new(std::nothrow) Shared), size_(clamp_threads(threads)) {}

ThreadPool::~ThreadPool() {
  if (shared_ == nullptr) return;
  shared_->join();
  delete shared_;
}

void ThreadPool::resize(int threads) {
  size_ = clamp_threads(threads);
  if (shared_ != nullptr && shared_->started + 1 > size_) shared_->join();
}

void ThreadPool::run(int64_t tasks, void (*fn)(void* arg, int64_t task), void* arg, Wake wake) {
  if (tasks <= 1 || size_ == 1 || shared_ == nullptr ||
      shared_->busy.exchange(true, std::memory_order_acquire)) {
    for (int64_t i = 0; i < tasks; ++i) fn(arg, i);
    return;
  }
  Shared& s = *shared_;
  s.start(size_);
  // Ranges follow size(), not the workers that came up: the rest is taken by stealing.
  const int threads = static_cast<int>(tasks < size_ ? tasks : size_);
  const int64_t each = tasks / threads, extra = tasks % threads;
  int64_t first = 0;
  for (int i = 0; i < threads; ++i) {
    s.ranges[i].next.store(first, std::memory_order_relaxed);
    first += each + (i < extra);
    s.ranges[i].end.store(first, std::memory_order_relaxed);
  }
  s.fn = fn;
  s.arg = arg;
  s.mode = float_mode();
  const uint64_t number = run_number(s.word.load(std::memory_order_relaxed)) + 1;
  s.word.store((number << kRunShift) | (static_cast<uint64_t>(threads) << kThreadsShift) | kOpen,
               std::memory_order_seq_cst);
  const bool wanted = wake == Wake::kAlways || s.frequent();
  if (wanted && s.sleeping.load(std::memory_order_seq_cst) > 0) {
    s.avoid_callers_cpu(size_);
    std::lock_guard<std::mutex> lock(s.mutex);
    s.wake.notify_all();
  }
  s.work(0, threads);
  // All tasks are claimed: let nobody else in, then wait for those inside.
  s.word.fetch_and(~kOpen, std::memory_order_seq_cst);
  auto empty = [&] { return (s.word.load(std::memory_order_acquire) & kActive) == 0; };
  if (!spin_until(empty)) {
    std::unique_lock<std::mutex> lock(s.mutex);
    s.waiting.store(true, std::memory_order_seq_cst);
    while ((s.word.load(std::memory_order_seq_cst) & kActive) != 0) s.left.wait(lock);
    s.waiting.store(false, std::memory_order_seq_cst);
  }
  s.busy.store(false, std::memory_order_release);
}

}  // namespace tg
