// Many arrays in one launch: lists of items that travel as a kernel's argument, cut into pieces of
// equal size of which each block takes one; and loops over such a piece.
#pragma once

#include <stdint.h>

#include "exact.h"
#include "launch.h"
#include "vector.h"

namespace tg::cuda {

// Bytes of a list. Arguments may have 32 KiB, and every launch copies all of them: this much names
// the parameters of most models in one launch (157 of Adam's items), and costs little where there
// are few.
constexpr int kBatchBytes = 8 << 10;

// Items of kArrays arrays each, which have the same count of elements.
template <int kArrays>
struct Batch {
  static constexpr int kItems = (kBatchBytes - 16) / (8 * kArrays + 12);

  void* array[kArrays][kItems];
  int64_t count[kItems];
  int first[kItems + 1];  // item k is the work of the blocks first[k] … first[k + 1] - 1
  int n = 0;

  bool full() const { return n == kItems; }
  int blocks() const { return n > 0 ? first[n] : 0; }

  // Takes elements of the arrays in pieces of `piece`. Not for empty ones.
  void push(void* const (&arrays)[kArrays], int64_t elements, int64_t piece) {
    for (int k = 0; k < kArrays; ++k) array[k][n] = arrays[k];
    count[n] = elements;
    if (n == 0) first[0] = 0;
    first[n + 1] = first[n] + static_cast<int>((elements + piece - 1) / piece);
    ++n;
  }

  // The calling block's item.
  __device__ __forceinline__ int item() const {
    const int block = static_cast<int>(blockIdx.x);
    int low = 0;
    for (int high = n; high - low > 1;) {
      const int middle = (low + high) / 2;
      if (first[middle] <= block)
        low = middle;
      else
        high = middle;
    }
    return low;
  }
};

// Elements of a block: each thread takes 16 bytes of an array at a time, four times.
template <class T>
constexpr int kPiece = 4 * kThreads * kLanes<T>;

// The elements of x from i on that lie below `count`, 0 for others; all of them, and aligned, if
// `whole`.
template <class T>
__device__ __forceinline__ Vector<T, kLanes<T>> load_some(const T* x, int i, int count,
                                                          bool whole) {
  if (whole) return load<kLanes<T>>(x + i);
  Vector<T, kLanes<T>> v;
#pragma unroll
  for (int lane = 0; lane < kLanes<T>; ++lane) v.at[lane] = i + lane < count ? x[i + lane] : T(0);
  return v;
}
template <class T>
__device__ __forceinline__ void store_some(T* x, int i, int count, bool whole,
                                           const Vector<T, kLanes<T>>& v) {
  if (whole) return store(x + i, v);
#pragma unroll
  for (int lane = 0; lane < kLanes<T>; ++lane)
    if (i + lane < count) x[i + lane] = v.at[lane];
}

// f(x) on the elements of this block's piece, x[k] being the value of array k; what it leaves there
// is stored, but in array kGradient. Positions are the same whatever the arrays' alignment.
constexpr int kGradient = 1;
template <class T, int kArrays, class F>
__device__ __forceinline__ void for_piece(const Batch<kArrays>& batch, F f) {
  constexpr int kN = kLanes<T>;
  constexpr int kAhead = kArrays > 2 ? 1 : 4 / kArrays;  // accesses before the first is waited for
  constexpr int kStep = kThreads * kN;
  const int item = batch.item();
  const int64_t begin = int64_t{static_cast<int>(blockIdx.x) - batch.first[item]} * kPiece<T>;
  const int64_t rest = batch.count[item] - begin;
  const int count = rest < kPiece<T> ? static_cast<int>(rest) : kPiece<T>;
  T* array[kArrays];
  uintptr_t places = 0;
#pragma unroll
  for (int k = 0; k < kArrays; ++k) {
    array[k] = static_cast<T*>(batch.array[k][item]) + begin;
    places |= reinterpret_cast<uintptr_t>(array[k]);
  }
  for (int first = static_cast<int>(threadIdx.x) * kN; first < count; first += kAhead * kStep) {
    const bool whole = places % 16 == 0 && first + (kAhead - 1) * kStep + kN <= count;
    Vector<T, kN> v[kAhead][kArrays];
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
#pragma unroll
      for (int k = 0; k < kArrays; ++k)
        v[a][k] = load_some<T>(array[k], first + a * kStep, count, whole);
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
#pragma unroll
      for (int lane = 0; lane < kN; ++lane) {
        Exact<T> x[kArrays];
#pragma unroll
        for (int k = 0; k < kArrays; ++k) x[k] = v[a][k].at[lane];
        f(x);
#pragma unroll
        for (int k = 0; k < kArrays; ++k) v[a][k].at[lane] = x[k].v;
      }
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
#pragma unroll
      for (int k = 0; k < kArrays; ++k)
        if (k != kGradient) store_some<T>(array[k], first + a * kStep, count, whole, v[a][k]);
  }
}

// f(batch) for lists that together hold all entries of dtype T; arrays(k, a) gives entry k's arrays
// and its count.
template <class T, int kArrays, class Entry, class Arrays, class F>
Status for_batches(const Entry* entries, int n, int64_t piece, Arrays&& arrays, F&& f) {
  Batch<kArrays> batch;
  for (int k = 0; k < n; ++k) {
    void* a[kArrays];
    if (entries[k].dtype != DTypeOf<T>::value) continue;
    const int64_t count = arrays(entries[k], a);
    if (count == 0) continue;
    batch.push(a, count, piece);
    if (!batch.full()) continue;
    TG_TRY(f(batch));
    batch.n = 0;
  }
  return batch.n > 0 ? f(batch) : Status::ok;
}

template <int kArrays>
Grid grid_of(const Batch<kArrays>& batch) {
  return {dim3(static_cast<unsigned>(batch.blocks())), dim3(kThreads)};
}

// What optimizers and clipping work on.
inline Status need_wide_float(ExecContext* ctx, DType dtype) {
  if (is_wide_float(dtype)) return Status::ok;
  return ctx->error->set(Status::type_error, "%s: needs float32 or float64, got %s",
                         ctx->trace.kernel, name_of(dtype));
}

}  // namespace tg::cuda
