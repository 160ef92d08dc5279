// Rows shared among threads: who holds which elements, and folding what they found. Row kernels are
// launched with blocks of whole warps; a row belongs to a group of 1, 2, 4, … 32 lanes, or to all
// threads of a block.
#pragma once

#include <math.h>

#include "launch.h"
#include "vector.h"

namespace tg::cuda {

// The threads of a row, as the host chooses them.
struct Team {
  int group;    // threads of a row: a power of two
  int threads;  // of a block: `group`, or several groups of at most a warp
  int rows() const { return threads / group; }
};

// For rows of n elements of which a thread holds `each` at a time.
inline Team team_of(int64_t n, int64_t each, int most) {
  int group = 1;
  while (group < most && group * each < n) group *= 2;
  return {group, group > 32 ? group : 128};
}

inline Grid grid_of(const ExecContext* ctx, const Team& team, int64_t rows) {
  const int64_t wanted = (rows + team.rows() - 1) / team.rows();
  const int64_t most = int64_t{32} * ctx->device->multiprocessors;
  return {dim3(static_cast<unsigned>(wanted < most ? wanted : most)),
          dim3(static_cast<unsigned>(team.threads))};
}

// Rows that their threads can hold in registers are read once; of longer ones a second reading
// comes from the cache as far as it reaches. Elements that a thread has at a time:
constexpr int kFew = 8;
template <class T>
constexpr int kMany = 128 / static_cast<int>(sizeof(Compute<T>));
template <class T>
constexpr int kStreamed = 64 / static_cast<int>(sizeof(Compute<T>));
constexpr int kMostThreads = 512;

// Launches the kernel for rows that span `span` elements: `many` holds kHeld of a row in a thread.
// Sets job.group.
template <class T, int kHeld, class Job>
Status launch_by_length(ExecContext* ctx, Job& job, int64_t span, void (*few)(Job),
                        void (*many)(Job), void (*streamed)(Job)) {
  const bool short_row = span <= kFew * kMostThreads, whole = span <= kHeld * kMostThreads;
  const Team team = team_of(span, short_row ? kFew : whole ? kHeld : kStreamed<T>, kMostThreads);
  job.group = team.group;
  ctx->trace.variant = whole ? "rows" : "long rows";
  return launch(ctx, short_row ? few : whole ? many : streamed, grid_of(ctx, team, job.rows), job);
}

template <class T>
__device__ __forceinline__ T shuffle_xor(T value, int lane) {
  static_assert(sizeof(T) % 4 == 0, "words");
  int words[sizeof(T) / 4];
  memcpy(words, &value, sizeof value);
#pragma unroll
  for (int i = 0; i < static_cast<int>(sizeof(T) / 4); ++i)
    words[i] = __shfl_xor_sync(0xffffffffu, words[i], lane);
  memcpy(&value, words, sizeof value);
  return value;
}

// join(a, b) over the values of a group, in a fixed order: its first thread gets the result, and so
// do the others if join does not mind the order of two. All threads of the block must come. `room`:
// one per warp, used if the group is longer than a warp.
template <class T, class Join>
__device__ __forceinline__ T fold_group(T value, int group, T* room, Join join) {
  for (int lane = (group < 32 ? group : 32) / 2; lane > 0; lane /= 2)
    value = join(value, shuffle_xor(value, lane));
  if (group > 32) {
    __syncthreads();  // the last to use the room have read it
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = value;
    __syncthreads();
    value = room[0];
    for (int warp = 1; warp < group / 32; ++warp) value = join(value, room[warp]);
  }
  return value;
}

__device__ __forceinline__ float exponential(float x) { return expf(x); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ float logarithm(float x) { return logf(x); }
__device__ __forceinline__ double logarithm(double x) { return log(x); }

struct Plus {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
// The larger; a number rather than NaN.
struct Larger {
  __device__ __forceinline__ float operator()(float a, float b) const { return fmaxf(a, b); }
  __device__ __forceinline__ double operator()(double a, double b) const { return fmax(a, b); }
};

// The numbers of elements that a thread of a group holds: kEach of every group · kEach. Either
// vectors of neighbours, beginning where the row's memory is next aligned to 16 bytes or before
// (`skew` elements before element 0), or one at a time. Index: int where one round is all.
template <class T, int kEach, class Index>
struct Slots {
  static constexpr int kWide = kLanes<T> < kEach ? kLanes<T> : kEach;
  static constexpr int kVectors = kEach / kWide;
  int member, group;
  bool vectors;
  int skew;

  __device__ __forceinline__ Slots(int index, int size, bool wide, const void* row)
      : member(index), group(size), vectors(wide) {
    const unsigned byte = static_cast<unsigned>(reinterpret_cast<uintptr_t>(row) % 16);
    skew = vectors ? static_cast<int>(byte / sizeof(T)) : 0;
  }

  // Element of slot e < kEach in round `first` / (group · kEach); may lie outside the row.
  __device__ __forceinline__ Index element(Index first, int e) const {
    return first +
           (vectors ? (member + e / kWide * group) * kWide + e % kWide - skew : member + e * group);
  }
  // Rounds begin at 0, step(), 2 step(), … below end(n).
  __device__ __forceinline__ Index step() const { return static_cast<Index>(group) * kEach; }
  __device__ __forceinline__ Index end(Index n) const { return n + skew; }

  // x[e] = row[element], widened, `none` outside of it; all loads before the first use.
  __device__ __forceinline__ void read(const T* row, int64_t stride, Index n, Index first,
                                       Compute<T> none, Compute<T> (&x)[kEach]) const {
    if (vectors) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        const Index at = element(first, v * kWide);
        Vector<T, kWide> some;
        if (at >= 0 && at + kWide <= n) {
          some = load<kWide>(row + at);
        } else {
#pragma unroll
          for (int k = 0; k < kWide; ++k)
            some.at[k] = at + k >= 0 && at + k < n ? row[at + k] : narrow<T>(none);
        }
#pragma unroll
        for (int k = 0; k < kWide; ++k) x[v * kWide + k] = widen(some.at[k]);
      }
    } else {
#pragma unroll
      for (int e = 0; e < kEach; ++e) {
        const Index at = element(first, e);
        x[e] = at < n ? widen(row[at * stride]) : none;
      }
    }
  }

  __device__ __forceinline__ void write(T* row, int64_t stride, Index n, Index first,
                                        const Compute<T> (&y)[kEach]) const {
    if (vectors) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        const Index at = element(first, v * kWide);
        Vector<T, kWide> some;
#pragma unroll
        for (int k = 0; k < kWide; ++k) some.at[k] = narrow<T>(y[v * kWide + k]);
        if (at >= 0 && at + kWide <= n) {
          store<kWide>(row + at, some);
        } else {
#pragma unroll
          for (int k = 0; k < kWide; ++k)
            if (at + k >= 0 && at + k < n) row[at + k] = some.at[k];
        }
      }
    } else {
#pragma unroll
      for (int e = 0; e < kEach; ++e) {
        const Index at = element(first, e);
        if (at < n) row[at * stride] = narrow<T>(y[e]);
      }
    }
  }
};

}  // namespace tg::cuda
