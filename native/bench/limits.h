// What the machine can do at most: FMAs per second and bytes per second, with one or more threads.
// Knows nothing of tapegrad's kernels; its threads are those of tapegrad's pool.
#pragma once

#include <stdint.h>

#include <string>

#include "../core/thread_pool.h"
#include "timing.h"

namespace tg::bench {

/** The vectors that the loops are compiled for: "avx512", "avx2", "128 bits". */
const char* limits_isa();

/** The time of `flops` operations (an FMA is two) in registers. */
template <class T>
Timing fma_peak(ThreadPool& pool, double flops, double seconds);

/**
 * The time to move `bytes`. "copy": half are read, half written to another place, by ordinary or by
 * streaming stores, whichever a trial shows to be faster; "update": half are read and written in
 * place; "read": summed.
 */
Timing bandwidth(ThreadPool& pool, const std::string& kind, int64_t bytes, double seconds);

}  // namespace tg::bench
