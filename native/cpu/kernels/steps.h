// Every step-th element of a line as a register: what strided windows read. Includes only the
// vector vocabulary.
#pragma once

#include "vec.h"

namespace TG_ISA {
namespace {

// Elements 0, 2, … of 2 kLanes - 1, of which b's registers begin at the last of a's.
template <class T>
TG_INLINE V<T> even_lanes(V<T> a, V<T> b) {
  if constexpr (V<T>::kLanes == 2)
    return V<T>(__builtin_shufflevector(a.v, b.v, 0, 3));
  else if constexpr (V<T>::kLanes == 4)
    return V<T>(__builtin_shufflevector(a.v, b.v, 0, 2, 5, 7));
  else if constexpr (V<T>::kLanes == 8)
    return V<T>(__builtin_shufflevector(a.v, b.v, 0, 2, 4, 6, 9, 11, 13, 15));
  else
    return V<T>(__builtin_shufflevector(a.v, b.v, 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27,
                                        29, 31));
}

// p[0], p[step], … in the first n lanes, 1 <= n <= kLanes; zeros in the others. Nothing else is
// read. kStep is step if that is 1 or 2, or else 0.
template <int kStep, class T>
TG_INLINE V<T> load_steps(const T* p, int64_t step, int64_t n) {
  constexpr int kLanes = V<T>::kLanes;
  if constexpr (kStep == 1) return n == kLanes ? load<T>(p) : load<T>(p, n);
  if constexpr (kStep == 2) {
    if (n == kLanes) return even_lanes<T>(load<T>(p), load<T>(p + kLanes - 1));
#if defined(__AVX512F__)
    const int64_t count = 2 * n - 1;
    if (count < kLanes) return even_lanes<T>(load<T>(p, count), V<T>(typename V<T>::Vec{}));
    return even_lanes<T>(load<T>(p), load<T>(p + kLanes - 1, count - kLanes + 1));
#endif
  }
  T lanes[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i * step];
  return load<T>(lanes);
}

}  // namespace
}  // namespace TG_ISA
