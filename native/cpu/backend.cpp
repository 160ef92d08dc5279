#include "backend.h"

#include <cstring>

#include "../core/float_mode.h"
#include "chain.h"
#include "elementwise.h"
#include "convolution.h"
#include "cpu_features.h"
#include "matmul.h"
#include "norm.h"
#include "optimizers.h"
#include "pool.h"
#include "random.h"
#include "reduce.h"
#include "shape_ops.h"
#include "softmax.h"
#include "table.h"

extern "C" {
#if defined(__x86_64__)
extern const tg::cpu::KernelTable tg_kernels_avx512, tg_kernels_avx2, tg_kernels_baseline;
#else
extern const tg::cpu::KernelTable tg_kernels_neon;
#endif
}

namespace tg::cpu {

namespace {

Status run(const KernelTable& kernels, ExecContext* ctx, const OpCall& call) {
  const DType traced =
      call.n_in > 0 ? call.in[call.n_in > 1 && call.op == op_where ? 1 : 0].dtype : call.out.dtype;
  ctx->trace = {kernels.isa, name_of(call.op), name_of(traced), ""};
  ++ctx->counters.kernels;
  switch (call.op) {
    case op_sum:
    case op_mean:
    case op_max:
    case op_min:
    case op_logSumExp:
    case op_variance:
    case op_argmax:
    case op_argmin:
    case op_sumTo:
      return run_reduce(kernels.reduce, ctx, call);
    case op_softmax:
    case op_logSoftmax:
    case op_softmaxBackward:
    case op_logSoftmaxBackward:
    case op_crossEntropy:
    case op_crossEntropyBackward:
      return run_softmax(kernels.softmax, ctx, call);
    case op_matmul:
      return run_matmul(kernels.gemm, ctx, call);
    case op_linear:
      return run_linear(kernels.gemm, ctx, call);
    case op_clone:
      return run_clone(ctx, call);
    case op_cast:
      return run_cast(ctx, call);
    case op_concat:
      return run_concat(ctx, call);
    case op_pad:
      return run_pad(ctx, call);
    case op_indexSelect:
      return run_index_select(ctx, call);
    case op_indexAdd:
      return run_index_add(ctx, call);
    case op_conv2d:
    case op_convolve2d:
      return run_conv2d({kernels.gemm, kernels.convolution}, ctx, call);
    case op_conv2dInput:
      return run_conv2d_input({kernels.gemm, kernels.convolution}, ctx, call);
    case op_conv2dWeight:
      return run_conv2d_weight({kernels.gemm, kernels.convolution}, ctx, call);
    case op_maxPool2d:
    case op_avgPool2d:
    case op_maxPool2dBackward:
    case op_maxPool2dSelect:
    case op_avgPool2dBackward:
      return run_pool(kernels.pool, ctx, call);
    case op_layerNorm:
    case op_layerNormBackward:
    case op_layerNormSums:
      return run_layer_norm(kernels.norm, kernels.reduce, ctx, call);
    case op_channelMoments:
    case op_channelNorm:
    case op_channelNormSums:
    case op_channelNormBackward:
      return run_channel_norm(kernels.norm, kernels.reduce, ctx, call);
    case op_drop:
      return run_drop(ctx, call);
    case op_full:
      return run_full(ctx, call);
    case op_arange:
      return run_arange(ctx, call);
    case op_eye:
      return run_eye(ctx, call);
    case op_uniform:
      return run_uniform(ctx, call);
    case op_normal:
      return run_normal(ctx, call);
    case op_randint:
      return run_randint(ctx, call);
    default:
      return run_elementwise(kernels.elementwise, ctx, call);
  }
}

// One backend per kernel table: functions of a C table have no `this`. All kernels run under one
// floating-point mode, whoever calls; the pool hands it on to its threads.
template <const KernelTable& kernels>
constexpr Backend kBackend = {
    kBackendAbi,
    "cpu",
    [](ExecContext* ctx, const OpCall* call) {
      const FlushDenormals mode;
      return run(kernels, ctx, *call);
    },
    [](ExecContext* ctx, const ChainCall* call) {
      const FlushDenormals mode;
      ++ctx->counters.kernels;
      ctx->trace = {kernels.isa, name_of(call->root ? call->root->op : call->stages[0].op),
                    name_of(call->stages[0].dtype), ""};
      return run_chain(kernels.elementwise, kernels.gemm, ctx, *call);
    },
    [](ExecContext* ctx, int rule, const double* numbers, const OptimizerItem* items, int n) {
      const FlushDenormals mode;
      return optimize(kernels.optimizers, ctx, rule, numbers, items, n);
    },
    [](ExecContext* ctx, const OptimizerItem* items, int n, double* norm) {
      const FlushDenormals mode;
      return gradient_norm(kernels.optimizers, ctx, items, n, norm);
    },
    [](ExecContext* ctx, const TensorView* tensors, int n, double factor) {
      const FlushDenormals mode;
      return scale(kernels.optimizers, ctx, tensors, n, factor);
    },
    [](ExecContext* ctx, const TensorView* tensors, int n, double limit) {
      const FlushDenormals mode;
      return clip(kernels.optimizers, ctx, tensors, n, limit);
    },
    [](ExecContext* ctx, const TensorView* y, const TensorView* x) {
      const FlushDenormals mode;
      return accumulate(kernels.optimizers, ctx, y, x);
    },
};

struct Candidate {
  const KernelTable& kernels;
  const Backend& backend;
};
// Best first.
const Candidate kCandidates[] = {
#if defined(__x86_64__)
    {tg_kernels_avx512, kBackend<tg_kernels_avx512>},
    {tg_kernels_avx2, kBackend<tg_kernels_avx2>},
    {tg_kernels_baseline, kBackend<tg_kernels_baseline>},
#else
    {tg_kernels_neon, kBackend<tg_kernels_neon>},
#endif
};

}  // namespace

const char* available_isas(char (&buffer)[kIsaText]) {
  buffer[0] = 0;
  for (const Candidate& c : kCandidates) {
    if (!has_isa(c.kernels.isa)) continue;
    const size_t used = std::strlen(buffer);
    std::snprintf(buffer + used, sizeof buffer - used, "%s%s", used ? " " : "", c.kernels.isa);
  }
  return buffer;
}

Status choose_backend(const char* isa, Error* error, const Backend** result, const char** chosen) {
  for (const Candidate& c : kCandidates) {
    if ((!isa || std::strcmp(isa, c.kernels.isa) == 0) && has_isa(c.kernels.isa)) {
      *result = &c.backend;
      *chosen = c.kernels.isa;
      return Status::ok;
    }
  }
  char names[kIsaText];
  return error->set(Status::range_error, "TAPEGRAD_ISA is '%.40s', but this machine offers: %s",
                    isa ? isa : "", available_isas(names));
}

}  // namespace tg::cpu
