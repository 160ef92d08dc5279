// Sums of C's columns, for gradients of biases, while C is on its way to memory. Who finishes some
// rows of C leaves their sum as one line of parts, [lines][n], in float, or double for float64; the
// lines are added in a fixed order, in double.
#pragma once

#include "gemm_epilogue.h"
#include "gemm_plan.h"

namespace tg::cuda {

// Rows of C that make a line, at least.
constexpr int kPartRows = 16;

// What parts take, and where they lie in a call's scratch: behind `used` bytes of it.
inline size_t parts_bytes(const GemmCall& call) {
  if (!call.epilogue.column_sums) return 0;
  return static_cast<size_t>(ceil_div(call.m, kPartRows) * call.n) *
         (call.in == DType::float64 ? sizeof(double) : sizeof(float));
}
inline void* parts_of(const GemmCall& call, size_t used) {
  return call.epilogue.column_sums ? static_cast<char*>(call.scratch) + used : nullptr;
}

// Whether the blocks of a tile kernel can: each finishes its part of C, and there is a counter for
// each column of tiles.
inline bool tiles_sum_columns(const GemmCall& call, const GemmPlan& plan) {
  constexpr int64_t kNarrowest = 32;
  return plan.splits == 1 && call.outer * call.batch == 1 &&
         call.n <= kNarrowest * Device::kArrivals;
}
inline void sum_columns_of(const Device& device, const GemmCall& call, GemmResult* result) {
  result->parts = parts_of(call, 0);
  result->arrivals = device.arrivals;
}

// Adds `lines` of parts for `wide` columns from `first` on. By a block; `room`: of `threads`.
template <int threads, int wide, class Acc>
__device__ __forceinline__ void add_parts(const GemmResult& r, int64_t lines, int64_t n,
                                          int64_t first, double* room) {
  constexpr int down = threads / wide;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t column = first + thread % wide;
  const Acc* const from = static_cast<const Acc*>(r.parts) + column;
  double sum = 0;
  if (column < n) {
#pragma unroll 4
    for (int64_t line = thread / wide; line < lines; line += down)
      sum += static_cast<double>(__ldcg(from + line * n));
  }
  room[thread] = sum;
  __syncthreads();
  if (thread >= wide || column >= n) return;
  for (int i = 1; i < down; ++i) sum += room[i * wide + thread];
  if (r.out == DType::float64)
    static_cast<double*>(r.then.column_sums)[column] = sum;
  else if (r.out == DType::float32)
    static_cast<float*>(r.then.column_sums)[column] = static_cast<float>(sum);
  else
    static_cast<bf16*>(r.then.column_sums)[column] = narrow<bf16>(static_cast<float>(sum));
}

// What a thread of a block has summed of one of its tile's `wide` columns.
template <class Acc, int threads, int wide>
struct ColumnSum {
  static_assert(threads % wide == 0, "threads share the columns evenly");
  static constexpr int down = threads / wide;
  Acc sum = 0;

  // Adds lines of finished elements, of which counts(line) says whether it is part of C. The block
  // has just put them into shared memory, `pitch` apart.
  template <class Counts>
  __device__ __forceinline__ void add(const Acc* staged, int pitch, int lines, Counts counts) {
    __syncthreads();
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll 4
    for (int line = thread / wide; line < lines; line += down)
      if (counts(line)) sum += staged[line * pitch + thread % wide];
  }

  // Leaves the tile's sums as a line of parts; the last block that comes to this column of `tiles`
  // adds those up. `room` in shared memory: of `threads` doubles.
  __device__ __forceinline__ void finish(const GemmResult& r, const TilePlace& tile, int64_t tiles,
                                         int64_t n, void* room) {
    const int thread = static_cast<int>(threadIdx.x);
    const int64_t first = int64_t{tile.column} * wide;
    Acc* const sums = static_cast<Acc*>(room);
    __syncthreads();
    sums[thread] = sum;
    __syncthreads();
    if (thread < wide && first + thread < n) {
#pragma unroll
      for (int i = 1; i < down; ++i) sum += sums[i * wide + thread];
      static_cast<Acc*>(r.parts)[tile.row * n + first + thread] = sum;
    }
    __threadfence();
    __syncthreads();
    unsigned* const arrived = static_cast<unsigned*>(room);
    if (thread == 0) *arrived = atomicAdd(r.arrivals + tile.column, 1u) + 1;
    __syncthreads();
    const bool last = *arrived == static_cast<unsigned>(tiles);
    __syncthreads();
    if (!last) return;
    if (thread == 0) r.arrivals[tile.column] = 0;
    __threadfence();
    add_parts<threads, wide, Acc>(r, tiles, n, first, static_cast<double*>(room));
  }
};

// Adds up `lines` of parts: gemm_partials.cu.
Status finish_columns(ExecContext* ctx, const GemmCall& call, int64_t lines, void* parts);

}  // namespace tg::cuda
