// Single elementwise ops. Those computed in float, which is nearly all, have a kernel that carries
// fewer arguments than that of chains.
#include "elementwise.h"

#include "chain.h"
#include "copy.h"
#include "stages_launch.h"

namespace tg::cuda {

namespace {

// Whether neighbours lie so far apart that each costs a piece of memory of its own, as in a large
// transposed matrix: then copying it in order first, tile by tile, is the shorter way.
bool scattered(const OpCall& call, int i) {
  constexpr int64_t kWorthwhile = 1 << 16, kRow = 32, kSector = 32;
  if (call.numbers >> i & 1) return false;
  const TensorView& x = call.in[i];
  if (x.shape.count() < kWorthwhile) return false;
  Strided<1> lies;
  lies.set(x.shape, &x, 1);
  const int64_t step = lies.stride[0][0] < 0 ? -lies.stride[0][0] : lies.stride[0][0];
  return lies.n_axes > 1 && lies.axis[0].size >= kRow &&
         step * static_cast<int64_t>(size_of(x.dtype)) > kSector;
}

// Replaces such inputs by copies in scratch memory.
Status put_in_order(ExecContext* ctx, const OpCall& call, TensorView* in) {
  size_t offset[kMaxStageInputs] = {}, total = 0;
  for (int i = 0; i < call.n_in; ++i) {
    offset[i] = total;
    if (scattered(call, i)) total += (in[i].bytes() + 255) / 256 * 256;
  }
  if (total == 0) return Status::ok;
  char* const memory = static_cast<char*>(scratch(ctx, total));
  if (!memory) return Status::out_of_memory;
  for (int i = 0; i < call.n_in; ++i) {
    if (!scattered(call, i)) continue;
    OpCall copy{op_clone, &call.in[i], 1, in[i], {}};
    copy.out.data = memory + offset[i];
    contiguous_strides(copy.out.shape, copy.out.strides);
    TG_TRY(run_copy(ctx, copy));
    in[i] = copy.out;
  }
  return Status::ok;
}

bool in_order(const OpCall& call) {
  for (int i = 0; i < call.n_in; ++i)
    if (call.in[i].shape != call.out.shape || !call.in[i].contiguous()) return false;
  return true;
}

}  // namespace

Status run_elementwise(ExecContext* ctx, const OpCall& call) {
  if (call.n_in < 1 || call.n_in > kMaxStageInputs)
    return ctx->error->set(Status::internal, "%s: %d inputs", name_of(call.op), call.n_in);
  // The first input that is a number decides (a condition is bool), but bfloat16 beside it.
  const TensorView& typed = call.in[call.op == op_where ? 1 : 0];
  DType dtype = typed.dtype;
  for (int i = 0; i < call.n_in; ++i)
    if (call.in[i].dtype == DType::bfloat16) dtype = DType::bfloat16;
  TG_TRY(check_rule(ctx, call.op, dtype));
  ctx->trace.variant = in_order(call) ? "in order" : "gathered";
  ctx->trace.dtype = name_of(dtype);
  if (call.out.shape.count() == 0) return Status::ok;

  TensorView in[kMaxStageInputs];
  for (int i = 0; i < call.n_in; ++i) in[i] = call.in[i];
  TG_TRY(put_in_order(ctx, call, in));
  ChainStage stage = {call.op, dtype, call.out.dtype, call.n_in, {0, 1, 2, 3}, {}, call.out.data};
  for (int i = 0; i < 4; ++i) stage.p[i] = call.attrs.p[i];
  const ChainCall chain{nullptr, call.out.shape, in, call.n_in, &stage, 1};
  if (computed_in(dtype) == DType::float32)
    return StagesLaunch<float, 1>(ctx, chain, call.numbers).run(0, 0);
  return run_stages(ctx, chain, call.numbers);
}

Status accumulate(ExecContext* ctx, const TensorView& y, const TensorView& x) {
  if (x.dtype != y.dtype || x.shape != y.shape)
    return ctx->error->set(Status::internal, "accumulate: operands differ in dtype or shape");
  OpCall add{op_add, nullptr, 2, y, {}};
  add.out.shape = Shape{};
  add.out.shape.push(y.shape.count());
  add.out.strides[0] = 1;
  TensorView in[2] = {add.out, add.out};
  in[1].data = x.data;
  add.in = in;
  return run_elementwise(ctx, add);
}

}  // namespace tg::cuda
