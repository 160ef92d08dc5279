// Tests of the thread pool: every task once under stress, nested and concurrent runs, resizing,
// joining, the floating-point control word, the default thread count, where workers wake up; prints
// the round trip of an empty run.
#include "../core/thread_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

int passed = 0;
int failed = 0;

void check(bool ok, const char* what, int64_t detail = 0) {
  ok ? ++passed : ++failed;
  if (!ok) printf("FAILED: %s (%lld)\n", what, static_cast<long long>(detail));
}

void every_task_once() {
  for (int threads : {1, 2, 3, 5, 16}) {
    tg::ThreadPool pool(threads);
    check(pool.size() == threads, "size", threads);
    for (int64_t tasks : {0, 1, 2, 3, 7, 16, 100, 1000}) {
      bool all = true;
      for (int round = 0; round < 200; ++round) {
        std::vector<int> count(tasks);  // plain ints: a task run twice is also a data race
        tg::parallel(pool, tasks, [&](int64_t i) { ++count[i]; });
        for (int c : count) all = all && c == 1;
      }
      check(all, "every task exactly once", threads * 10000 + tasks);
    }
  }
}

// Runs far enough apart that workers fall asleep, with tasks long enough that the caller does too.
void sleeping_and_waiting() {
  tg::ThreadPool pool(3);
  for (int round = 0; round < 60; ++round) {
    std::atomic<int> done{0};
    tg::parallel(pool, 3, [&](int64_t i) {
      if (i == round % 3) usleep(300);
      done.fetch_add(1);
    });
    check(done.load() == 3, "a run returns after its last task", round);
    if (round % 2 == 0) usleep(500);
  }
}

void workers_take_part() {
  tg::ThreadPool pool(2);
  const std::thread::id caller = std::this_thread::get_id();
  bool other = false;
  for (int round = 0; round < 100 && !other; ++round) {
    std::thread::id ids[2];
    tg::parallel(pool, 2, [&](int64_t i) {
      ids[i] = std::this_thread::get_id();
      usleep(1000);
    });
    other = ids[1] != caller && ids[0] == caller;
  }
  check(other, "task 0 on the caller, task 1 on the worker");
}

// What a busy machine may spoil once, it does not spoil each time.
template <typename Measure>
void check_soon(Measure holds, const char* what) {
  bool held = false;
  for (int i = 0; i < 20 && !held; ++i) held = holds();
  check(held, what);
}

// Short runs far apart are the caller's alone; close together, they get help.
void short_runs_wake_when_frequent() {
  using Wake = tg::ThreadPool::Wake;
  tg::ThreadPool pool(2);
  const auto caller = std::this_thread::get_id();
  std::atomic<int> helped{0};
  int micros = 1000;  // time enough to be woken and help
  auto task = [&](int64_t) {
    if (std::this_thread::get_id() != caller) helped.fetch_add(1);
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(micros);
    while (std::chrono::steady_clock::now() < end) continue;
  };
  tg::parallel(pool, 2, task);  // starts the worker
  const auto far_apart = [&] {
    helped = 0;
    for (int round = 0; round < 40; ++round) {
      usleep(5000);
      tg::parallel(pool, 2, task, Wake::kIfFrequent);
    }
    return helped.load() < 15;  // a worker may still be on its way to sleep
  };
  check_soon(far_apart, "a sleeping worker is left alone");
  micros = 5;
  const auto frequent = [&] {
    helped = 0;
    for (int i = 0; i < 20000; ++i) tg::parallel(pool, 2, task, Wake::kIfFrequent);
    return helped.load() > 100;
  };
  check_soon(frequent, "frequent short runs wake a worker");
}

void nested_runs_inline() {
  tg::ThreadPool pool(4);
  std::atomic<int> inner{0};
  std::atomic<int> moved{0};
  tg::parallel(pool, 8, [&](int64_t) {
    const std::thread::id here = std::this_thread::get_id();
    tg::parallel(pool, 5, [&](int64_t) {
      inner.fetch_add(1);
      if (std::this_thread::get_id() != here) moved.fetch_add(1);
    });
  });
  check(inner.load() == 40, "nested tasks all run", inner.load());
  check(moved.load() == 0, "nested tasks stay on their thread", moved.load());
}

void resizing() {
  tg::ThreadPool pool(2);
  for (int round = 0; round < 40; ++round) {
    const int threads = 1 + round * 7 % 6;
    pool.resize(threads);
    check(pool.size() == threads, "resized", threads);
    std::atomic<int64_t> sum{0};
    tg::parallel(pool, 100, [&](int64_t i) { sum.fetch_add(i); });
    check(sum.load() == 4950, "sum after resize", sum.load());
  }
  pool.resize(-3);
  check(pool.size() == 1, "clamped below");
  pool.resize(100000);
  check(pool.size() == tg::ThreadPool::kMaxThreads, "clamped above");
}

void create_and_destroy() {
  std::atomic<int> ran{0};
  for (int round = 0; round < 300; ++round) {
    tg::ThreadPool pool(1 + round % 4);
    if (round % 3 != 0) tg::parallel(pool, 4, [&](int64_t) { ran.fetch_add(1); });
    if (round % 50 == 0) usleep(200);  // destroyed while asleep as well as while spinning
  }
  check(ran.load() == 800, "destructor joins after any number of runs", ran.load());
}

