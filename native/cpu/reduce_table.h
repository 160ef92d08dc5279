// The reduction kernels of one instruction set, as a plain table of functions. Includes no project
// file, since both the kernels (compiled per instruction set) and their driver (compiled once) read
// it.
#pragma once

#include <stdint.h>

namespace tg {

// What is folded together: x; (x - shift)²; exp(x - shift); the larger; the smaller. NaN wins in
// the last two.
enum Fold { kFoldSum, kFoldSquares, kFoldExps, kFoldMax, kFoldMin, kFolds };

// Row kernels add blocks of this many elements in T and combine the blocks in double.
constexpr int64_t kRowBlock = 4096;
// Up to this length, rows are folded many at a time.
constexpr int64_t kShortRow = 64;
// Column kernels are called with at most this many rows, whose sum stays in T.
constexpr int64_t kColumnBlock = 128;

template <class T>
struct Reducers {
  // Folds x[0 … n-1]. Sums run in 128 / sizeof(T) interleaved lanes and a fixed tree, so their bits
  // are those of every instruction set. Of int32: the sum modulo 2³², in [0, 2³²). Of nothing: 0 or
  // ∓Infinity.
  double (*rows[kFolds])(const T* x, int64_t n, T shift);
  // rows[] of `count` rows `stride` elements apart: out[r] is the fold of row r. For rows so short
  // that a call for each would cost as much as the work; 1 <= n <= kRowBlock.
  void (*each_row[kFolds])(const T* x, int64_t stride, int64_t n, int64_t count, const T* shift,
                           double* out);
  // out[c] = the fold of x[r * stride + c] over r; 1 <= rows <= kColumnBlock; shift[c] as above,
  // null where it is not used. int32 sums wrap.
  void (*columns[kFolds])(const T* x, int64_t stride, int64_t rows, int64_t cols, const T* shift,
                          T* out);
  // The first i with x[i] == value, or with NaN if value is NaN; n if there is none.
  int64_t (*find)(const T* x, int64_t n, T value);
  // [0] the largest and [1] the smallest of each column, as columns[], with the first row that has
  // it; NaN passes for the most extreme.
  void (*arg_columns[2])(const T* x, int64_t stride, int64_t rows, int64_t cols, T* best, T* index);
};

struct ReduceTable {
  Reducers<float> f32;
  Reducers<double> f64;
  Reducers<int32_t> i32;  // kFoldSquares and kFoldExps are null
};

}  // namespace tg
