// float32 operands that are written anew before gemm_hopper.cuh's kernels read them: along k,
// whatever their strides.
#pragma once

#include "gemm_place.h"
#include "vector.h"

namespace tg::cuda::hopper {

// `count` matrices with these strides in elements, `batch` of them (stack apart) in each outer
// step; written [count][lines][pitch], the pitch being at least k.
struct Rewrite {
  const float* from;
  int64_t line, step, stack, outer, batch;
  void* to;
  int lines, k, count;
  int64_t pitch;
};

constexpr int kSide = 64;

// Calls write(place, values) for each `per` neighbours along k, which divides the pitch: their
// place in the result, in elements, and their values, 0 from k on. 64 lines by 64 values of k pass
// through shared memory at a time: they are read along whichever axis is contiguous.
template <int per, class Write>
__device__ __forceinline__ void rewrite(const Rewrite& r, Write write) {
  __shared__ float block[kSide][kSide + 1];
  const int across = (r.k + kSide - 1) / kSide, down = (r.lines + kSide - 1) / kSide;
  const int64_t blocks = int64_t{across} * down * r.count;
  for (int64_t index = blockIdx.x; index < blocks; index += gridDim.x) {
    const int64_t matrix = index / (int64_t{across} * down);
    const int at = static_cast<int>(index - matrix * across * down);
    const int line0 = at / across * kSide, k0 = at % across * kSide;
    const float* const from = r.from + place_of(matrix, r.batch, r.stack, r.outer);
#pragma unroll 8
    for (int i = threadIdx.x; i < kSide * kSide; i += kThreads) {
      const int slow = i / kSide, fast = i % kSide;
      const int line = r.step == 1 ? slow : fast, k = r.step == 1 ? fast : slow;
      block[line][k] = line0 + line < r.lines && k0 + k < r.k
                           ? from[(line0 + line) * r.line + (k0 + k) * r.step]
                           : 0.0f;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < kSide * kSide / per; i += kThreads) {
      const int line = i / (kSide / per), k = i % (kSide / per) * per;
      if (line0 + line < r.lines && k0 + k < r.pitch)
        write((matrix * r.lines + line0 + line) * r.pitch + k0 + k, &block[line][k]);
    }
    __syncthreads();
  }
}

// Blocks for a kernel that does so.
inline Grid rewrite_grid(ExecContext* ctx, const Rewrite& r) {
  const int64_t blocks =
      int64_t{(r.lines + kSide - 1) / kSide} * ((r.k + kSide - 1) / kSide) * r.count;
  return grid_for(ctx, blocks * kThreads);
}

}  // namespace tg::cuda::hopper
