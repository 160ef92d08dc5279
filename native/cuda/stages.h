// The interpreter of elementwise ops: a kernel whose threads take a few elements each through the
// stages of a chain, one stage after the other, so that memory is read and written once. Memory
// sets the pace: choosing the op at run time costs what its latency hides, and spares hundreds of
// kernels.
#pragma once

#include "../core/chain.h"
#include "launch.h"
#include "rules.h"
#include "strided.h"
#include "vector.h"

namespace tg::cuda {

// Threads of a block, and how many vectors of 16 bytes each of them holds of every operand, so
// that as many loads are under way.
constexpr int kStageThreads = 128, kGroups = 2;
// bfloat16 is computed in float, and only there.
template <class T>
constexpr bool kTakesBf16 = false;
template <>
constexpr bool kTakesBf16<float> = true;

// How a thread finds kLanes neighbouring elements of an operand.
enum class Access : uint8_t {
  number,     // one, an argument of the kernel
  repeated,   // one element in memory
  in_order,   // a vector at their index
  vectors,    // a vector at the first one's offset
  scattered,  // each at its own offset
};

template <class T>
struct StageOperand {
  const void* data;
  T number;
  DType dtype;
  Access access;
};

constexpr int8_t kNoSlot = -1;

template <class T>
struct StageStep {
  void* out;  // contiguous; or null
  T p[2];
  Op op;
  DType dtype;   // of the result
  bool aligned;  // out takes vectors
  int8_t slot;   // where later stages find the result in shared memory, or kNoSlot
  int8_t n_in;
  int8_t in[kMaxStageInputs];  // ≥ 0: an operand; else ~ a slot
};

// What a launch is told. kSteps = 1: one op, whose operands are 0, 1, …; no slots.
template <class T, int kSteps>
struct Stages {
  static constexpr int kOperands = kSteps * kMaxStageInputs;
  int n;
  StageStep<T> step[kSteps];
  StageOperand<T> operand[kOperands];
  Strided<kOperands> where;
};

// A thread's elements: kGroups vectors, a block's width apart.
template <class T>
struct Tile {
  static constexpr int kCount = kGroups * kLanes<T>;
  int64_t at[kGroups];
  int left[kGroups];  // elements, 0 … kLanes

  __device__ __forceinline__ Tile(int64_t begin, int64_t count) {
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      at[g] = begin + (g * kStageThreads + static_cast<int>(threadIdx.x)) * kLanes<T>;
      const int64_t rest = count - at[g];
      left[g] = rest < 0 ? 0 : rest < kLanes<T> ? static_cast<int>(rest) : kLanes<T>;
    }
  }
};

// kLanes elements of stored type S as numbers: the vector at offset[0] if `whole`, else the first
// `left` one by one.
template <class S, class T>
__device__ __forceinline__ void read_as(const void* data, bool whole, int left,
                                        const int64_t (&offset)[kLanes<T>], T* v) {
  const S* const from = static_cast<const S*>(data);
  if (whole) {
    const Vector<S, kLanes<T>> part = load<kLanes<T>>(from + offset[0]);
#pragma unroll
    for (int j = 0; j < kLanes<T>; ++j) v[j] = static_cast<T>(widen(part.at[j]));
  } else {
#pragma unroll
    for (int j = 0; j < kLanes<T>; ++j)
      if (j < left) v[j] = static_cast<T>(widen(from[offset[j]]));
  }
}

template <class T>
__device__ __forceinline__ T read_one(const StageOperand<T>& x) {
  if (x.dtype == DType::boolean) return static_cast<T>(*static_cast<const uint8_t*>(x.data));
  if constexpr (kTakesBf16<T>)
    if (x.dtype == DType::bfloat16) return widen(*static_cast<const bf16*>(x.data));
  return *static_cast<const T*>(x.data);
}

template <class T, int kSteps>
__device__ __forceinline__ void read(const Stages<T, kSteps>& stages, int k, const Tile<T>& tile,
                                     T (&v)[Tile<T>::kCount]) {
  const StageOperand<T>& x = stages.operand[k];
  const Access access = x.access;
  if (access <= Access::repeated) {
    const T value = access == Access::number ? x.number : read_one(x);
#pragma unroll
    for (int e = 0; e < Tile<T>::kCount; ++e) v[e] = value;
    return;
  }
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    if (tile.left[g] == 0) continue;
    const bool whole = access != Access::scattered && tile.left[g] == kLanes<T>;
    int64_t offset[kLanes<T>] = {};
    if (whole) {
      offset[0] = access == Access::in_order ? tile.at[g] : stages.where.offset(k, tile.at[g]);
    } else {
      // A loop, for less code; it fills from the back, since it cannot index registers.
#pragma unroll 1
      for (int j = 0; j < kLanes<T>; ++j) {
#pragma unroll
        for (int i = 1; i < kLanes<T>; ++i) offset[i - 1] = offset[i];
        offset[kLanes<T> - 1] = stages.where.offset(k, tile.at[g] + j);
      }
    }
    T* const to = v + g * kLanes<T>;
    if (x.dtype == DType::boolean)
      read_as<uint8_t>(x.data, whole, tile.left[g], offset, to);
    else if (kTakesBf16<T> && x.dtype == DType::bfloat16)
      read_as<bf16>(x.data, whole, tile.left[g], offset, to);
    else
      read_as<T>(x.data, whole, tile.left[g], offset, to);
  }
}

