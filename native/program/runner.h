// Runs a program for many steps, on a thread of its own or on the caller's: feeds it batches, and
// lets the JavaScript thread look in between steps, stop it, and learn how far it came. On a device
// some steps are in flight; whoever waits for a step's end, waits until none is. No N-API.
#pragma once

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "program.h"

namespace tg::program {

// A number of steps, and what they need.
struct Job {
  int64_t steps = 1;
  std::vector<double> numbers;  // graph.row for each step that is not skipped
  uint64_t seed = 0, stream = 0;
  OnNaN on_nan = OnNaN::ignore;
  bool want_norm = false;  // of the last step's gradients
  // Where batches come from: input i is filled with the rows of data[i] that `order` names, as many
  // as it has, on and on. Empty: the inputs hold their values already. Storages are retained.
  std::vector<Source> data;
  std::vector<int32_t> order;
};

struct Outcome {
  int64_t done = 0;            // steps begun and ended, skipped ones included
  int64_t skipped = 0;         // of them, for a loss that was not finite
  double norm = 0;             // of the last step
  std::vector<double> losses;  // one for each step done; NaN if the program has none
  Status status = Status::ok;
  char message[768] = "";
};

class Runner final : public ProgramLock {
 public:
  // `notify(arg)` is called on the runner's thread when a job started by start() has ended.
  Runner(std::unique_ptr<Program> program, void (*notify)(void* arg), void* arg)
      : program_(std::move(program)), notify_(notify), arg_(arg) {}
  ~Runner();  // stops what is running
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  Program& program() { return *program_; }
  bool running() const { return claimed_; }
  // Whether what is running was start()ed, on the runner's thread.
  bool started() const { return started_; }

  // All of these on the JavaScript thread. A job claims what the program uses from start() until
  // collect(): TG_BUSY if another program is using it. The job's data must have been retained.
  Status start(Job&& job);
  Status run(Job&& job);  // start() and collect() on this thread
  // After the end of the job: what became of it. Gives back what was claimed.
  Outcome& collect();
  void abort() { abort_.store(true, std::memory_order_relaxed); }

  void pause() override;
  void resume() override;

 private:
  Status claim(Job&& job);
  void release();
  void work();
  Status begin_step();
  Status end_step();
  bool succeeded(Status status);
  bool end_all();
  void wait_while_paused();
  static void* main(void* self);

  std::unique_ptr<Program> program_;
  void (*notify_)(void*);
  void* arg_;
  Job job_;
  Outcome outcome_;
  bool claimed_ = false, started_ = false;
  int64_t begun_ = 0, applied_ = 0;  // steps, the latter without those that were left out

  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> abort_{false};
  std::atomic<int> pauses_{0};
  bool working_ = false;  // under mutex_: the thread is between two waits
  bool parked_ = false;   // under mutex_: … and held at a step's end
  bool has_job_ = false, quit_ = false;
  bool has_thread_ = false;
  pthread_t thread_{};
};

}  // namespace tg::program
