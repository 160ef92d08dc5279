// bfloat16 on the CPU: the one place where ops that have no kernel for it run in float32. Includes
// no kernel headers.
#pragma once

#include "../core/bfloat16.h"
#include "bfloat16_table.h"

namespace tg::cpu {

// Whether an input or the result is bfloat16.
bool has_bfloat16(const OpCall& call);

// Runs `float32_op`, a float32 op of any kind, on float32 copies of the bfloat16 operands, and
// rounds what it computes once. Integer and bool operands pass as they are. Random numbers stay
// below their upper bound.
Status run_widened(const Bfloat16Table& table, ExecContext* ctx, const OpCall& call,
                   Status (*float32_op)(const void* kernels, ExecContext*, const OpCall&),
                   const void* kernels);

// x, of bfloat16 and any strides, as contiguous float32. No overlap.
void widen(const Bfloat16Table& table, ThreadPool& threads, const TensorView& x, float* out);
// count float32 at x rounded to contiguous bfloat16. No overlap.
void narrow(const Bfloat16Table& table, ThreadPool& threads, const float* x, int64_t count,
            void* out);

}  // namespace tg::cpu
