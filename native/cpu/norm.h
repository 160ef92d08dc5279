// Runs batch and layer normalisation and their derivatives on tensors of any strides. No kernels.
#pragma once

#include "../core/backend.h"
#include "norm_table.h"
#include "reduce_table.h"

namespace tg::cpu {

// Means and variances are found in two passes and combined in double. call.out is contiguous and
// aliases no input. Sums are cut at fixed boundaries: the same bits for any number of threads.
// op_layerNorm, op_layerNormBackward, op_layerNormSums; attrs.axis: the first normalised axis.
Status run_layer_norm(const NormTable& table, const ReduceTable& folds, ExecContext* ctx,
                      const OpCall& call);
// op_channelMoments, op_channelNorm, op_channelNormSums, op_channelNormBackward. Sets
// trace.variant: "columns" for [n, channels], else "planes".
Status run_channel_norm(const NormTable& table, const ReduceTable& folds, ExecContext* ctx,
                        const OpCall& call);

}  // namespace tg::cpu