// Several threads sharing a pool: one of them gets the workers, the others run inline; what they
// compute is the same. Each sums its own numbers by tasks, so that a task lost, doubled or handed
// to the wrong caller shows.
void shared_by_threads() {
  constexpr int kUsers = 4, kTasks = 10, kRounds = 500;
  tg::ThreadPool pool(3);
  std::atomic<int64_t> wrong{0};
  const auto use = [&](int64_t user) {
    for (int64_t round = 0; round < kRounds; ++round) {
      int64_t out[kTasks] = {};  // plain: a task run twice at once is also a data race
      tg::parallel(pool, kTasks, [&](int64_t i) { out[i] += user * 1000000 + round * 100 + i; });
      for (int64_t i = 0; i < kTasks; ++i)
        if (out[i] != user * 1000000 + round * 100 + i) wrong.fetch_add(1);
    }
  };
  std::vector<std::thread> users;
  for (int user = 0; user < kUsers; ++user) users.emplace_back(use, user);
  for (std::thread& user : users) user.join();
  check(wrong.load() == 0, "concurrent callers", wrong.load());
}

// Whoever finds the pool taken does not wait for it.
void taken_pool_does_not_block() {
  tg::ThreadPool pool(2);
  std::atomic<bool> release{false};
  std::atomic<int> held{0};
  std::thread holder([&] {
    tg::parallel(pool, 2, [&](int64_t) {
      held.fetch_add(1);
      while (!release.load()) usleep(100);
    });
  });
  while (held.load() == 0) usleep(100);
  const std::thread::id here = std::this_thread::get_id();
  int inline_tasks = 0;
  tg::parallel(pool, 5, [&](int64_t) { inline_tasks += std::this_thread::get_id() == here; });
  check(inline_tasks == 5, "a second caller runs its tasks itself", inline_tasks);
  release.store(true);
  holder.join();
}

void control_word() {
#if defined(__x86_64__)
  tg::ThreadPool pool(2);
  const unsigned before = _mm_getcsr();
  for (unsigned flush : {0x8040u, 0u, 0x8040u}) {
    _mm_setcsr((before & ~0x8040u) | flush);
    std::atomic<int> wrong{0};
    for (int round = 0; round < 50; ++round)
      tg::parallel(pool, 2, [&](int64_t) {
        if ((_mm_getcsr() & 0x8040u) != flush) wrong.fetch_add(1);
        usleep(20);
      });
    check(wrong.load() == 0, "workers adopt flush-to-zero", wrong.load());
  }
  _mm_setcsr(before);
#endif
}

void thread_count() {
  setenv("TAPEGRAD_NUM_THREADS", "7", 1);
  check(tg::default_threads() == 7, "TAPEGRAD_NUM_THREADS=7");
  unsetenv("TAPEGRAD_NUM_THREADS");
  const int automatic = tg::default_threads();
  check(automatic >= 1 && automatic <= 256, "automatic", automatic);
  for (const char* bad : {"", "0", "-1", "257", "2x", "abc", "99999999999999999999"}) {
    setenv("TAPEGRAD_NUM_THREADS", bad, 1);
    check(tg::default_threads() == automatic, "an invalid value is ignored");
  }
  unsetenv("TAPEGRAD_NUM_THREADS");
}

// A worker that was woken up may run anywhere but on the caller's CPU.
void woken_elsewhere() {
#if defined(__linux__)
  if (tg::default_threads() < 2) return;
  tg::ThreadPool pool(2);
  const std::thread::id caller = std::this_thread::get_id();
  int seen = 0, together = 0;
  for (int round = 0; round < 500 && seen < 20; ++round) {
    usleep(1000);  // let it fall asleep
    const int before = sched_getcpu();
    std::atomic<int> allowed{-1};
    tg::parallel(pool, 2, [&](int64_t) {
      cpu_set_t set;
      if (std::this_thread::get_id() == caller)
        usleep(500);
      else if (sched_getaffinity(0, sizeof set, &set) == 0)
        allowed.store(CPU_ISSET(static_cast<unsigned>(before), &set) ? 1 : 0);
    });
    // A caller that moved, and the first run, whose worker was never asleep, say nothing.
    if (round == 0 || sched_getcpu() != before || allowed.load() < 0) continue;
    ++seen;
    together += allowed.load();
  }
  check(seen >= 20, "workers are seen after they slept", seen);
  check(together <= 2, "workers wake up away from the caller", together);
#endif
}

void round_trip() {
  tg::ThreadPool pool(2);
  std::vector<double> micros;
  for (int i = 0; i < 2000; ++i) {
    const auto start = std::chrono::steady_clock::now();
    pool.run(
        2, [](void*, int64_t) {}, nullptr);
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
    micros.push_back(time.count());
  }
  std::sort(micros.begin(), micros.end());
  printf("empty run, 2 threads: median %.2f us, p90 %.2f us\n", micros[1000], micros[1800]);
}

}  // namespace

int main() {
  every_task_once();
  sleeping_and_waiting();
  workers_take_part();
  short_runs_wake_when_frequent();
  nested_runs_inline();
  resizing();
  create_and_destroy();
  shared_by_threads();
  taken_pool_does_not_block();
  control_word();
  thread_count();
  woken_elsewhere();
  round_trip();
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
