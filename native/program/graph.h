// A recorded function as data: values, instructions that read and write them, and what varies from
// step to step. Built by the engine's calls (it is a Recorder), changed by passes, run by Program.
// Allocation failure inside std::vector ends the process as everywhere; sizes are bounded by
// kMaxInstructions. Includes no kernels and nothing of the binding.
#pragma once

#include <vector>

#include "../core/engine.h"

namespace tg::program {

// A block of memory. Views of one tensor are one value: operands say which part they mean.
struct Value {
  enum class Kind : uint8_t {
    external,  // a tensor that exists outside: parameters, optimizer state, constants
    input,     // filled before each step
    computed,  // lives in the arena, from its first write to its last use
    passing,   // between two ops of a chain: never in memory
  };
  Kind kind;
  // computed: stays valid from step to step, for it is written once, before the first.
  bool constant = false;
  size_t bytes = 0;
  Storage* storage = nullptr;  // external: retained; else symbolic, while recording
  double handle = 0;           // external: a tensor whose memory this is
  bool made_here = false;      // external: made while recording, so nobody else may dispose of it
};

// A tensor as an instruction uses it. view.data is the offset in bytes from the value's start.
struct Operand {
  int value = -1;  // -1: a number, at graph.numbers[number]
  int number = 0;
  TensorView view;
};

struct Instruction {
  enum class Kind : uint8_t { op, chain, optimize, accumulate, assign, clip_norm, clip_value };
  Kind kind = Kind::op;
  Op op = kOps;             // op
  Attrs attrs;              // op
  int64_t stream = -1;      // op, random ones: counts from the step's first stream; else -1
  int rule = 0;             // optimize
  int numbers = 0;          // optimize: place of its numbers in a step's row
  double limit = 0;         // clip_norm, clip_value
  bool finite = false;      // clip_norm
  std::vector<Operand> in;  // optimize: parameter, gradient, states for each; else what is read,
                            // or for accumulate and assign: target, source; clip: all tensors
  Operand out;              // op
  std::vector<Instruction> parts;  // chain: a product if there is one, elementwise ops, sums of
                                   // columns

  const char* name() const;
};

constexpr int kMaxInstructions = 1 << 16;

class Graph final : public Recorder {
 public:
  // Of a step on `on`. `seed` and `stream`: where the random numbers of the recorded step begin.
  Graph(Engine& engine, uint8_t on, uint64_t seed, uint64_t stream)
      : Recorder(on), engine_(engine), seed_(seed), stream_(stream) {}
  ~Graph();

  std::vector<Value> values;
  std::vector<Instruction> setup;  // run once, before the first step: see passes.h
  std::vector<Instruction> body;
  std::vector<double> numbers;  // constants among the operands, each in its dtype's bits
  std::vector<Operand> inputs, outputs;
  struct StepNumber {
    Operand to;
    int at;
  };
  std::vector<StepNumber> step_numbers;  // inputs that are filled from the row
  int row = 0;                           // numbers that a step needs, of optimizers and others
  int64_t streams = 0;                   // random streams that a step draws

  // A symbolic tensor that stands for input number inputs.size().
  Status add_input(DType dtype, const Shape& shape, uint32_t* slot);
  // A symbolic float without dimensions: the next number of each step's row.
  Status add_number(DType dtype, uint32_t* slot);
  Status add_output(double handle);
  // Ends recording. No tensor may be symbolic any more: whoever holds one would find its storage
  // gone.
  void finish();
  // Whether the tensor behind an external value still exists; `moved` if its memory is another now.
  bool still_there(Value& value, bool* moved);

  Status op(const OpCall& call, const Recorded* in, Storage** result) override;
  Status optimize(int rule, const Recorded* items, int count) override;
  Status accumulate(const Recorded& to, const Recorded& from) override;
  Status assign(const Recorded& to, const Recorded& from) override;
  Status clip_value(const Recorded* tensors, int count, double limit) override;
  Status clip_norm(const Recorded* tensors, int count, double limit, bool finite) override;

 private:
  Status push(Instruction&& instruction);
  Operand operand(const Recorded& tensor);
  Operand constant(const TensorView& number);
  // A copy of `source` in the memory order of `layout`, which is dense and has the same shape.
  Operand materialised(const Recorded& source, const TensorView& layout, Status* status);
  Storage* symbolic(size_t bytes, Value::Kind kind);
  Status symbolic_tensor(DType dtype, const Shape& shape, Operand* made, uint32_t* slot);
  bool find_user(Value& value);

  Engine& engine_;
  uint64_t seed_, stream_;
};

// f(operand) for what an instruction reads and writes; a value that is changed in part or in place
// is both.
template <class F>
void for_reads(const Instruction& i, F&& f) {
  for (const Instruction& part : i.parts) for_reads(part, f);
  const size_t first = i.kind == Instruction::Kind::assign ? 1 : 0;
  for (size_t k = first; k < i.in.size(); ++k)
    if (i.in[k].value >= 0) f(i.in[k]);
}
template <class F>
void for_writes(const Instruction& i, F&& f) {
  switch (i.kind) {
    case Instruction::Kind::op:
      f(i.out);
      break;
    case Instruction::Kind::chain:
      for (const Instruction& part : i.parts) f(part.out);
      break;
    case Instruction::Kind::accumulate:
    case Instruction::Kind::assign:
      f(i.in[0]);
      break;
    case Instruction::Kind::clip_norm:
    case Instruction::Kind::clip_value:
      for (const Operand& o : i.in) f(o);
      break;
    case Instruction::Kind::optimize: {
      const size_t each = 2 + static_cast<size_t>(kOptimizerInfo[i.rule].states);
      for (size_t k = 0; k < i.in.size(); ++k)
        if (k % each != 1) f(i.in[k]);
      break;
    }
  }
}

}  // namespace tg::program
