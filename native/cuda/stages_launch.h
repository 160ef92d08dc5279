// From consecutive stages of a ChainCall that compute in one type to a launch of run_stages.
#pragma once

#include <string.h>

#include "../core/backend.h"
#include "stages.h"

namespace tg::cuda {

// What a stage computes in.
inline DType computed_in(DType dtype) { return dtype == DType::bfloat16 ? DType::float32 : dtype; }

inline Status check_rule(ExecContext* ctx, Op op, DType dtype) {
  if (has_rule(op, computed_in(dtype))) return Status::ok;
  return ctx->error->set(Status::type_error, "%s: not available for %s", name_of(op),
                         name_of(dtype));
}

// The number at a place in the host's memory.
template <class T>
T number_at(const TensorView& x) {
  const auto read = [&](auto value) {
    memcpy(&value, x.data, sizeof value);
    return value;
  };
  switch (x.dtype) {
    case DType::float64:
      return static_cast<T>(read(double{}));
    case DType::int32:
      return static_cast<T>(read(int32_t{}));
    case DType::boolean:
      return static_cast<T>(read(uint8_t{}));
    case DType::bfloat16: {
      const uint32_t bits = static_cast<uint32_t>(read(uint16_t{})) << 16;
      float value;
      memcpy(&value, &bits, sizeof value);
      return static_cast<T>(value);
    }
    default:
      return static_cast<T>(read(float{}));
  }
}

// Stages first … last of a chain. Results of stages before `first` that these read lie at `out` of
// their stage. Bit i of `numbers`: operand i is one number in the host's memory.
template <class T, int kSteps>
class StagesLaunch {
 public:
  StagesLaunch(ExecContext* ctx, const ChainCall& call, uint32_t numbers)
      : ctx_(ctx), call_(call), numbers_(numbers) {}

  Status run(int first, int last) {
    stages_.n = last - first + 1;
    int slots = 0;
    for (int s = first; s <= last; ++s) {
      TG_TRY(add_inputs(first, s));
      add_result(first, last, s, &slots);
    }
    stages_.where.set(call_.shape, views_, n_views_);
    for (int k = 0; k < n_views_; ++k) stages_.operand[k].access = access(k);
    return start(slots);
  }

 private:
  using S = Stages<T, kSteps>;
  Status add_inputs(int first, int s) {
    const ChainStage& stage = call_.stages[s];
    StageStep<T>& step = stages_.step[s - first];
    step.n_in = static_cast<int8_t>(stage.n_in);
    for (int k = 0; k < stage.n_in; ++k) {
      const int from = stage.in[k];
      if (from < 0 && ~from >= first && ~from < s) {
        step.in[k] = static_cast<int8_t>(~stages_.step[~from - first].slot);
        continue;
      }
      int at = -1;
      TG_TRY(operand(from, &at));
      step.in[k] = static_cast<int8_t>(at);
    }
    return Status::ok;
  }

  // Which operand of the launch an input is that no stage of the launch makes. One op has its
  // operands in order; the stages of a chain share theirs.
  Status operand(int from, int* at) {
    for (int k = 0; k < n_views_ && kSteps > 1; ++k)
      if (sources_[k] == from) return *at = k, Status::ok;
    if (n_views_ == S::kOperands)
      return ctx_->error->set(Status::internal, "a chain of more than %d operands", S::kOperands);
    TensorView view;
    if (from >= 0) {
      view = call_.operands[from];
    } else if (~from == kMaxChain) {
      view = call_.root->out;
    } else {
      view.data = call_.stages[~from].out;
      view.dtype = call_.stages[~from].out_dtype;
      view.shape = call_.shape;
      contiguous_strides(view.shape, view.strides);
    }
    const bool number = from >= 0 && (numbers_ >> from & 1);
    const bool fits = view.dtype == DTypeOf<T>::value || view.dtype == DType::boolean ||
                      (kTakesBf16<T> && view.dtype == DType::bfloat16);
    if (!number && !fits)
      return ctx_->error->set(Status::type_error, "%s: an operand of %s beside %s",
                              ctx_->trace.kernel, name_of(view.dtype), name_of(DTypeOf<T>::value));
    StageOperand<T>& x = stages_.operand[n_views_];
    x.data = number ? nullptr : view.data;
    x.number = number ? number_at<T>(view) : T(0);
    x.dtype = view.dtype;
    views_[n_views_] = view;
    is_number_[n_views_] = number;
    sources_[n_views_] = from;
    *at = n_views_++;
    return Status::ok;
  }

  void add_result(int first, int last, int s, int* slots) {
    const ChainStage& stage = call_.stages[s];
    StageStep<T>& step = stages_.step[s - first];
    const size_t vector = static_cast<size_t>(kLanes<T>) * size_of(stage.out_dtype);
    step.out = stage.out;
    step.op = stage.op;
    step.dtype = stage.out_dtype;
    step.aligned = reinterpret_cast<uintptr_t>(stage.out) % vector == 0;
    for (int i = 0; i < 2; ++i) step.p[i] = kIsInteger ? T(0) : static_cast<T>(stage.p[i]);
    // The first slot whose readers have all been by now. Inputs are read before the result is put
    // there, so that this stage counts as one that has.
    int until = s;
    for (int t = s + 1; t <= last; ++t)
      for (int k = 0; k < call_.stages[t].n_in; ++k)
        if (call_.stages[t].in[k] == ~s) until = t;
    step.slot = kNoSlot;
    if (until == s) return;
    int slot = 0;
    while (slot < *slots && busy_until_[slot] > s) ++slot;
    if (slot == *slots) ++*slots;
    busy_until_[slot] = until;
    step.slot = static_cast<int8_t>(slot);
  }

  Access access(int k) const {
    const StageOperand<T>& x = stages_.operand[k];
    const Strided<S::kOperands>& where = stages_.where;
    if (is_number_[k]) return Access::number;
    if (where.constant(k)) return Access::repeated;
    const size_t vector = static_cast<size_t>(kLanes<T>) * size_of(x.dtype);
    if (where.in_order(k) && reinterpret_cast<uintptr_t>(x.data) % vector == 0)
      return Access::in_order;
    return where.vectors_of(kLanes<T>, k, x.data, size_of(x.dtype)) ? Access::vectors
                                                                    : Access::scattered;
  }

  Status start(int slots) {
    if (stages_.where.count == 0) return Status::ok;
    constexpr int64_t kTile = kStageThreads * Tile<T>::kCount;
    const int64_t tiles = (stages_.where.count + kTile - 1) / kTile;
    const int64_t most = int64_t{32} * ctx_->device->multiprocessors;
    Grid grid{dim3(static_cast<unsigned>(tiles < most ? tiles : most)), dim3(kStageThreads)};
    grid.shared = static_cast<size_t>(slots) * kTile * sizeof(T);
    return launch(ctx_, run_stages<T, kSteps>, grid, stages_);
  }

  static constexpr bool kIsInteger = static_cast<T>(0.5) == 0;

  ExecContext* ctx_;
  const ChainCall& call_;
  uint32_t numbers_;
  S stages_ = {};
  TensorView views_[S::kOperands];
  int sources_[S::kOperands];
  bool is_number_[S::kOperands];
  int n_views_ = 0;
  int busy_until_[kMaxChain];
};

}  // namespace tg::cuda