template <class S, class T>
__device__ __forceinline__ S stored(T y) {
  if constexpr (sizeof(S) == 1)
    return y != T(0);
  else
    return narrow<S>(y);
}

template <class S, class T>
__device__ __forceinline__ void write_as(const StageStep<T>& step, const Tile<T>& tile,
                                         const T (&y)[Tile<T>::kCount]) {
  S* const out = static_cast<S*>(step.out);
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    Vector<S, kLanes<T>> part;
#pragma unroll
    for (int j = 0; j < kLanes<T>; ++j) part.at[j] = stored<S>(y[g * kLanes<T> + j]);
    if (step.aligned && tile.left[g] == kLanes<T>) {
      store_global(out + tile.at[g], part);
    } else {
#pragma unroll
      for (int j = 0; j < kLanes<T>; ++j)
        if (j < tile.left[g]) out[tile.at[g] + j] = part.at[j];
    }
  }
}

template <class T>
__device__ __forceinline__ void write(const StageStep<T>& step, const Tile<T>& tile,
                                      const T (&y)[Tile<T>::kCount]) {
  if (step.dtype == DType::boolean) return write_as<uint8_t>(step, tile, y);
  if constexpr (kTakesBf16<T>)
    if (step.dtype == DType::bfloat16) return write_as<bf16>(step, tile, y);
  write_as<T>(step, tile, y);
}

// A vector of this thread's in a slot. Threads use none but their own: no barriers, and accesses of
// neighbours are neighbours.
template <class T>
__device__ __forceinline__ Vector<T, kLanes<T>>& place(int slot, int g) {
  return dynamic_shared<Vector<T, kLanes<T>>>()[(slot * kGroups + g) * kStageThreads + threadIdx.x];
}
template <class T>
__device__ __forceinline__ void read_slot(int slot, T (&v)[Tile<T>::kCount]) {
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    const Vector<T, kLanes<T>> part = place<T>(slot, g);
#pragma unroll
    for (int j = 0; j < kLanes<T>; ++j) v[g * kLanes<T> + j] = part.at[j];
  }
}
// As a tensor of that dtype would hold it.
template <class T>
__device__ __forceinline__ void write_slot(int slot, DType dtype, const T (&y)[Tile<T>::kCount]) {
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    Vector<T, kLanes<T>> part;
#pragma unroll
    for (int j = 0; j < kLanes<T>; ++j) {
      part.at[j] = y[g * kLanes<T> + j];
      if constexpr (kTakesBf16<T>)
        if (dtype == DType::bfloat16) part.at[j] = widen(narrow<bf16>(part.at[j]));
    }
    place<T>(slot, g) = part;
  }
}

template <class T, int kSteps>
__device__ __forceinline__ void run_step(const Stages<T, kSteps>& stages, int s,
                                         const Tile<T>& tile) {
  const StageStep<T>& step = stages.step[s];
  T v[kMaxStageInputs][Tile<T>::kCount] = {};
#pragma unroll
  for (int k = 0; k < kMaxStageInputs; ++k) {
    if (k >= step.n_in) break;
    if (kSteps == 1 || step.in[k] >= 0)
      read(stages, kSteps == 1 ? k : step.in[k], tile, v[k]);
    else
      read_slot(~step.in[k], v[k]);
  }
  // Vector by vector with the same code. A loop cannot index registers, so they move: operands
  // leave at the front, and results enter at the back of the first one's.
#pragma unroll 1
  for (int g = 0; g < kGroups; ++g) {
    T result[kLanes<T>] = {};
    apply(step.op, v, step.p, result);
#pragma unroll
    for (int k = 0; k < kMaxStageInputs; ++k) {
#pragma unroll
      for (int e = kLanes<T>; e < Tile<T>::kCount; ++e) v[k][e - kLanes<T>] = v[k][e];
    }
#pragma unroll
    for (int j = 0; j < kLanes<T>; ++j) v[0][Tile<T>::kCount - kLanes<T> + j] = result[j];
  }
  if (step.out) write(step, tile, v[0]);
  if (kSteps > 1 && step.slot != kNoSlot) write_slot(step.slot, step.dtype, v[0]);
}

template <class T, int kSteps>
__global__ void __launch_bounds__(kStageThreads, sizeof(T) == 4 ? (kSteps == 1 ? 8 : 7) : 5)
    run_stages(const __grid_constant__ Stages<T, kSteps> stages) {
  constexpr int kTile = kStageThreads * Tile<T>::kCount;
  const int64_t count = stages.where.count;
  for (int64_t begin = int64_t{blockIdx.x} * kTile; begin < count;
       begin += int64_t{gridDim.x} * kTile) {
    const Tile<T> tile(begin, count);
#pragma unroll 1
    for (int s = 0; s < (kSteps == 1 ? 1 : stages.n); ++s) run_step(stages, s, tile);
  }
}

}  // namespace tg::cuda
