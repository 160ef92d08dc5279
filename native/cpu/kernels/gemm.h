// Matrix-product kernels on V<T>: register tiles over a panel of columns, matrix-vector products
// and packing. They know nothing of blocking or threads (see ../gemm.cpp). Includes only the vector
// vocabulary and the table they fill.
#pragma once

#include "../gemm_table.h"
#include "vec.h"

namespace TG_ISA {
namespace {

using tg::cpu::GemmKernels;
using tg::cpu::GemmStrip;
using tg::cpu::GemmVector;

// Tile rows, and panel width in registers: accumulators, one row of B and one broadcast fill the
// register file.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kTileRows = 8, kPanelVectors = 3;
#elif defined(__AVX2__)
constexpr int kTileRows = 6, kPanelVectors = 2;
#else
constexpr int kTileRows = 4, kPanelVectors = 2;
#endif

// s in every lane. (V's own constructor adds to zero, which costs an add and the sign of -0.)
template <class T>
TG_INLINE V<T> splat(T s) {
  return V<T>(s - typename V<T>::Vec{});
}

// How the last register of a row is read: the first n lanes, 1 <= n <= kLanes, the rest are zero.
template <class T>
struct TailLoad {
  int64_t n;
#if defined(__AVX2__) && !defined(__AVX512F__)
  __m256i mask;
  TG_INLINE explicit TailLoad(int64_t count) : n(count) {
    alignas(32) T lanes[V<T>::kLanes];
    for (int i = 0; i < V<T>::kLanes; ++i) lanes[i] = static_cast<T>(i < count ? -1 : 1);
    __builtin_memcpy(&mask, lanes, sizeof mask);  // the sign bit selects
  }
  TG_INLINE V<T> operator()(const T* p) const {
    if constexpr (sizeof(T) == 4)
      return V<T>(_mm256_maskload_ps(p, mask));
    else
      return V<T>(_mm256_maskload_pd(p, mask));
  }
#elif defined(__AVX512F__)
  TG_INLINE explicit TailLoad(int64_t count) : n(count) {}
  TG_INLINE V<T> operator()(const T* p) const { return load<T>(p, n); }
#else
  TG_INLINE explicit TailLoad(int64_t count) : n(count) {}
  TG_INLINE V<T> operator()(const T* p) const {
    typename V<T>::Vec r = {p[0]};
    if (n > 1) r[1] = p[1];
    if constexpr (V<T>::kLanes > 2) {
      if (n > 2) r[2] = p[2];
      if (n > 3) r[3] = p[3];
    }
    return r;
  }
#endif
};

// One tile: kRows x kVectors registers, the last of which ends early if kTail. `a` and `c` are at
// the tile's first row. `next`: the line to fetch along the way, one per term; B's rows may lie
// pages apart, which hardware does not foresee.
template <class T, int kRows, int kVectors, bool kTail>
__attribute__((noinline)) void tile(const GemmStrip<T>& s, const T* a, T* c, const T* next) {
  constexpr int kLanes = V<T>::kLanes;
  const TailLoad<T> tail(s.n - (kVectors - 1) * kLanes);
  auto load_at = [&](const T* p, int v) __attribute__((always_inline)) {
    return kTail && v == kVectors - 1 ? tail(p + v * kLanes) : load<T>(p + v * kLanes);
  };
  V<T> acc[kRows][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[i][v] = V<T>(typename V<T>::Vec{});

  const int64_t a_row = s.a_row, a_col = s.a_col, b_row = s.b_row, next_row = s.next_row;
  const T* b = s.b;
  for (int64_t p = s.k; p > 0; --p) {
    V<T> row[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) row[v] = load_at(b, v);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const V<T> x = splat<T>(a[i * a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[i][v] = fma(x, row[v], acc[i][v]);
    }
    __builtin_prefetch(next, 0, 2);
    a += a_col;
    b += b_row;
    next += next_row;
  }

  if (s.accumulate) {
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[i][v] = load_at(c + i * s.c_row, v) + acc[i][v];
  }
  if (s.epilogue.bias != nullptr) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const V<T> bias = load_at(s.epilogue.bias, v);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) acc[i][v] = acc[i][v] + bias;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    T* out = c + i * s.c_row;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      if (kTail && v == kVectors - 1)
        store<T>(out + v * kLanes, acc[i][v], tail.n);
      else
        store<T>(out + v * kLanes, acc[i][v]);
    }
  }
}

template <class T, int kVectors, bool kTail>
TG_INLINE void tile_of_rows(int64_t rows, const GemmStrip<T>& s, const T* a, T* c, const T* next) {
  switch (rows) {
    case 1:
      return tile<T, 1, kVectors, kTail>(s, a, c, next);
    case 2:
      return tile<T, 2, kVectors, kTail>(s, a, c, next);
    case 3:
      return tile<T, 3, kVectors, kTail>(s, a, c, next);
    case 4:
      return tile<T, 4, kVectors, kTail>(s, a, c, next);
#if defined(__AVX2__) || defined(__aarch64__)
    case 5:
      return tile<T, 5, kVectors, kTail>(s, a, c, next);
    case 6:
      return tile<T, 6, kVectors, kTail>(s, a, c, next);
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
    case 7:
      return tile<T, 7, kVectors, kTail>(s, a, c, next);
    case 8:
      return tile<T, 8, kVectors, kTail>(s, a, c, next);
#endif
  }
}

// The rows are spread evenly over the fewest tiles: 10 rows are 5 + 5, not 8 + 2.
template <class T, int kVectors, bool kTail>
TG_INLINE void strip_of_width(const GemmStrip<T>& s) {
  if (s.m <= kTileRows) return tile_of_rows<T, kVectors, kTail>(s.m, s, s.a, s.c, s.next);
  const int64_t tiles = (s.m + kTileRows - 1) / kTileRows;
  const int64_t rows = s.m / tiles, taller = s.m % tiles;
  constexpr int64_t kLine = 64 / sizeof(T);
  constexpr int64_t kPanelLines = kPanelVectors * kVectorBytes / 64 + 1;  // it may begin inside one
  int64_t first = 0;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t count = rows + (t < taller);
    const T* a = s.a + (s.a_tile != 0 ? t * s.a_tile : first * s.a_row);
    const T* next = s.next + (t < kPanelLines ? t : 0) * kLine;
    tile_of_rows<T, kVectors, kTail>(count, s, a, s.c + first * s.c_row, next);
    first += count;
  }
}

