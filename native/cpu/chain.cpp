#include "chain.h"

#include <new>

#include "../core/thread_pool.h"
#include "copy.h"
#include "matmul.h"

namespace tg::cpu {

namespace {

// Elements that pass through all stages at a time: a few arrays of them fit into L1.
constexpr int64_t kChunk = 512;
constexpr int64_t kTask = 16 * kChunk;
// The most that a chunk's result takes; one line more, so that they do not meet in the same sets.
constexpr int64_t kTemporary = kChunk * static_cast<int64_t>(sizeof(double)) + 64;

// What each thread needs of a chain; made once, read by all.
struct Prepared {
  const ChainCall* call;
  ElementwiseFn kernel[kMaxChain];
  int64_t out_size[kMaxChain];
  int64_t temporary[kMaxChain];  // where a result that is not stored lies among those
  alignas(GatherPlan) char plans[kMaxChainOperands * sizeof(GatherPlan)];

  const GatherPlan& plan(int i) const { return reinterpret_cast<const GatherPlan*>(plans)[i]; }
};

// Stages on the elements at … at + count - 1 of the result, count ≤ kChunk; `root`: the root's
// result there.
void run_piece(const Prepared& chain, int64_t at, int64_t count, const void* root) {
  alignas(64) char temporaries[kMaxChain * kTemporary];
  alignas(64) char gathered[kMaxStageInputs][kChunk * sizeof(double)];
  const void* made[kMaxChain];
  const ChainCall& call = *chain.call;
  for (int s = 0; s < call.n_stages; ++s) {
    const ChainStage& stage = call.stages[s];
    const void* in[kMaxStageInputs];
    for (int k = 0; k < stage.n_in; ++k) {
      const int from = stage.in[k];
      if (from < 0) {
        in[k] = ~from == kMaxChain ? root : made[~from];
        continue;
      }
      in[k] = chain.plan(from).direct(at);
      if (in[k]) continue;
      chain.plan(from).gather(at, count, gathered[k]);
      in[k] = gathered[k];
    }
    void* out = stage.out ? static_cast<char*>(stage.out) + at * chain.out_size[s]
                          : temporaries + chain.temporary[s];
    chain.kernel[s](out, in, count, stage.p);
    made[s] = out;
  }
}

void run_range(const Prepared& chain, int64_t begin, int64_t end, const char* root,
               int64_t root_size) {
  for (int64_t at = begin; at < end; at += kChunk)
    run_piece(chain, at, end - at < kChunk ? end - at : kChunk,
              root ? root + (at - begin) * root_size : nullptr);
}

// A row of a product as gemm finishes it.
template <class T>
void finish_row(const void* arg, T* c, int64_t row, int64_t col, int64_t n) {
  const Prepared& chain = *static_cast<const Prepared*>(arg);
  const Shape& shape = chain.call->shape;
  const int64_t begin = row * shape[shape.ndim - 1] + col;
  run_range(chain, begin, begin + n, reinterpret_cast<const char*>(c), sizeof(T));
}

}  // namespace

Status run_chain(const ElementwiseTable& table, const GemmTable& gemm, ExecContext* ctx,
                 const ChainCall& call) {
  Prepared chain;
  chain.call = &call;
  if (call.n_stages > kMaxChain || call.n_operands > kMaxChainOperands)
    return ctx->error->set(Status::internal, "a chain of %d ops", call.n_stages);
  int64_t used = 0;
  for (int s = 0; s < call.n_stages; ++s) {
    const ChainStage& stage = call.stages[s];
    chain.kernel[s] = table.fn[stage.op][static_cast<int>(stage.dtype)];
    chain.out_size[s] = static_cast<int64_t>(size_of(stage.out_dtype));
    chain.temporary[s] = used;
    if (!stage.out) used += kChunk * chain.out_size[s] + 64;
    if (!chain.kernel[s])
      return ctx->error->set(Status::type_error, "%s: not available for %s", name_of(stage.op),
                             name_of(stage.dtype));
  }
  for (int i = 0; i < call.n_operands; ++i)
    new (chain.plans + static_cast<size_t>(i) * sizeof(GatherPlan))
        GatherPlan(call.operands[i].broadcast_to(call.shape));
  ctx->trace.variant = "chain";
  if (call.root) {
    const GemmFinish<float> f32{finish_row<float>, &chain};
    const GemmFinish<double> f64{finish_row<double>, &chain};
    return call.root->op == op_matmul ? run_matmul(gemm, ctx, *call.root, f32, f64)
                                      : run_linear(gemm, ctx, *call.root, f32, f64);
  }
  const int64_t count = call.shape.count();
  if (count < 2 * kTask) {
    run_range(chain, 0, count, nullptr, 0);
    return Status::ok;
  }
  parallel(*ctx->threads, (count + kTask - 1) / kTask, [&](int64_t task) {
    run_range(chain, task * kTask, (task + 1) * kTask < count ? (task + 1) * kTask : count, nullptr,
              0);
  });
  return Status::ok;
}

}  // namespace tg::cpu
