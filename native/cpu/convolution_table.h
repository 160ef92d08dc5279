// The convolution kernels of one instruction set, as a plain table of functions. Includes no
// project file, since both kernels and driver read it.
#pragma once

#include <stdint.h>

namespace tg {

// Neighbouring pixels of a row of columns: `count` >= 1 elements from to[to] on, read at
// from[from], from[from + step], …; or zeros, if `from` is kPadding.
struct GatherRun {
  static constexpr int64_t kPadding = -1;
  int64_t to, from, count;
};

// Rows of columns that see the same places of one channel each: row r goes from `from + r from_row`
// to `to + r to_row`. The runs do not overlap; nothing outside them is read or written.
template <class T>
struct Gather {
  const GatherRun* runs;
  int64_t n_runs, step;
  const T* from;
  T* to;
  int64_t rows, from_row, to_row;
};

template <class T>
struct ConvolutionKernels {
  void (*gather)(const Gather<T>&);
};

struct ConvolutionTable {
  ConvolutionKernels<float> f32;
  ConvolutionKernels<double> f64;
};

}  // namespace tg
