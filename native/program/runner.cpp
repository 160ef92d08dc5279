#include "runner.h"

#if defined(__linux__)
#include <sys/resource.h>
#endif

#include <cstdio>
#include <cstring>

namespace tg::program {

Runner::~Runner() {
  abort();
  if (has_thread_) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      quit_ = true;
      pauses_.store(0);
      changed_.notify_all();
    }
    pthread_join(thread_, nullptr);
  }
  if (claimed_) release();
}

// Every external value is taken for the length of the job: nobody may write what the program reads,
// nor read in mid-step what it writes.
Status Runner::claim(Job&& job) {
  Engine& engine = program_->engine();
  if (claimed_)
    return engine.error().set(Status::busy, "this compiled function is running already: await it");
  TG_TRY(program_->check(job.steps, job.on_nan, job.want_norm, job.data));
  const std::vector<Value>& values = program_->graph().values;
  for (size_t v = 0; v < values.size(); ++v) {
    if (values[v].kind != Value::Kind::external) continue;
    const Storage* storage = values[v].storage;
    if (storage->writer || (program_->writes(v) && storage->readers > 0))
      return engine.error().set(
          Status::busy, "another compiled function is running on the same parameters: await it");
  }
  for (const Source& source : job.data)
    if (source.storage->writer)
      return engine.error().set(Status::busy, "the data is being written by a running program");
  job_ = static_cast<Job&&>(job);
  for (size_t v = 0; v < values.size(); ++v) {
    if (values[v].kind != Value::Kind::external) continue;
    if (program_->writes(v))
      values[v].storage->writer = this;
    else
      ++values[v].storage->readers;
  }
  for (const Source& source : job_.data) ++source.storage->readers;
  claimed_ = true;
  abort_.store(false, std::memory_order_relaxed);
  begun_ = applied_ = 0;
  outcome_.done = outcome_.skipped = 0;
  outcome_.status = Status::ok;
  outcome_.message[0] = 0;
  outcome_.losses.assign(static_cast<size_t>(job_.steps), 0);
  return Status::ok;
}

void Runner::release() {
  const std::vector<Value>& values = program_->graph().values;
  for (size_t v = 0; v < values.size(); ++v) {
    if (values[v].kind != Value::Kind::external) continue;
    if (program_->writes(v))
      values[v].storage->writer = nullptr;
    else
      --values[v].storage->readers;
  }
  for (const Source& source : job_.data) {
    --source.storage->readers;
    program_->engine().release(source.storage);
  }
  job_.data.clear();
  claimed_ = started_ = false;
}

Status Runner::start(Job&& job) {
  Engine& engine = program_->engine();
  if (!has_thread_) {
    if (pthread_create(&thread_, nullptr, main, this) != 0)
      return engine.error().set(Status::out_of_memory,
                                "the system refused a thread for a compiled function");
    has_thread_ = true;
  }
  TG_TRY(claim(static_cast<Job&&>(job)));
  started_ = true;
  std::lock_guard<std::mutex> lock(mutex_);
  has_job_ = working_ = true;
  changed_.notify_all();
  return Status::ok;
}

Status Runner::run(Job&& job) {
  TG_TRY(claim(static_cast<Job&&>(job)));
  work();
  return Status::ok;
}

Outcome& Runner::collect() {
  {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return !working_; });
  }
  if (claimed_) release();
  outcome_.losses.resize(static_cast<size_t>(outcome_.done));
  return outcome_;
}

void Runner::pause() {
  pauses_.fetch_add(1);
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return !working_ || parked_; });
}

void Runner::resume() {
  if (pauses_.fetch_sub(1) > 1) return;
  std::lock_guard<std::mutex> lock(mutex_);
  changed_.notify_all();
}

void Runner::wait_while_paused() {
  if (pauses_.load() == 0) return;
  std::unique_lock<std::mutex> lock(mutex_);
  parked_ = true;
  changed_.notify_all();
  changed_.wait(lock, [&] { return pauses_.load() == 0; });
  parked_ = false;
}

Status Runner::begin_step() {
  const Graph& graph = program_->graph();
  program_->gather(job_.data, job_.order.data(), begun_);
  const StepArguments arguments{job_.numbers.data() + applied_ * graph.row, job_.seed,
                                job_.stream + static_cast<uint64_t>(applied_ * graph.streams),
                                job_.on_nan, job_.want_norm && begun_ == job_.steps - 1};
  bool skipped;
  TG_TRY(program_->begin(arguments, &skipped));
  ++begun_;
  applied_ += !skipped;
  return Status::ok;
}

Status Runner::end_step() {
  StepResult result;
  TG_TRY(program_->end(&result));
  outcome_.losses[static_cast<size_t>(outcome_.done)] = result.loss;
  outcome_.norm = result.norm;
  outcome_.skipped += result.skipped;
  ++outcome_.done;
  return Status::ok;
}

// Keeps what is wrong with a step. Steps end in order: the first that fails has the last word.
bool Runner::succeeded(Status status) {
  if (status == Status::ok) return true;
  outcome_.status = status;
  std::snprintf(outcome_.message, sizeof outcome_.message, "%s", program_->error().message());
  return false;
}

bool Runner::end_all() {
  while (outcome_.done < begun_)
    if (!succeeded(end_step())) return false;
  return true;
}

void Runner::work() {
  while (begun_ < job_.steps) {
    if (pauses_.load() > 0) {
      if (!end_all()) return;
      wait_while_paused();
    }
    if (abort_.load(std::memory_order_relaxed)) break;
    if (begun_ - outcome_.done == program_->depth() && !succeeded(end_step())) return;
    if (!succeeded(begin_step())) break;
  }
  end_all();
}

namespace {
// The JavaScript thread goes first where threads are more than processors: it wants little, but at
// once. (Linux has a nice value for each thread, and 0 stands for the calling one.) A refusal, or a
// process that is nicer already, does no harm.
constexpr int kNice = 10;

void let_others_go_first() {
#if defined(__linux__)
  if (getpriority(PRIO_PROCESS, 0) < kNice) setpriority(PRIO_PROCESS, 0, kNice);
#endif
}
}  // namespace

void* Runner::main(void* arg) {
  let_others_go_first();
  Runner& self = *static_cast<Runner*>(arg);
  std::unique_lock<std::mutex> lock(self.mutex_);
  for (;;) {
    self.changed_.wait(lock, [&] { return self.has_job_ || self.quit_; });
    if (self.quit_) return nullptr;
    self.has_job_ = false;
    lock.unlock();
    self.work();
    lock.lock();
    self.working_ = false;
    self.changed_.notify_all();
    if (!self.quit_) self.notify_(self.arg_);
  }
}

}  // namespace tg::program
