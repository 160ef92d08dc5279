// Optimizer updates over lists of parameters: see optimizers.h. Arithmetic is the CPU's, operation
// by operation (exact.h), so an update has the same bits on both.
#include "optimizers.h"

#include <string.h>

#include "batch.h"
#include "checked.h"

namespace tg::cuda {
namespace {

template <class T>
using V = Exact<T>;  // the schema's name for it

// One struct per rule: the numbers, and the schema's body as a call.
namespace rule {
#define TG_LIST(...) __VA_ARGS__
#define TG_OPTIMIZER(name, states, numbers, body, source)                                 \
  template <class T>                                                                      \
  struct name {                                                                           \
    static constexpr int kStates = states;                                                \
    V<T> TG_LIST numbers;                                                                 \
    __device__ __forceinline__ void operator()(                                           \
        V<T>& p, V<T> g, [[maybe_unused]] V<T>& s0, [[maybe_unused]] V<T>& s1,            \
        [[maybe_unused]] V<T>& s2, [[maybe_unused]] V<T>& s3, [[maybe_unused]] V<T>& s4,  \
        [[maybe_unused]] V<T>& s5, [[maybe_unused]] V<T>& s6, [[maybe_unused]] V<T>& s7,  \
        [[maybe_unused]] V<T>& s8, [[maybe_unused]] V<T>& s9, [[maybe_unused]] V<T>& s10, \
        [[maybe_unused]] V<T>& s11) const body                                            \
  };
#include "../schema/optimizers.h"
#undef TG_LIST
}  // namespace rule

constexpr int most_numbers() {
  int most = 0;
  for (const OptimizerInfo& info : kOptimizerInfo) most = info.numbers > most ? info.numbers : most;
  return most;
}

// A rule's numbers: those of the launch, or in device memory what they are when a recording runs.
struct Numbers {
  const double* later;
  double now[most_numbers()];
};

template <template <class> class Rule, class T>
__global__ void __launch_bounds__(kThreads)
    update(const __grid_constant__ Batch<2 + Rule<T>::kStates> batch,
           const __grid_constant__ Numbers numbers, const uint32_t* any_fault) {
  if (!may_write(any_fault)) return;
  constexpr int kStates = Rule<T>::kStates, kNumbers = sizeof(Rule<T>) / sizeof(V<T>);
  V<T> list[kNumbers];
#pragma unroll
  for (int i = 0; i < kNumbers; ++i)
    list[i] = static_cast<T>(numbers.later ? numbers.later[i] : numbers.now[i]);
  Rule<T> rule;
  static_assert(sizeof list == sizeof rule, "a rule holds its numbers and nothing else");
  memcpy(&rule, list, sizeof rule);
  for_piece<T>(batch, [&](V<T>(&x)[2 + kStates]) {
    V<T> s[kMaxOptimizerStates];
#pragma unroll
    for (int k = 0; k < kStates; ++k) s[k] = x[2 + k];
    rule(x[0], x[kGradient], s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10],
         s[11]);
#pragma unroll
    for (int k = 0; k < kStates; ++k) x[2 + k] = s[k];
  });
}

template <template <class> class Rule, class T>
Status update_items(ExecContext* ctx, const Numbers& numbers, const OptimizerItem* items, int n) {
  constexpr int kArrays = 2 + Rule<T>::kStates;
  const auto arrays = [](const OptimizerItem& item, void*(&a)[kArrays]) {
    a[0] = item.parameter;
    a[kGradient] = const_cast<void*>(item.gradient);
    for (int k = 2; k < kArrays; ++k) a[k] = item.state[k - 2];
    return item.count;
  };
  return for_batches<T, kArrays>(items, n, kPiece<T>, arrays, [&](const Batch<kArrays>& batch) {
    return launch(ctx, update<Rule, T>, grid_of(batch), batch, numbers, ctx->faults.any);
  });
}

using UpdateItems = Status (*)(ExecContext*, const Numbers&, const OptimizerItem*, int);
constexpr UpdateItems kUpdates[kOptimizers][2] = {
#define TG_OPTIMIZER(name, states, numbers, body, source) \
  {update_items<rule::name, float>, update_items<rule::name, double>},
#include "../schema/optimizers.h"
};

}  // namespace

Status optimize(ExecContext* ctx, int rule, const double* numbers, const OptimizerItem* items,
                int n) {
  if (rule < 0 || rule >= kOptimizers)
    return ctx->error->set(Status::range_error, "optimize: there is no rule %d", rule);
  ctx->trace.variant = "fused";
  Numbers all = {};
  if (ctx->step)
    all.later = numbers;
  else
    for (int i = 0; i < kOptimizerInfo[rule].numbers; ++i) all.now[i] = numbers[i];
  for (int i = 0; i < n; ++i) TG_TRY(need_wide_float(ctx, items[i].dtype));
  for (const UpdateItems update_dtype : kUpdates[rule]) TG_TRY(update_dtype(ctx, all, items, n));
  return Status::ok;
}

}  // namespace tg::cuda
