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

  // C is wanted only at the end, when nothing else would hide the way to it. Not worth it in short
  // tiles, which belong to small products.
  if (s.k > 64) {
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; v += kVectorBytes < 64 ? 64 / kVectorBytes : 1)
        __builtin_prefetch(c + i * s.c_row + v * kLanes, 1);
  }
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

// Transposing works on pieces of 16 bytes, which shuffles need not cross.
template <class T>
constexpr int kPiece = 16 / static_cast<int>(sizeof(T));

// In every piece: a0 b0 a1 b1 ... from the lower and the upper halves of a's and b's.
template <class T>
TG_INLINE void interleave(V<T> a, V<T> b, V<T>& low, V<T>& high) {
#if defined(__x86_64__)
  if constexpr (sizeof(T) == 4) {
    low = V<T>(TG_X86(unpacklo_ps)(a.v, b.v));
    high = V<T>(TG_X86(unpackhi_ps)(a.v, b.v));
  } else {
    low = V<T>(TG_X86(unpacklo_pd)(a.v, b.v));
    high = V<T>(TG_X86(unpackhi_pd)(a.v, b.v));
  }
#else
  if constexpr (sizeof(T) == 4) {
    low = V<T>(__builtin_shufflevector(a.v, b.v, 0, 4, 1, 5));
    high = V<T>(__builtin_shufflevector(a.v, b.v, 2, 6, 3, 7));
  } else {
    low = V<T>(__builtin_shufflevector(a.v, b.v, 0, 2));
    high = V<T>(__builtin_shufflevector(a.v, b.v, 1, 3));
  }
#endif
}

// Piece number q of x becomes what lies at p; number 0 clears the others.
template <class T>
TG_INLINE void load_piece(V<T>& x, int q, const T* p) {
#if defined(__AVX512F__)
  const __m128 piece = _mm_loadu_ps(reinterpret_cast<const float*>(p));
  const __m512 whole = (__m512)x.v;
  x.v = (typename V<T>::Vec)(
      q == 0 ? _mm512_zextps128_ps512(piece)
             : _mm512_mask_broadcast_f32x4(whole, static_cast<__mmask16>(0xF << 4 * q), piece));
#elif defined(__AVX2__)
  const __m128 piece = _mm_loadu_ps(reinterpret_cast<const float*>(p));
  const __m256 whole = (__m256)x.v;
  x.v = (typename V<T>::Vec)(q == 0 ? _mm256_zextps128_ps256(piece)
                                    : _mm256_insertf128_ps(whole, piece, 1));
#else
  (void)q;
  x = load<T>(p);
#endif
}

// dst[r * dst_row + c] = src[r + c * col] for up to kLanes rows and kCols columns; kFull: for so
// many. Of the registers x[g][j], piece q comes from column q * kPiece + j; transposing the pieces
// of x[g] makes rows of them: interleaving registers i and i + kPiece / 2 rotates the bits of every
// element's place by one, so log2(kPiece) rounds swap row and column. A column is read at once:
// where columns lie pages apart, the cache may not hold all of their lines.
template <class T, int kCols, bool kFull>
TG_INLINE void pack_square(T* dst, int64_t dst_row, const T* src, int64_t col, int64_t rows,
                           int64_t cols) {
  constexpr int P = kPiece<T>, kGroups = V<T>::kLanes / P, kPieces = kCols / P;
  V<T> x[kGroups][P];
#pragma GCC unroll 4
  for (int j = 0; j < P; ++j)
#pragma GCC unroll 4
    for (int q = 0; q < kPieces; ++q)
#pragma GCC unroll 4
      for (int g = 0; g < kGroups; ++g) {
        if (!kFull && q == 0) x[g][j] = V<T>(typename V<T>::Vec{});
        if (kFull || (q * P + j < cols && g * P + P <= rows))
          load_piece<T>(x[g][j], q, src + (q * P + j) * col + g * P);
      }
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) {
#pragma GCC unroll 2
    for (int width = 1; width < P; width *= 2) {
      V<T> y[P];
#pragma GCC unroll 2
      for (int i = 0; i < P / 2; ++i)
        interleave<T>(x[g][i], x[g][i + P / 2], y[2 * i], y[2 * i + 1]);
#pragma GCC unroll 4
      for (int i = 0; i < P; ++i) x[g][i] = y[i];
    }
    if (!kFull && g * P + P > rows) break;
#pragma GCC unroll 4
    for (int i = 0; i < P; ++i) {
      T* const row = dst + (g * P + i) * dst_row;
      if (kFull || cols == kCols)
        __builtin_memcpy(row, &x[g][i], kCols * sizeof(T));
      else
        store<T>(row, x[g][i], cols);
    }
  }
  if (kFull) return;
  for (int64_t r = rows / P * P; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) dst[r * dst_row + c] = src[r + c * col];
}

// pack() for up to kCols columns that are each contiguous.
template <class T, int kCols>
TG_INLINE void pack_columns(T* dst, int64_t dst_row, const T* src, int64_t col, int64_t rows,
                            int64_t cols) {
  constexpr int64_t kLanes = V<T>::kLanes;
  int64_t r = 0;
  if (cols == kCols)
    for (; r + kLanes <= rows; r += kLanes)
      pack_square<T, kCols, true>(dst + r * dst_row, dst_row, src + r, col, kLanes, kCols);
  for (; r < rows; r += kLanes)
    pack_square<T, kCols, false>(dst + r * dst_row, dst_row, src + r, col,
                                 rows - r < kLanes ? rows - r : kLanes, cols);
}

template <class T>
void pack(T* dst, int64_t dst_row, const T* src, int64_t row, int64_t col, int64_t rows,
          int64_t cols) {
  constexpr int kLanes = V<T>::kLanes;
  // Tiles of A: narrower than a register where it holds more than a tile has rows.
  constexpr int kTile = kTileRows < kLanes && kTileRows % kPiece<T> == 0 ? kTileRows : kLanes;
  if (col == 1 && cols == kTile) {
    for (int64_t r = 0; r < rows; ++r, dst += dst_row, src += row) {
      __builtin_memcpy(dst, src, kTile * sizeof(T));
      __builtin_prefetch(src + 8 * row);
    }
  } else if (col == 1) {
    const int64_t whole = cols / kLanes * kLanes;
    for (int64_t r = 0; r < rows; ++r, dst += dst_row, src += row) {
      for (int64_t c = 0; c < whole; c += kLanes) {
        store<T>(dst + c, load<T>(src + c));
        __builtin_prefetch(src + 8 * row + c);
      }
      if (whole < cols) {
        store<T>(dst + whole, load<T>(src + whole, cols - whole), cols - whole);
        __builtin_prefetch(src + 8 * row + whole);
      }
    }
  } else if (row == 1) {
    int64_t c = 0;
    for (; kTile == kLanes ? c < cols : c + kTile < cols; c += kLanes)
      pack_columns<T, kLanes>(dst + c, dst_row, src + c * col, col, rows,
                              cols - c < kLanes ? cols - c : kLanes);
    if (c < cols) pack_columns<T, kTile>(dst + c, dst_row, src + c * col, col, rows, cols - c);
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
