// The optimizer rules as data: what the binding checks a call against and what the TypeScript
// generator prints. Compiled into ISA objects too, so: constants only, no functions, and no include
// but the schema.
#pragma once

namespace tg {

// optimizer_sgd, optimizer_adam, … in schema order: the `rule` of Backend::optimize.
enum OptimizerRule : int {
#define TG_OPTIMIZER(name, states, numbers, body, source) optimizer_##name,
#include "../schema/optimizers.h"
  kOptimizers,
};

constexpr int kMaxOptimizerStates = 12;

// One byte for each of a rule's numbers, so that sizeof counts them.
namespace optimizer_numbers {
#define TG_LIST(...) __VA_ARGS__
#define TG_OPTIMIZER(name, states, numbers, body, source) \
  struct name {                                           \
    char TG_LIST numbers;                                 \
  };
#include "../schema/optimizers.h"
#undef TG_LIST
}  // namespace optimizer_numbers

struct OptimizerInfo {
  const char* name;          // "adam"
  int states;                // arrays of the parameter's size that live as long as it does
  int numbers;               // length of the array `numbers` of Backend::optimize
  const char* number_names;  // its elements' names: "rate, decay, …"
  const char* source;        // whom to cite
};

constexpr OptimizerInfo kOptimizerInfo[kOptimizers] = {
#define TG_TEXT(...) #__VA_ARGS__
#define TG_OPTIMIZER(name, states, numbers, body, source) \
  {#name, states, sizeof(optimizer_numbers::name), TG_TEXT numbers, source},
#include "../schema/optimizers.h"
#undef TG_TEXT
};

#define TG_OPTIMIZER(name, states, numbers, body, source) \
  static_assert(states <= kMaxOptimizerStates, #name " has more states than OptimizerItem holds");
#include "../schema/optimizers.h"

}  // namespace tg
