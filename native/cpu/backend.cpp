#include "backend.h"

#include <cstring>

#include "../core/float_mode.h"
#include "bfloat16.h"
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

// Builds for tests may have one instruction set only: TAPEGRAD_ISAS in CMakeLists.txt.
#if !defined(TG_ONLY_baseline) && !defined(TG_ONLY_avx2)
#define TG_HAS_AVX512
#endif
#if !defined(TG_ONLY_baseline)
#define TG_HAS_AVX2
#endif
#if !defined(TG_ONLY_avx2)
#define TG_HAS_BASELINE
#endif

extern "C" {
#if defined(__x86_64__)
extern const tg::cpu::KernelTable tg_kernels_avx512, tg_kernels_avx2, tg_kernels_baseline;
extern const tg::cpu::GemmBf16Table tg_kernels_avx512bf16;
#else
extern const tg::cpu::KernelTable tg_kernels_neon;
#endif
}

namespace tg::cpu {

namespace {

// What runs on a CPU under one name.
struct Isa {
  const char* name;
  const KernelTable& kernels;
  const GemmBf16Table* gemm_bf16;  // null: in float32
};
#if defined(__x86_64__)
#if defined(TG_HAS_AVX512)
constexpr Isa kAvx512Bf16{"avx512bf16", tg_kernels_avx512, &tg_kernels_avx512bf16};
constexpr Isa kAvx512{"avx512", tg_kernels_avx512, nullptr};
#endif
#if defined(TG_HAS_AVX2)
constexpr Isa kAvx2{"avx2", tg_kernels_avx2, nullptr};
#endif
#if defined(TG_HAS_BASELINE)
constexpr Isa kBaseline{"baseline", tg_kernels_baseline, nullptr};
#endif
#else
constexpr Isa kNeon{"neon", tg_kernels_neon, nullptr};
#endif

// Ops that move or make elements of any size, or widen bfloat16 themselves.
bool takes_bfloat16(const KernelTable& kernels, Op op) {
  switch (op) {
    case op_clone:
    case op_cast:
    case op_concat:
    case op_pad:
    case op_indexSelect:
    case op_full:
    case op_arange:
    case op_eye:
      return true;
    default:
      return kernels.elementwise.fn[op][0] != nullptr;
  }
}

Status run(const Isa& isa, ExecContext* ctx, const OpCall& call) {
  const KernelTable& kernels = isa.kernels;
  const DType traced =
      call.n_in > 0 ? call.in[call.n_in > 1 && call.op == op_where ? 1 : 0].dtype : call.out.dtype;
  ctx->trace = {isa.name, name_of(call.op), name_of(traced), ""};
  ++ctx->counters.kernels;
  if (has_bfloat16(call) && !takes_bfloat16(kernels, call.op)) {
    if (isa.gemm_bf16 && (call.op == op_matmul || call.op == op_linear))
      return run_product_bf16(*isa.gemm_bf16, kernels.bfloat16, ctx, call);
    return run_widened(
        kernels.bfloat16, ctx, call,
        [](const void* self, ExecContext* context, const OpCall& wide) {
          return run(*static_cast<const Isa*>(self), context, wide);
        },
        &isa);
  }
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
      return run_elementwise(kernels.elementwise, kernels.bfloat16, ctx, call);
  }
}

// y += x over dense memory of one order: as flat arrays.
Status accumulate_bfloat16(const Isa& isa, ExecContext* ctx, const TensorView& y,
                           const TensorView& x) {
  OpCall call{op_add, nullptr, 2, y, {}};
  call.out.shape = Shape{};
  call.out.shape.push(y.shape.count());
  call.out.strides[0] = 1;
  TensorView in[2] = {call.out, call.out};
  in[1].data = x.data;
  call.in = in;
  return run(isa, ctx, call);
}

// One backend per instruction set: functions of a C table have no `this`. All kernels run under one
// floating-point mode, whoever calls; the pool hands it on to its threads.
template <const Isa& isa>
constexpr Backend kBackend = {
    kBackendAbi,
    "cpu",
    [](ExecContext* ctx, const OpCall* call) {
      const FlushDenormals mode;
      return run(isa, ctx, *call);
    },
    [](ExecContext* ctx, const ChainCall* call) {
      const FlushDenormals mode;
      ++ctx->counters.kernels;
      ctx->trace = {isa.name, name_of(call->root ? call->root->op : call->stages[0].op),
                    name_of(call->stages[0].dtype), ""};
      TG_TRY(run_chain(isa.kernels.elementwise, isa.kernels.gemm, ctx, *call));
      for (int i = 0; i < call->n_sums; ++i) TG_TRY(run(isa, ctx, call->sums[i]));
      return Status::ok;
    },
    [](ExecContext* ctx, int rule, const double* numbers, const OptimizerItem* items, int n) {
      const FlushDenormals mode;
      return optimize(isa.kernels.optimizers, ctx, rule, numbers, items, n);
    },
    [](ExecContext* ctx, const OptimizerItem* items, int n, double* norm) {
      const FlushDenormals mode;
      return gradient_norm(isa.kernels.optimizers, ctx, items, n, norm);
    },
    [](ExecContext* ctx, const TensorView* tensors, int n, double factor) {
      const FlushDenormals mode;
      return scale(isa.kernels.optimizers, ctx, tensors, n, factor);
    },
    [](ExecContext* ctx, const TensorView* tensors, int n, double limit, bool finite,
       const double* norm) {
      const double factor = clip_factor(*norm, limit, finite);
      if (factor == 1) return Status::ok;
      const FlushDenormals mode;
      return scale(isa.kernels.optimizers, ctx, tensors, n, factor);
    },
    [](ExecContext* ctx, const TensorView* tensors, int n, double limit) {
      const FlushDenormals mode;
      return clip(isa.kernels.optimizers, ctx, tensors, n, limit);
    },
    [](ExecContext* ctx, const TensorView* y, const TensorView* x) {
      const FlushDenormals mode;
      if (y->dtype == DType::bfloat16) return accumulate_bfloat16(isa, ctx, *y, *x);
      return accumulate(isa.kernels.optimizers, ctx, y, x);
    },
    [](ExecContext*, void* to, const void* from, size_t bytes) {
      if (bytes > 0) std::memcpy(to, from, bytes);
      return Status::ok;
    },
};

struct Candidate {
  const Isa& isa;
  const Backend& backend;
};
// Best first.
const Candidate kCandidates[] = {
#if defined(__x86_64__)
#if defined(TG_HAS_AVX512)
    {kAvx512Bf16, kBackend<kAvx512Bf16>},
    {kAvx512, kBackend<kAvx512>},
#endif
#if defined(TG_HAS_AVX2)
    {kAvx2, kBackend<kAvx2>},
#endif
#if defined(TG_HAS_BASELINE)
    {kBaseline, kBackend<kBaseline>},
#endif
#else
    {kNeon, kBackend<kNeon>},
#endif
};

}  // namespace

const char* available_isas(char (&buffer)[kIsaText]) {
  buffer[0] = 0;
  for (const Candidate& c : kCandidates) {
    if (!has_isa(c.isa.name)) continue;
    const size_t used = std::strlen(buffer);
    std::snprintf(buffer + used, sizeof buffer - used, "%s%s", used ? " " : "", c.isa.name);
  }
  return buffer;
}

Status choose_backend(const char* isa, Error* error, const Backend** result, const char** chosen) {
  for (const Candidate& c : kCandidates) {
    if ((!isa || std::strcmp(isa, c.isa.name) == 0) && has_isa(c.isa.name)) {
      *result = &c.backend;
      *chosen = c.isa.name;
      return Status::ok;
    }
  }
  char names[kIsaText];
  return error->set(Status::range_error, "TAPEGRAD_ISA is '%.40s', but this machine offers: %s",
                    isa ? isa : "", available_isas(names));
}

}  // namespace tg::cpu
