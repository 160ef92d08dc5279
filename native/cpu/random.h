// Random tensors from Philox4x32-10. Element i depends on (seed, stream, i) and the dtype only: not
// on threads, instruction set, C library or the tensor's size. Compiled once, for the baseline.
#pragma once

#include "../core/backend.h"

namespace tg::cpu {

// [attrs.p[0], attrs.p[1]): low + (high - low) k 2⁻²⁴ for float32, k 2⁻⁵³ for float64; rounding
// never yields high. Only low if they are equal; a range_error if not low ≤ high or not finite.
Status run_uniform(ExecContext* ctx, const OpCall& call);

// Mean attrs.p[0] and standard deviation attrs.p[1], by Box–Muller in double from words of 32
// (float32: at most 6.66 deviations) or 52 bits (float64: 8.57); errors of the logarithm, sine and
// cosine are a few ULP of double. Finite if mean and deviation are of ordinary size.
Status run_normal(ExecContext* ctx, const OpCall& call);

// Integers in [⌈attrs.p[0]⌉, attrs.p[1]) in any dtype (bool: whether not 0), by a 64-bit
// multiply-shift: the bias is below (high - low) 2⁻⁶⁴. A range_error if there is none, or a bound
// is not within ±2⁵³ (±2³¹ for int32).
Status run_randint(ExecContext* ctx, const OpCall& call);

// Dropout: element i of in[0] over 1 - attrs.p[0], or 0 where word i of the stream, read as a
// fraction of 2³², is below attrs.p[0]. The same elements for every dtype.
Status run_drop(ExecContext* ctx, const OpCall& call);

}  // namespace tg::cpu
