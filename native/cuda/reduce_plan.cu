#include "reduce_plan.h"

namespace tg::cuda {

namespace {

constexpr int64_t kEnough = 1024;  // blocks that keep any chip at work
constexpr int kBlock = 256;
constexpr int64_t kReadAtOnce = 16;     // elements of a row that a thread should have
constexpr int64_t kRowPart = 8192;      // elements of a row that are worth a block
constexpr int64_t kColumnPart = 4;      // rounds of a thread down a column that are
constexpr int64_t kMostPart = 1 << 30;  // kernels count a part's elements in an int

int64_t magnitude(int64_t stride) { return stride < 0 ? -stride : stride; }
int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
// The least power of two that is not below x, at most `most`.
int power(int64_t x, int most) {
  int p = 1;
  while (p < x && p < most) p *= 2;
  return p;
}

// Cuts the elements of an output so that `blocks` times as many blocks are enough, into parts of at
// least `part`: by runs, and if those are too few by `step` elements of a run.
void cut(ReducePlan* plan, int64_t blocks, int64_t part, int64_t step) {
  const int64_t wanted =
      blocks >= kEnough ? 1 : smaller(divide_up(plan->n, part), divide_up(kEnough, blocks));
  plan->run_part = divide_up(plan->runs, smaller(plan->runs, wanted));
  const int64_t run_parts = divide_up(plan->runs, plan->run_part);
  plan->inner_part = divide_up(divide_up(plan->inner, divide_up(wanted, run_parts)), step) * step;
  plan->inner_part = smaller(plan->inner_part, kMostPart);
  plan->inner_parts = divide_up(plan->inner, plan->inner_part);
  plan->segments = run_parts * plan->inner_parts;
}

void share_columns(ReducePlan* plan, int64_t lanes, int64_t rows) {
  // A cache line's worth of outputs at least, if that many lie side by side.
  const int least = power(divide_up(plan->kept.inner().size, lanes), 32);
  int down = power(divide_up(plan->n, rows), kBlock / least);
  const int across = power(divide_up(plan->outputs, lanes), kBlock / down);
  if (across * down < 32) down = 32 / across;
  plan->team = {across, across * down};
  plan->lines = power(divide_up(plan->inner, rows), down);
  cut(plan, divide_up(plan->outputs, across * lanes), down * rows * kColumnPart,
      plan->lines * rows);
}

void share_rows(ReducePlan* plan) {
  plan->team = team_of(plan->n, kReadAtOnce, kBlock);
  plan->lines = power(divide_up(plan->inner, kReadAtOnce), plan->team.group);
  // Smaller groups have enough company in their block.
  cut(plan, plan->team.group < kBlock ? kEnough : plan->outputs, kRowPart, kRowPart / 2);
}

}  // namespace

ReducePlan plan_reduction(const TensorView& x, uint32_t mask, bool ordered, const void* second) {
  ReducePlan plan{};
  plan.outputs = plan.n = 1;
  int64_t out_stride[kMaxDims];
  for (int i = x.shape.ndim - 1; i >= 0; --i) {
    out_stride[i] = mask >> i & 1 ? 0 : plan.outputs;
    (mask >> i & 1 ? plan.n : plan.outputs) *= x.shape[i];
  }
  if (plan.outputs == 0 || plan.n == 0) return plan;
  Axes reduced;
  for (int i = 0; i < x.shape.ndim; ++i)
    (mask >> i & 1 ? reduced : plan.kept).push(x.shape[i], x.strides[i], out_stride[i]);
  if (!ordered) reduced.sort();
  plan.kept.sort();
  reduced.merge();
  plan.kept.merge();
  plan.inner = reduced.inner().size;
  plan.stride = reduced.inner().stride[0];
  plan.runs = plan.n / plan.inner;
  plan.outer = reduced;
  --plan.outer.n;
  plan.outer.merge();
  const int64_t lanes = 16 / static_cast<int64_t>(size_of(x.dtype));
  const int64_t down = magnitude(plan.stride), across = magnitude(plan.kept.inner().stride[0]);
  plan.columns = plan.outputs > 1 && across != 0 && (plan.n == 1 || down == 0 || across < down);
  if (plan.columns) {
    plan.vectors =
        plan.kept.grouped(0, lanes) && aligned16(x.data) && (!second || aligned16(second));
    for (int i = 0; i < reduced.n; ++i) plan.vectors &= reduced.axis[i].stride[0] % lanes == 0;
    share_columns(&plan, lanes, 4);
  } else {
    // Runs need no alignment, but that of the other operand: see Slots.
    plan.vectors =
        plan.stride == 1 &&
        (!second ||
         (reinterpret_cast<uintptr_t>(second) - reinterpret_cast<uintptr_t>(x.data)) % 16 == 0);
    share_rows(&plan);
  }
  return plan;
}

}  // namespace tg::cuda