template <class T>
void strip(const GemmStrip<T>& s) {
  constexpr int kLanes = V<T>::kLanes;
  if (s.n == kPanelVectors * kLanes) return strip_of_width<T, kPanelVectors, false>(s);
  if (s.n <= kLanes) return strip_of_width<T, 1, true>(s);
  if constexpr (kPanelVectors == 2) return strip_of_width<T, 2, true>(s);
  if (s.n == 2 * kLanes) return strip_of_width<T, 2, false>(s);
  if (s.n < 2 * kLanes) return strip_of_width<T, 2, true>(s);
  if constexpr (kPanelVectors == 3) return strip_of_width<T, 3, true>(s);
}

// The lanes' sum, always as the same tree.
template <class T>
TG_INLINE T sum_lanes(V<T> a) {
  T lanes[V<T>::kLanes];
  store<T>(lanes, a);
  for (int width = V<T>::kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  return lanes[0];
}

// kOutputs dot products at once share the loads of x. A row's bits do not depend on kOutputs.
template <class T, int kOutputs>
TG_INLINE void dot_rows(const GemmVector<T>& s, int64_t i0) {
  constexpr int kLanes = V<T>::kLanes;
  const T* row = s.matrix + i0 * s.out_step;
  V<T> even[kOutputs], odd[kOutputs];
#pragma GCC unroll 4
  for (int i = 0; i < kOutputs; ++i) even[i] = odd[i] = V<T>(typename V<T>::Vec{});
  int64_t j = 0;
  for (; j + 2 * kLanes <= s.k; j += 2 * kLanes) {
    const V<T> x0 = load<T>(s.x + j), x1 = load<T>(s.x + j + kLanes);
#pragma GCC unroll 4
    for (int i = 0; i < kOutputs; ++i) {
      even[i] = fma(load<T>(row + i * s.out_step + j), x0, even[i]);
      odd[i] = fma(load<T>(row + i * s.out_step + j + kLanes), x1, odd[i]);
    }
  }
  for (; j < s.k; j += kLanes) {
    const bool full = s.k - j >= kLanes;
    const V<T> x0 = full ? load<T>(s.x + j) : load<T>(s.x + j, s.k - j);
#pragma GCC unroll 4
    for (int i = 0; i < kOutputs; ++i) {
      const T* p = row + i * s.out_step + j;
      even[i] = fma(full ? load<T>(p) : load<T>(p, s.k - j), x0, even[i]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kOutputs; ++i) {
    T* y = s.y + (i0 + i) * s.y_step;
    T sum = sum_lanes<T>(even[i] + odd[i]);
    if (s.accumulate) sum = *y + sum;
    if (s.bias != nullptr) sum += s.bias[(i0 + i) * s.bias_step];
    *y = sum;
  }
}

template <class T>
void dot(const GemmVector<T>& s) {
  int64_t i = 0;
  for (; i + 4 <= s.n; i += 4) dot_rows<T, 4>(s, i);
  for (; i < s.n; ++i) dot_rows<T, 1>(s, i);
}

// y += kTerms rows of the matrix, each times its x: the rows stream, y stays in the cache.
template <class T, int kTerms>
TG_INLINE void axpy_terms(const GemmVector<T>& s, int64_t j0) {
  constexpr int kLanes = V<T>::kLanes;
  const bool fresh = j0 == 0 && !s.accumulate;
  const bool biased = j0 + kTerms == s.k && s.bias != nullptr;
  const T* matrix = s.matrix + j0 * s.term_step;
  V<T> x[kTerms];
#pragma GCC unroll 8
  for (int j = 0; j < kTerms; ++j) x[j] = splat<T>(s.x[(j0 + j) * s.x_step]);
  int64_t i = 0;
  for (; i + kLanes <= s.n; i += kLanes) {
    V<T> acc = fresh ? V<T>(typename V<T>::Vec{}) : load<T>(s.y + i);
#pragma GCC unroll 8
    for (int j = 0; j < kTerms; ++j) acc = fma(x[j], load<T>(matrix + j * s.term_step + i), acc);
    if (biased) acc = acc + load<T>(s.bias + i);
    store<T>(s.y + i, acc);
  }
  const int64_t rest = s.n - i;
  if (rest == 0) return;
  V<T> acc = fresh ? V<T>(typename V<T>::Vec{}) : load<T>(s.y + i, rest);
#pragma GCC unroll 8
  for (int j = 0; j < kTerms; ++j)
    acc = fma(x[j], load<T>(matrix + j * s.term_step + i, rest), acc);
  if (biased) acc = acc + load<T>(s.bias + i, rest);
  store<T>(s.y + i, acc, rest);
}

template <class T>
void axpy(const GemmVector<T>& s) {
  int64_t j = 0;
  for (; j + 8 <= s.k; j += 8) axpy_terms<T, 8>(s, j);
  if (j + 4 <= s.k) axpy_terms<T, 4>(s, j), j += 4;
  for (; j < s.k; ++j) axpy_terms<T, 1>(s, j);
}

// a0 b0 a1 b1 ... from the lower and the upper halves of a and b.
template <class T>
TG_INLINE void interleave(V<T> a, V<T> b, V<T>& low, V<T>& high) {
  if constexpr (V<T>::kLanes == 2) {
    low = V<T>(__builtin_shufflevector(a.v, b.v, 0, 2));
    high = V<T>(__builtin_shufflevector(a.v, b.v, 1, 3));
  } else if constexpr (V<T>::kLanes == 4) {
    low = V<T>(__builtin_shufflevector(a.v, b.v, 0, 4, 1, 5));
    high = V<T>(__builtin_shufflevector(a.v, b.v, 2, 6, 3, 7));
  } else if constexpr (V<T>::kLanes == 8) {
    low = V<T>(__builtin_shufflevector(a.v, b.v, 0, 8, 1, 9, 2, 10, 3, 11));
    high = V<T>(__builtin_shufflevector(a.v, b.v, 4, 12, 5, 13, 6, 14, 7, 15));
  } else {
    low = V<T>(
        __builtin_shufflevector(a.v, b.v, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
    high = V<T>(__builtin_shufflevector(a.v, b.v, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14,
                                        30, 15, 31));
  }
}

// Transposes a square of registers: interleaving rows i and i + kLanes / 2 rotates the bits of
// every element's (row, column) by one, so log2(kLanes) rounds swap them.
template <class T>
TG_INLINE void transpose(V<T> (&x)[V<T>::kLanes]) {
  constexpr int kLanes = V<T>::kLanes;
#pragma GCC unroll 4
  for (int width = 1; width < kLanes; width *= 2) {
    V<T> y[kLanes];
#pragma GCC unroll 8
    for (int i = 0; i < kLanes / 2; ++i)
      interleave<T>(x[i], x[i + kLanes / 2], y[2 * i], y[2 * i + 1]);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) x[i] = y[i];
  }
}

// dst[r * dst_row + c] = src[r + c * col] for up to kLanes rows and columns.
template <class T>
TG_INLINE void pack_square(T* dst, int64_t dst_row, const T* src, int64_t col, int64_t rows,
                           int64_t cols) {
  constexpr int kLanes = V<T>::kLanes;
  V<T> x[kLanes];
  if (rows == kLanes && cols == kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) x[i] = load<T>(src + i * col);
    transpose<T>(x);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) store<T>(dst + i * dst_row, x[i]);
    return;
  }
  if (rows == kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i)
      x[i] = i < cols ? load<T>(src + i * col) : V<T>(typename V<T>::Vec{});
    transpose<T>(x);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) store<T>(dst + i * dst_row, x[i], cols);
    return;
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) dst[r * dst_row + c] = src[r + c * col];
}

