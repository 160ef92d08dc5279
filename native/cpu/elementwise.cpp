#include "elementwise.h"

#include "../core/thread_pool.h"
#include "bfloat16.h"
#include "copy.h"

namespace tg::cpu {

namespace {

constexpr int kMaxOperands = 4;
// Operands that do not lie in order are gathered at most this many elements at a time, into L1.
constexpr int64_t kChunk = 1024;
// Elements per task: enough work to be worth a wake-up.
constexpr int64_t kTask = 16 * kChunk;

// Where an operand is gathered to: bfloat16 behind the place of its float32 values.
char* narrow_part(const TensorView& x, char* to) {
  return x.dtype == DType::bfloat16 ? to + kChunk * sizeof(float) : to;
}
void widen_in_place(const Bfloat16Table& bfloat16, char* to, int64_t count) {
  bfloat16.widen(reinterpret_cast<float*>(to),
                 reinterpret_cast<const uint16_t*>(to + kChunk * sizeof(float)), count);
}

// Operands of bfloat16 are widened chunk by chunk, and a result of it is rounded from float32.
void run_chunks(const Bfloat16Table& bfloat16, ElementwiseFn kernel, const OpCall& call,
                const GatherPlan* plans, int64_t begin, int64_t end) {
  alignas(64) char gathered[kMaxOperands][kChunk * sizeof(double)];
  alignas(64) float wide_out[kChunk];
  const int64_t out_size = static_cast<int64_t>(size_of(call.out.dtype));
  const bool narrows = call.out.dtype == DType::bfloat16;
  const void* in[kMaxOperands];
  for (int i = 0; i < call.n_in; ++i) {
    if (!plans[i].constant()) continue;
    const int64_t count = end - begin < kChunk ? end - begin : kChunk;
    plans[i].gather(begin, count, narrow_part(call.in[i], gathered[i]));
    if (call.in[i].dtype == DType::bfloat16) widen_in_place(bfloat16, gathered[i], count);
  }
  for (int64_t at = begin; at < end;) {
    int64_t count = end - at < kChunk ? end - at : kChunk;
    for (int i = 0; i < call.n_in; ++i) in[i] = plans[i].in_order(at, &count);
    for (int i = 0; i < call.n_in; ++i) {
      const bool widens = call.in[i].dtype == DType::bfloat16;
      if (in[i] && !widens) continue;
      if (in[i]) {
        bfloat16.widen(reinterpret_cast<float*>(gathered[i]), static_cast<const uint16_t*>(in[i]),
                       count);
      } else if (!plans[i].constant()) {
        plans[i].gather(at, count, narrow_part(call.in[i], gathered[i]));
        if (widens) widen_in_place(bfloat16, gathered[i], count);
      }
      in[i] = gathered[i];
    }
    char* const out = static_cast<char*>(call.out.data) + at * out_size;
    kernel(narrows ? static_cast<void*>(wide_out) : out, in, count, call.attrs.p);
    if (narrows) bfloat16.narrow(reinterpret_cast<uint16_t*>(out), wide_out, count);
    at += count;
  }
}

// Replaces views that a chunk would pick from all over memory (large transposes) by copies made at
// once, in blocks that use whole cache lines.
Status copy_scattered(ExecContext* ctx, const OpCall& call, TensorView* views) {
  size_t offsets[kMaxOperands], total = 0;
  for (int i = 0; i < call.n_in; ++i) {
    offsets[i] = SIZE_MAX;
    if (!GatherPlan(views[i]).scattered()) continue;
    offsets[i] = total;
    total += (static_cast<size_t>(views[i].shape.count()) * size_of(views[i].dtype) + 63) / 64 * 64;
  }
  if (total == 0) return Status::ok;
  char* scratch = static_cast<char*>(ctx->scratch(ctx->owner, total));
  if (!scratch)
    return ctx->error->set(Status::out_of_memory, "%s: no memory for %zu bytes of scratch",
                           name_of(call.op), total);
  for (int i = 0; i < call.n_in; ++i) {
    if (offsets[i] == SIZE_MAX) continue;
    copy_strided(*ctx->threads, views[i], scratch + offsets[i]);
    views[i].data = scratch + offsets[i];
    contiguous_strides(views[i].shape, views[i].strides);
  }
  return Status::ok;
}

bool all_in_order(const OpCall& call) {
  for (int i = 0; i < call.n_in; ++i)
    if (call.in[i].shape != call.out.shape || !call.in[i].contiguous()) return false;
  return true;
}

}  // namespace

Status run_elementwise(const ElementwiseTable& table, const Bfloat16Table& bfloat16,
                       ExecContext* ctx, const OpCall& call) {
  // The first input that is a number decides (a condition is bool).
  const TensorView& typed = call.in[call.op == op_where ? 1 : 0];
  const bool widens = has_bfloat16(call);
  const DType computed = widens ? DType::float32 : typed.dtype;
  const int row = static_cast<int>(computed);
  const ElementwiseFn kernel = row < kArithmeticTypes ? table.fn[call.op][row] : nullptr;
  if (!kernel)
    return ctx->error->set(Status::type_error, "%s: not available for %s", name_of(call.op),
                           name_of(typed.dtype));
  const int64_t count = call.out.shape.count();
  const int64_t out_size = static_cast<int64_t>(size_of(call.out.dtype));

  const bool in_order = all_in_order(call);
  ctx->trace.variant = in_order ? "in order" : "gathered";
  if (widens) ctx->trace.dtype = name_of(DType::bfloat16);
  if (in_order && !widens) {
    auto range = [&](int64_t begin, int64_t end) {
      const void* in[kMaxOperands];
      for (int i = 0; i < call.n_in; ++i)
        in[i] = static_cast<const char*>(call.in[i].data) +
                begin * static_cast<int64_t>(size_of(call.in[i].dtype));
      kernel(static_cast<char*>(call.out.data) + begin * out_size, in, end - begin, call.attrs.p);
    };
    if (count < 2 * kTask) {
      range(0, count);
    } else {
      parallel(*ctx->threads, (count + kTask - 1) / kTask, [&](int64_t task) {
        range(task * kTask, (task + 1) * kTask < count ? (task + 1) * kTask : count);
      });
    }
    return Status::ok;
  }

  if (count == 0) return Status::ok;
  TensorView views[kMaxOperands];
  for (int i = 0; i < kMaxOperands; ++i)
    views[i] = call.in[i < call.n_in ? i : 0].broadcast_to(call.out.shape);
  TG_TRY(copy_scattered(ctx, call, views));
  const GatherPlan plans[kMaxOperands] = {GatherPlan(views[0]), GatherPlan(views[1]),
                                          GatherPlan(views[2]), GatherPlan(views[3])};
  if (count < 2 * kTask) {
    run_chunks(bfloat16, kernel, call, plans, 0, count);
  } else {
    parallel(*ctx->threads, (count + kTask - 1) / kTask, [&](int64_t task) {
      run_chunks(bfloat16, kernel, call, plans, task * kTask,
                 (task + 1) * kTask < count ? (task + 1) * kTask : count);
    });
  }
  return Status::ok;
}

}  // namespace tg::cpu
