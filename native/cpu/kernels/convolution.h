// Gathering the columns of a convolution by whole registers: the last one of a run overlaps the one
// before. (Putting registers together by masked loads, to store each once, was slower on Zen 4.)
// Includes only the vector vocabulary and the table they fill.
#pragma once

#include "../convolution_table.h"
#include "steps.h"

namespace TG_ISA {
namespace {

using tg::Gather;
using tg::GatherRun;

// to[0 … n - 1] = from[0], from[step], …; kStep as in load_steps.
template <int kStep, class T>
TG_INLINE void gather_run(T* to, const T* from, int64_t step, int64_t n) {
  constexpr int kLanes = V<T>::kLanes;
  if (kStep && n >= kLanes) {
    for (int64_t i = 0; i + kLanes <= n; i += kLanes)
      store<T>(to + i, load_steps<kStep, T>(from + i * kStep, kStep, kLanes));
    const int64_t last = n - kLanes;
    if (n % kLanes) store<T>(to + last, load_steps<kStep, T>(from + last * kStep, kStep, kLanes));
    return;
  }
#if defined(__AVX512F__)
  if (kStep) return store<T>(to, load_steps<kStep, T>(from, kStep, n), n);
#endif
  for (int64_t i = 0; i < n; ++i) to[i] = from[i * step];
}

template <class T>
TG_INLINE void clear_run(T* to, int64_t n) {
  constexpr int kLanes = V<T>::kLanes;
  const V<T> zero(typename V<T>::Vec{});
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store<T>(to + i, zero);
  if (i < n) store<T>(to + i, zero, n - i);
}

template <int kStep, class T>
void gather_steps(const Gather<T>& s) {
  const T* from = s.from;
  T* to = s.to;
  for (int64_t r = 0; r < s.rows; ++r, from += s.from_row, to += s.to_row)
    for (int64_t i = 0; i < s.n_runs; ++i) {
      const GatherRun& run = s.runs[i];
      if (run.from == GatherRun::kPadding)
        clear_run<T>(to + run.to, run.count);
      else
        gather_run<kStep, T>(to + run.to, from + run.from, s.step, run.count);
    }
}

template <class T>
void gather(const Gather<T>& s) {
  if (s.step == 1) return gather_steps<1, T>(s);
  if (s.step == 2) return gather_steps<2, T>(s);
  gather_steps<0, T>(s);
}

template <class T>
constexpr tg::ConvolutionKernels<T> kConvolutionKernels = {gather<T>};
constexpr tg::ConvolutionTable kConvolutionTable = {kConvolutionKernels<float>,
                                                    kConvolutionKernels<double>};

}  // namespace
}  // namespace TG_ISA