template <class T>
void pack(T* dst, int64_t dst_row, const T* src, int64_t row, int64_t col, int64_t rows,
          int64_t cols) {
  constexpr int kLanes = V<T>::kLanes;
  if (col == 1) {
    const int64_t whole = cols / kLanes * kLanes;
    for (int64_t r = 0; r < rows; ++r, dst += dst_row, src += row) {
      for (int64_t c = 0; c < whole; c += kLanes) {
        store<T>(dst + c, load<T>(src + c));
        __builtin_prefetch(src + 8 * row + c);
      }
      if (whole < cols) store<T>(dst + whole, load<T>(src + whole, cols - whole), cols - whole);
    }
  } else if (row == 1) {
    for (int64_t c = 0; c < cols; c += kLanes) {
      const int64_t width = cols - c < kLanes ? cols - c : kLanes;
      for (int64_t r = 0; r < rows; r += kLanes)
        pack_square<T>(dst + r * dst_row + c, dst_row, src + c * col + r, col,
                       rows - r < kLanes ? rows - r : kLanes, width);
    }
  } else {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c) dst[r * dst_row + c] = src[r * row + c * col];
  }
}

template <class T>
constexpr GemmKernels<T> kGemmKernels = {kTileRows,    kPanelVectors* V<T>::kLanes,
                                         V<T>::kLanes, 2048 / static_cast<int64_t>(sizeof(T)),
                                         strip<T>,     dot<T>,
                                         axpy<T>,      pack<T>};

constexpr tg::cpu::GemmTable kGemmTable = {kGemmKernels<float>, kGemmKernels<double>};

}  // namespace
}  // namespace TG_ISA
