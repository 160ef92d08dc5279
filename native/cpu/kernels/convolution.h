// Gathering the columns of a convolution by whole registers. Where there are no masks, the last one
// of a run overlaps the one before. Includes only the vector vocabulary and the table they fill.
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
    if (n % kLanes)
      store<T>(to + last, load_steps<kStep, T>(from + last * kStep, kStep, kLanes));
    return;
  }
#if defined(__AVX512F__)
  if (kStep) return store<T>(to, load_steps<kStep, T>(from, kStep, n), n);
#endif
  for (int64_t i = 0; i < n; ++i) to[i] = from[i * step];
}

template <int kStep, class T>
void gather_steps(const Gather<T>& s) {
  const T* from = s.from;
  T* to = s.to;
  for (int64_t r = 0; r < s.rows; ++r, from += s.from_row, to += s.to_row)
    for (int64_t i = 0; i < s.n_runs; ++i) {
      const GatherRun& run = s.runs[i];
      if (run.from == GatherRun::kPadding)
        for (int64_t j = 0; j < run.count; ++j) to[run.to + j] = 0;
      else
        gather_run<kStep, T>(to + run.to, from + run.from, s.step, run.count);
    }
}

template <class T>
void copy_runs(const Gather<T>& s) {
  if (s.step == 1) return gather_steps<1, T>(s);
  if (s.step == 2) return gather_steps<2, T>(s);
  gather_steps<0, T>(s);
}

#if defined(__AVX512F__)
template <class T>
TG_INLINE V<T> load_masked(V<T> other, unsigned mask, const T* p) {
  if constexpr (sizeof(T) == 4)
    return (typename V<T>::Vec)_mm512_mask_loadu_ps((__m512)other.v, (__mmask16)mask, p);
  else
    return (typename V<T>::Vec)_mm512_mask_loadu_pd((__m512d)other.v, (__mmask8)mask, p);
}

// Every register of a row is put together from the runs that it meets and stored once: stores, and
// those across cache lines above all, cost more than loads.
template <class T>
void gather(const Gather<T>& s) {
  constexpr int kLanes = V<T>::kLanes;
  constexpr int kMax = 512;
  if (s.step != 1) return copy_runs(s);
  struct Piece {
    int64_t from;  // of the register's first lane, though that may belong to another run
    unsigned mask;
  } pieces[kMax + kMax / kLanes];
  int first[kMax / kLanes + 1];  // piece of each register
  int registers = 0, n = 0;
  int64_t end = 0;
  for (int64_t i = 0; i < s.n_runs; ++i) {
    const GatherRun& run = s.runs[i];
    end = run.to + run.count;
    for (int64_t lane = run.to / kLanes * kLanes; lane < end; lane += kLanes) {
      if (lane >= run.to) first[registers++] = n;
      if (run.from == GatherRun::kPadding) continue;
      const int64_t lo = run.to > lane ? run.to - lane : 0;
      const int64_t hi = end - lane < kLanes ? end - lane : kLanes;
      pieces[n++] = {run.from + lane - run.to, (1u << hi) - (1u << lo)};
    }
  }
  first[registers] = n;
  const int64_t whole = end / kLanes, tail = end % kLanes;
  const T* from = s.from;
  T* to = s.to;
  for (int64_t r = 0; r < s.rows; ++r, from += s.from_row, to += s.to_row)
    for (int v = 0; v < registers; ++v) {
      V<T> x(typename V<T>::Vec{});
      for (int i = first[v]; i < first[v + 1]; ++i)
        x = load_masked<T>(x, pieces[i].mask, from + pieces[i].from);
      if (v < whole)
        store<T>(to + v * kLanes, x);
      else
        store<T>(to + v * kLanes, x, tail);
    }
}
#else
template <class T>
void gather(const Gather<T>& s) {
  copy_runs(s);
}
#endif

template <class T>
constexpr tg::ConvolutionKernels<T> kConvolutionKernels = {gather<T>, copy_runs<T>};
constexpr tg::ConvolutionTable kConvolutionTable = {kConvolutionKernels<float>,
                                                    kConvolutionKernels<double>};

}  // namespace
}  // namespace TG_ISA
