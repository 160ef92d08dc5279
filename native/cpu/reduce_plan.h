// How a reduction will be done: the order of axes in which memory is best read, and where the work
// is cut. Depends on shape and strides only, never on threads. For reduce*.cpp.
#pragma once

#include "../core/op.h"
#include "reduce_table.h"
#include "walk.h"

namespace tg::cpu {

constexpr int64_t kTile = 512;          // outputs of a unit, at most
constexpr int64_t kPackedWidth = 64;    // elements of several narrow rows taken as one
constexpr int64_t kGatherRows = 32;     // rows of a gathered column block
constexpr int64_t kUnitWork = 16384;    // elements that a unit should have, at least
constexpr int64_t kThreadWork = 65536;  // below this, threads cost more than they give

enum class Path { rows, columns, gathered_rows, gathered_columns };
constexpr const char* kPathNames[] = {"rows", "columns", "gathered rows", "gathered columns"};

// Outputs and the elements behind each of them.
struct Plan {
  Op op;
  Axes kept, reduced;
  int64_t outputs, n;  // n elements per output
  double correction;
  Path path;
  int64_t width;  // outputs per tile: neighbours on the innermost kept axis
  int64_t tiles_per_run, tiles;
  int64_t segments, segment;  // the n elements in `segments` parts of `segment`
  Fold fold[2];
  int passes;
  bool arg, largest;
  bool packed;      // columns: rows adjoin one another and are so narrow that several make one
  bool short_rows;  // rows: so short that they are folded many at a time
};

inline int64_t magnitude(int64_t stride) { return stride < 0 ? -stride : stride; }
inline int64_t limit(int64_t x, int64_t low, int64_t high) {
  return x < low ? low : x > high ? high : x;
}
inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// `mask`: bit set of the axes to reduce. With no outputs or nothing to reduce only the counts are
// set.
void make_plan(const OpCall& call, uint32_t mask, Plan* plan);

}  // namespace tg::cpu
