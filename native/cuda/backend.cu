// Which driver runs an op: the CUDA twin of cpu/backend.cpp.
#include "backend.h"

#include <cuda_runtime.h>

#include "chain.h"
#include "convolution.h"
#include "copy.h"
#include "device.h"
#include "elementwise.h"
#include "matmul.h"
#include "norm.h"
#include "optimizers.h"
#include "pool.h"
#include "random.h"
#include "reduce.h"
#include "shape_ops.h"
#include "softmax.h"

namespace tg::cuda {

namespace {

Status run(ExecContext* ctx, const OpCall& call) {
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
      return run_reduce(ctx, call);
    case op_softmax:
    case op_logSoftmax:
    case op_softmaxBackward:
    case op_logSoftmaxBackward:
    case op_crossEntropy:
    case op_crossEntropyBackward:
      return run_softmax(ctx, call);
    case op_matmul:
    case op_linear:
      return run_product(ctx, call);
    case op_clone:
    case op_cast:
      return run_copy(ctx, call);
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
      return run_conv2d(ctx, call);
    case op_conv2dInput:
      return run_conv2d_input(ctx, call);
    case op_conv2dWeight:
      return run_conv2d_weight(ctx, call);
    case op_maxPool2d:
    case op_avgPool2d:
    case op_maxPool2dBackward:
    case op_maxPool2dSelect:
    case op_avgPool2dBackward:
      return run_pool(ctx, call);
    case op_layerNorm:
    case op_layerNormBackward:
    case op_layerNormSums:
      return run_layer_norm(ctx, call);
    case op_channelMoments:
    case op_channelNorm:
    case op_channelNormSums:
    case op_channelNormBackward:
      return run_channel_norm(ctx, call);
    case op_full:
    case op_arange:
    case op_eye:
      return run_constant(ctx, call);
    case op_drop:
    case op_uniform:
    case op_normal:
    case op_randint:
      return run_random(ctx, call);
    default:
      return run_elementwise(ctx, call);
  }
}

// Kernels launch on the device of the calling thread.
void enter(ExecContext* ctx, const char* kernel, DType dtype) {
  (void)cudaSetDevice(ctx->device->index);
  ctx->trace = {"cuda", kernel, name_of(dtype), ""};
  ++ctx->counters.kernels;
}

}  // namespace

const Backend kBackend = {
    kBackendAbi,
    "cuda",
    [](ExecContext* ctx, const OpCall* call) {
      const int typed = call->n_in > 1 && call->op == op_where ? 1 : 0;
      enter(ctx, name_of(call->op), call->n_in > 0 ? call->in[typed].dtype : call->out.dtype);
      return run(ctx, *call);
    },
    [](ExecContext* ctx, const ChainCall* call) {
      enter(ctx, name_of(call->root ? call->root->op : call->stages[0].op), call->stages[0].dtype);
      return run_chain(ctx, *call);
    },
    [](ExecContext* ctx, int rule, const double* numbers, const OptimizerItem* items, int n) {
      enter(ctx, kOptimizerInfo[rule].name, n > 0 ? items[0].dtype : DType::float32);
      return optimize(ctx, rule, numbers, items, n);
    },
    [](ExecContext* ctx, const OptimizerItem* items, int n, double* norm) {
      enter(ctx, "gradientNorm", n > 0 ? items[0].dtype : DType::float32);
      return gradient_norm(ctx, items, n, norm);
    },
    [](ExecContext* ctx, const TensorView* tensors, int n, double factor) {
      enter(ctx, "scale", n > 0 ? tensors[0].dtype : DType::float32);
      return scale(ctx, tensors, n, factor);
    },
    [](ExecContext* ctx, const TensorView* tensors, int n, double limit, bool finite,
       const double* norm) {
      enter(ctx, "clipNorm", n > 0 ? tensors[0].dtype : DType::float32);
      return clip_norm(ctx, tensors, n, limit, finite, norm);
    },
    [](ExecContext* ctx, const TensorView* tensors, int n, double limit) {
      enter(ctx, "clip", n > 0 ? tensors[0].dtype : DType::float32);
      return clip(ctx, tensors, n, limit);
    },
    [](ExecContext* ctx, const TensorView* y, const TensorView* x) {
      enter(ctx, "accumulate", y->dtype);
      return accumulate(ctx, *y, *x);
    },
    [](ExecContext* ctx, void* to, const void* from, size_t bytes) {
      enter(ctx, "copyFrom", DType::float32);
      return assign(ctx, to, from, bytes);
    },
};

}  // namespace tg::cuda
