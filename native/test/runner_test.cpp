// Tests of a program that runs on its own thread while another reads, aborts and ends it: what is
// read is that of a step's end, and every step counts once. Also for ThreadSanitizer.
#include "../program/runner.h"

#include <sched.h>
#include <stdio.h>

#include "../cpu/backend.h"

namespace {

using namespace tg;
using namespace tg::program;

int passed = 0, failed = 0;
void check(bool ok, const char* what) {
  ok ? ++passed : ++failed;
  if (!ok) printf("FAILED: %s\n", what);
}

constexpr int64_t kLength = 1000;

// Each step adds one to every element of w.
struct Counting {
  Engine engine;
  std::atomic<int> ended{0};
  double w = 0;
  std::unique_ptr<Runner> runner;

  explicit Counting(const Backend& backend) : engine(backend, size_t{1} << 30, 2) {
    Shape shape;
    shape.push(kLength);
    uint32_t slot = 0, sum = 0;
    if (engine.create(DType::float64, shape, &slot) != Status::ok) return;
    double* data = static_cast<double*>(engine.table().at(slot).view.data);
    for (int64_t i = 0; i < kLength; ++i) data[i] = 0;
    w = engine.table().handle_of(slot);
    std::unique_ptr<Graph> graph(new Graph(engine, 0, 0, 0));
    engine.set_recorder(graph.get());
    const double operands[] = {w, 1};
    Status status = engine.run(op_add, operands, 2, 2, nullptr, 0, &sum);
    if (status == Status::ok) status = engine.assign(w, engine.table().handle_of(sum));
    engine.set_recorder(nullptr);
    if (status != Status::ok) return;
    engine.release(sum);
    graph->finish();
    std::unique_ptr<Program> program;
    if (Program::make(engine, std::move(graph), &program) == Status::ok)
      runner.reset(new Runner(std::move(program), notify, this));
  }
  static void notify(void* self) { ++static_cast<Counting*>(self)->ended; }

  // The number in all elements; -1 if they differ.
  double value() {
    double to[kLength];
    if (engine.read(w, DType::float64, to, sizeof to) != Status::ok) return -1;
    for (double x : to)
      if (x != to[0]) return -1;
    return to[0];
  }
};

Job steps(int64_t n) {
  Job job;
  job.steps = n;
  return job;
}

void reads_and_aborts(const Backend& backend) {
  Counting counting(backend);
  if (!counting.runner) return check(false, "a program of two calls");
  Runner& runner = *counting.runner;
  double total = 0;
  bool whole = true, forward = true, counted = true, told = true, busy = true;
  for (int round = 0; round < 60; ++round) {
    if (runner.start(steps(1 << 20)) != Status::ok) return check(false, "start");
    busy = busy && runner.start(steps(1)) == Status::busy;
    busy = busy && counting.engine.assign(counting.w, counting.w) == Status::busy;
    double before = total;
    for (int reads = 0; reads < round % 7; ++reads) {
      const double now = counting.value();
      whole = whole && now >= 0;
      forward = forward && now >= before;
      before = now;
    }
    runner.abort();
    while (counting.ended.load() <= round) sched_yield();
    const Outcome& outcome = runner.collect();
    told = told && outcome.status == Status::ok && outcome.done < 1 << 20;
    total += static_cast<double>(outcome.done);
    counted = counted && counting.value() == total;
  }
  check(whole, "reads see whole steps");
  check(forward, "reads see later and later steps");
  check(counted, "every step counts once");
  check(told, "an abort ends the run");
  check(busy, "a second run and a write are refused meanwhile");
  check(total > 0, "something ran");
  check(runner.run(steps(5)) == Status::ok && runner.collect().done == 5 &&
            counting.value() == total + 5,
        "on the caller's thread");
}

// Destroyed at any time, before the thread has begun included.
void endings(const Backend& backend) {
  for (int round = 0; round < 40; ++round) {
    Counting counting(backend);
    if (!counting.runner) return check(false, "a program");
    counting.runner->start(steps(1 << 20));
    for (int i = 0; i < round % 10; ++i) counting.value();
    counting.runner.reset();
    check(counting.value() >= 0, "destroyed in mid-run");
  }
}

}  // namespace

int main() {
  Error error;
  const Backend* backend = nullptr;
  const char* isa = nullptr;
  if (cpu::choose_backend(nullptr, &error, &backend, &isa) != Status::ok) return 1;
  reads_and_aborts(*backend);
  endings(*backend);
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
