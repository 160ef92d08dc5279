// How a reduction is shared among threads. Depends on nothing but the operand's shape, strides and
// alignment, so that the same reduction has the same bits each time and everywhere.
#pragma once

#include "../core/backend.h"
#include "axes.h"
#include "rows.h"

namespace tg::cuda {

struct ReducePlan {
  Axes kept;                    // strides of x and of the result
  int64_t outputs, n;           // n elements for each output: `runs` times `inner`
  Axes outer;                   // strides of x over runs
  int64_t runs, inner, stride;  // the elements of a run lie `stride` apart
  // Rows: the threads of a group share the elements of an output. Columns: a thread has several
  // neighbouring outputs, and every so many of their elements.
  bool columns;
  bool vectors;  // 16 bytes at a time, along a run or across outputs
  Team team;     // columns: `group` threads across, threads / group down
  int lines;     // threads of a group, or down a column, that share a run; the others have another
  // The elements in parts, joined at the end: some runs each, and of these some elements.
  int64_t run_part, inner_part, inner_parts, segments;
};

// `mask`: bit set of the axes of x to reduce. The result is contiguous. `ordered`: elements count
// in row-major order. `second`: null, or another operand of the layout of x.
ReducePlan plan_reduction(const TensorView& x, uint32_t mask, bool ordered, const void* second);

// The families of reductions of reduce.cu that have a file of their own.
Status reduce_extremes(ExecContext* ctx, const OpCall& call, const ReducePlan& plan);
Status reduce_moments(ExecContext* ctx, const OpCall& call, const ReducePlan& plan);

// Elements that a thread reads at a time: of a row, and of its columns.
template <class T>
constexpr int kRowElements = sizeof(T) == 8 ? 8 : 16;
template <class T, int kOperandCount>
constexpr int kColumnRows = (sizeof(T) == 8 ? 4 : 32 / kLanes<T>) / kOperandCount;

}  // namespace tg::cuda
