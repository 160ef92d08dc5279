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

class Program {
 public:
  // Takes the graph, which has been recorded to its end; runs the passes and the constant part.
  // Messages are in the engine's error.
  static Status make(Engine& engine, std::unique_ptr<Graph> graph,
                     std::unique_ptr<Program>* made);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // On the JavaScript thread, before steps are run: whether all that the program uses exists still;
  // finds memory that has moved.
  Status check();
  // Any thread. The error is error()'s.
  Status step(const StepArguments& arguments, StepResult* result);

  void* input(size_t i) const { return address(graph_->inputs[i]); }
  // Output i as it lies in memory; valid until the next step.
  TensorView output(size_t i) const;
  const Graph& graph() const { return *graph_; }
  const Plan& plan() const { return plan_; }
  Error& error() { return error_; }
  Engine& engine() { return engine_; }
  // Times that memory had to be asked of the system in steps.
  uint64_t allocations() const { return allocations_; }
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
    std::vector<TensorView> root_in, operands;
    std::vector<ChainStage> stages;
    ChainCall call;
  };
  struct Backup {
    size_t value;
    std::vector<char> bytes;
  };

  Program(Engine& engine, std::unique_ptr<Graph> graph);
  Status set_up();
  void* address(const Operand& o) const;
  void prepare();
  Call prepare(const Instruction& i);
  int prepare_chain(const Instruction& i);
  TensorView resolved(const Operand& o) const;
  Status run(const Instruction& i, Call& call, const StepArguments& arguments, StepResult* result);
  Status run_all(size_t from, size_t to, const StepArguments& arguments, StepResult* result);
  void find_loss();
  void save_early_writes();
  void restore_early_writes();
  Status name_culprit(const StepArguments& arguments);
  static bool has_nonfinite(const TensorView& view);
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
};

}  // namespace tg::program
