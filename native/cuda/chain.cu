// Chains: a matrix product first, if there is one, and with it an activation, or the gradient of
// one and its column sums; then a launch for each run of stages that compute in one type, which is
// all of them but where comparisons in one type choose values of another; then sums that are left.
#include "chain.h"

#include "gemm.h"
#include "matmul.h"
#include "reduce.h"
#include "stages_launch.h"

namespace tg::cuda {

namespace {

// What stages compute in from `first` to the one returned.
int end_of_run(const ChainCall& call, int first) {
  int last = first;
  while (last + 1 < call.n_stages &&
         computed_in(call.stages[last + 1].dtype) == computed_in(call.stages[first].dtype))
    ++last;
  return last;
}

// Gives results that a later run reads, and nobody else, a place in memory.
Status store_between_runs(ExecContext* ctx, const ChainCall& call, ChainStage* stages) {
  bool crosses[kMaxChain] = {};
  for (int first = 0, last; first < call.n_stages; first = last + 1) {
    last = end_of_run(call, first);
    for (int s = first; s <= last; ++s)
      for (int k = 0; k < stages[s].n_in; ++k) {
        const int from = ~stages[s].in[k];
        if (from >= 0 && from < first && !stages[from].out) crosses[from] = true;
      }
  }
  size_t offset[kMaxChain], total = 0;
  for (int s = 0; s < call.n_stages; ++s) {
    offset[s] = total;
    if (crosses[s])
      total += (static_cast<size_t>(call.shape.count()) * size_of(stages[s].out_dtype) + 255) /
               256 * 256;
  }
  if (total == 0) return Status::ok;
  char* const memory = static_cast<char*>(scratch(ctx, total));
  if (!memory) return Status::out_of_memory;
  for (int s = 0; s < call.n_stages; ++s)
    if (crosses[s]) stages[s].out = memory + offset[s];
  return Status::ok;
}

// Whether the product can do the first stage, and how it ends then.
bool ends_product(const ChainCall& call, ProductEnd* end) {
  const ChainStage& first = call.stages[0];
  const TensorView& product = call.root->out;
  if (!gemm_fuses(first.op) || first.in[0] != ~kMaxChain || !first.out ||
      first.out_dtype != product.dtype)
    return false;
  const void* read = nullptr;
  if (gemm_fuses_gradient(first.op)) {
    if (first.in[1] < 0) return false;
    const TensorView& kept = call.operands[first.in[1]];
    if ((call.numbers >> first.in[1] & 1) || kept.dtype != product.dtype ||
        kept.shape != product.shape || !kept.contiguous())
      return false;
    read = kept.data;
  }
  *end = {&first, read, nullptr};
  return true;
}

}  // namespace

Status run_stages(ExecContext* ctx, const ChainCall& call, uint32_t numbers, int done) {
  if (call.n_stages > kMaxChain || call.n_operands > kMaxChainOperands)
    return ctx->error->set(Status::internal, "a chain of %d ops", call.n_stages);
  ChainStage stages[kMaxChain];
  for (int s = 0; s < call.n_stages; ++s) {
    TG_TRY(check_rule(ctx, call.stages[s].op, call.stages[s].dtype));
    stages[s] = call.stages[s];
  }
  ChainCall stored = call;
  stored.stages = stages;
  TG_TRY(store_between_runs(ctx, call, stages));
  for (int first = done, last; first < call.n_stages; first = last + 1) {
    last = end_of_run(call, first);
    switch (computed_in(stages[first].dtype)) {
      case DType::float64:
        TG_TRY((StagesLaunch<double, kMaxChain>(ctx, stored, numbers).run(first, last)));
        break;
      case DType::int32:
        TG_TRY((StagesLaunch<int32_t, kMaxChain>(ctx, stored, numbers).run(first, last)));
        break;
      default:
        TG_TRY((StagesLaunch<float, kMaxChain>(ctx, stored, numbers).run(first, last)));
    }
  }
  return Status::ok;
}

Status run_chain(ExecContext* ctx, const ChainCall& call) {
  ProductEnd end;
  const bool ends = call.root && ends_product(call, &end);
  int with_product = -1;  // which sum the product makes
  for (int i = 0; ends && i < call.n_sums && with_product < 0; ++i)
    if (call.sums[i].in[0].data == end.stage->out) with_product = i;
  if (with_product >= 0) end.column_sums = call.sums[with_product].out.data;
  bool summed = false;
  if (call.root) TG_TRY(run_product(ctx, *call.root, end, &summed));
  TG_TRY(run_stages(ctx, call, 0, ends));
  for (int i = 0; i < call.n_sums; ++i)
    if (!summed || i != with_product) TG_TRY(run_reduce(ctx, call.sums[i]));
  const bool all = ends && call.n_stages == 1 && call.n_sums == summed;
  ctx->trace.variant = all ? "chain in its product" : "chain";
  return Status::ok;
}

}  // namespace tg::cuda
