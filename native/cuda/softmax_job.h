// What softmax.cu hands to the kernels in softmax_rows.cu, softmax_pairs.cu and softmax_columns.cu,
// and what these have in common.
#pragma once

#include <math.h>

#include <type_traits>

#include "axes.h"
#include "checked.h"
#include "rows.h"

namespace tg::cuda {

// Rows of n elements of x, perhaps of `other` and perhaps of out; `lanes` are the axes over rows,
// with the strides of x, other and out.
template <class T>
struct SoftmaxJob {
  Op op;
  Axes lanes;
  int64_t rows, n;
  const T *x, *other;  // other: y or a float target, else null
  T* out;
  int64_t step_x, step_other, step_out;
  const int32_t* classes;  // int32 target, else null
  int64_t class_stride;
  const T* g;  // of crossEntropyBackward: one number per row
  int64_t g_stride;
  bool vectors;  // all operands' rows are contiguous and lie alike to 16 bytes
  int group;     // threads of a row, or across the columns of a tile
  Check check;
};

template <class C>
__device__ __forceinline__ C infinity() {
  return static_cast<C>(HUGE_VAL);
}
template <class C>
__device__ __forceinline__ C not_a_number() {
  return static_cast<C>(NAN);
}
// What exponents are taken relative to: -Infinity - -Infinity would be NaN where e^-Infinity = 0 is
// meant.
template <class C>
__device__ __forceinline__ C shift_of(C most) {
  return most == -infinity<C>() ? C(0) : most;
}

template <int n, class C>
__device__ __forceinline__ C largest(const C (&x)[n]) {
  C most = x[0];
#pragma unroll
  for (int e = 1; e < n; ++e) most = Larger()(most, x[e]);
  return most;
}

// Each sets job.group. Rows by classes or of one operand, rows of two operands, columns side by
// side (softmax, logSoftmax and their gradients; neighbouring rows adjoin in all operands).
template <class T>
Status launch_rows(ExecContext* ctx, SoftmaxJob<T>& job, int64_t span);
template <class T>
Status launch_pairs(ExecContext* ctx, SoftmaxJob<T>& job, int64_t span);
template <class T>
Status launch_columns(ExecContext* ctx, SoftmaxJob<T>& job);

}  // namespace tg::cuda
