// A graph made ready to run: memory laid out, every call prepared, nothing left to decide or to
// allocate. One thread at a time runs it; which one does not matter. No N-API here.
#pragma once

#include <memory>
#include <string>

#include "describe.h"

namespace tg::program {

// What to do with a step whose loss is NaN or infinite.
enum class OnNaN : uint8_t { ignore, fail, skip };

// What one step needs besides its inputs.
struct StepArguments {
  const double* numbers;  // the optimizers' numbers: graph.row of them
  uint64_t seed, stream;  // of the random ops
  OnNaN on_nan;
  bool want_norm;  // compute the norm of all gradients even if nothing clips it
};

struct StepResult {
  double loss;  // the first output, if it is one float; else NaN
  double norm;  // of the gradients, before clipping; NaN if unknown
  bool skipped;
};

// A contiguous tensor [n, …] to take rows from.
struct Source {
  Storage* storage;
  const char* rows;
  int64_t count;
};

// Copies `count` rows of `bytes` each.
void copy_rows(char* to, const char* from, const int32_t* row, int64_t count, size_t bytes);

struct DeviceRun;
struct DeviceSlot;
struct Segment;

class Program {
 public:
  // Takes the graph, which has been recorded to its end; runs the passes and the constant part.
  // Messages are in the engine's error.
  static Status make(Engine& engine, std::unique_ptr<Graph> graph, std::unique_ptr<Program>* made);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // On the JavaScript thread, before so many steps are run with these arguments: whether all that
  // the program uses exists still; finds memory that has moved.
  Status check(int64_t steps, OnNaN on_nan, bool want_norm, const std::vector<Source>& sources);
  // On the JavaScript thread: copies a tensor of input i's dtype and shape into it, from wherever
  // it is.
  Status fill(size_t i, double handle);

  // Steps, on any thread; errors are error()'s. On a device begin() returns before the step has
  // run: up to depth() steps are in flight, begun and not ended. Each is begun, and ended, in
  // order.
  int depth() const;
  // Copies rows of the sources into the inputs of the step that is begun next: input i gets those
  // of sources[i] that `order` names for this step, as many as it has.
  void gather(const std::vector<Source>& sources, const int32_t* order, int64_t step);
  // `skipped`: whether the step was left out, which is known at once. After an error this step is
  // not in flight, and nothing of it is under way; those before it are as they were.
  Status begin(const StepArguments& arguments, bool* skipped);
  // Waits for the oldest step in flight. After an error, which is that step's, none is in flight.
  Status end(StepResult* result);

  uint8_t device() const { return graph_->device; }
  // Output i as it lies in the device's memory; valid while no step is in flight.
  TensorView output(size_t i) const;
  const Graph& graph() const { return *graph_; }
  const Plan& plan() const { return plan_; }
  Error& error() { return error_; }
  Engine& engine() { return engine_; }
  // Times that memory had to be asked of the system in steps.
  uint64_t allocations() const { return allocations_; }
  // Times that a step waited for all that its device had been asked for, which was idle then.
  uint64_t stalls() const;
  // Whether running it changes this value, an external one.
  bool writes(size_t value) const { return written_[value]; }
  // The graph as it was recorded, and as it is run: JSON for describe().
  const std::string& recorded() const { return recorded_; }
  std::string prepared() const { return describe(*graph_, &plan_); }

 private:
  struct Call {
    OpCall op;
    size_t views;  // of operands, in views_
    size_t items;  // of optimizers, in items_
    int n_items;
    int chain;  // in chains_; -1 for none
  };
  // Everything that a ChainCall points at.
  struct Chain {
    OpCall root;
    std::vector<TensorView> root_in, operands, sums_in;
    std::vector<ChainStage> stages;
    std::vector<OpCall> sums;
    ChainCall call;
  };
  // Where an early write's old value is kept: on the CPU in bytes.
  struct Backup {
    size_t value;
    std::vector<char> bytes;
    Storage* on_device;
  };

  Program(Engine& engine, std::unique_ptr<Graph> graph);
  Status set_up();
  Status step(const StepArguments& arguments, StepResult* result);
  void* address(const Operand& o) const;
  void prepare();
  Call prepare(const Instruction& i);
  int prepare_chain(const Instruction& i);
  TensorView resolved(const Operand& o) const;
  Status run(const Instruction& i, Call& call, const StepArguments& arguments, StepResult* result);
  Status run_all(size_t from, size_t to, const StepArguments& arguments, StepResult* result);
  void find_loss();
  // Whether the loss is looked at before anything outside is written.
  bool guards(OnNaN on_nan) const { return has_loss_ && on_nan != OnNaN::ignore; }
  Status save_early_writes();
  Status restore_early_writes();
  Status name_culprit(const StepArguments& arguments);
  Status has_nonfinite(const TensorView& view, bool* result);
  Status run_once(size_t k, const StepArguments& arguments);

  // On a device other than the CPU: see device_run.h.
  Status open_device();
  Status record_graphs(bool guard, bool want_norm);
  Status record(const Instruction& i, Call& call, bool want_norm);
  Status prepare_slots(int64_t steps, const std::vector<Source>& sources);
  bool prepare_slot(DeviceSlot& slot, const std::vector<Source>& sources);
  Status fill_on_device(size_t i, double handle);
  void gather_on_device(size_t i, const Source& source, const int32_t* row);
  Status select_rows(size_t i, const Source& source);
  Status begin_on_device(const StepArguments& arguments, bool* skipped);
  Status run_segments(DeviceSlot& slot, const StepArguments& arguments);
  Status send(DeviceSlot& slot, const StepArguments& arguments);
  Status fetch_loss(DeviceSlot& slot);
  double fetched_loss(const DeviceSlot& slot) const;
  Status look(const Segment& segment, DeviceSlot& slot, bool* go_on);
  Status end_on_device(StepResult* result);
  void find_checks();
  Status clear_faults();
  uint64_t* note_of(const Instruction& i) const;
  Status fetch_faults(DeviceSlot& slot);
  Status look_at_faults(const DeviceSlot& slot);
  // "the norm of the gradients is NaN": nothing was changed.
  Status not_finite(double norm);
  template <int kBlock>
  static void* device_scratch(void* owner, size_t bytes);

  // Memory for kernels, of one of two kinds: see ExecContext.
  template <int kBlock>
  static void* scratch(void* owner, size_t bytes);

  Engine& engine_;
  std::unique_ptr<Graph> graph_;
  Plan plan_;
  Storage* arena_ = nullptr;
  std::vector<Call> calls_;  // of graph_->body
  std::vector<TensorView> views_;
  std::vector<OptimizerItem> items_;
  std::vector<std::unique_ptr<Chain>> chains_;
  std::vector<bool> written_;
  std::string recorded_;
  // The loss is known after this many instructions; what is written outside before is saved.
  size_t loss_at_ = 0;
  bool has_loss_ = false;
  bool clips_ = false;  // the norm is computed anyway
  std::vector<Backup> early_;
  Error error_;
  ExecContext context_;
  struct Scratch {
    void* data = nullptr;
    size_t bytes = 0;
  } scratch_[2];
  uint64_t allocations_ = 0;
  std::unique_ptr<DeviceRun> device_;  // null on the CPU
  StepResult result_ = {};             // on the CPU: of the step that has not been ended
};

}  // namespace tg::program
