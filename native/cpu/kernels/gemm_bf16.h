// The bfloat16 matrix product by dot products of pairs (vdpbf16ps): a tile of C in registers, and
// the packing of pairs. For AVX512-BF16 only; expanded by isa/avx512bf16.cpp.
//
// A lane adds two products to a float32 in one instruction, odd element first, rounding after each;
// denormal inputs and results count as 0, and the rounding mode is always to nearest even.
#pragma once

#include "../gemm_bf16_table.h"
#include "vec.h"

namespace TG_ISA {
namespace {

using tg::cpu::GemmBf16Strip;
using tg::cpu::GemmBf16Vector;

constexpr int kLanes = 16;
constexpr int kTileRows = 8;
constexpr int kPanelVectors = 3;

// The first n lanes; all of them if n >= 16 (or 32 for 16-bit lanes), none if n <= 0.
TG_INLINE __mmask16 first(int64_t n) {
  return n >= 16 ? 0xFFFF : n <= 0 ? 0 : static_cast<__mmask16>((1u << n) - 1);
}
TG_INLINE __mmask32 first_halves(int64_t n) {
  return n >= 32 ? 0xFFFFFFFF : n <= 0 ? 0 : static_cast<__mmask32>((1u << n) - 1);
}

TG_INLINE __m512 dot(__m512 sum, __m512i x, __m512i y) {
  return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)y);
}
TG_INLINE __m512i splat_pair(const uint16_t* p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return _mm512_set1_epi32(pair);
}

template <int kRows, int kVectors>
TG_INLINE void finish(const GemmBf16Strip& s, __m512 (&acc)[kRows][kVectors], int64_t row) {
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = (row + i) * s.b_row + v * kLanes;
      if (s.add != nullptr) acc[i][v] = _mm512_loadu_ps(s.add + at) + acc[i][v];
      if (s.sum != nullptr) {
        _mm512_storeu_ps(s.sum + at, acc[i][v]);
        continue;
      }
      const __mmask16 mask = first(s.n - v * kLanes);
      if (s.bias != nullptr)
        acc[i][v] = acc[i][v] + _mm512_maskz_loadu_ps(mask, s.bias + v * kLanes);
      _mm256_mask_storeu_epi16(s.c + (row + i) * s.c_row + v * kLanes, mask,
                               (__m256i)_mm512_cvtneps_pbh(acc[i][v]));
    }
  }
}

// One tile: kRows rows from `row` on, kVectors registers wide.
template <int kRows, int kVectors>
__attribute__((noinline)) void tile(const GemmBf16Strip& s, const uint16_t* a, int64_t row) {
  __m512 acc[kRows][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[i][v] = _mm512_setzero_ps();
  const int64_t a_row = s.a_row, a_pair = s.a_pair, b_row = s.b_row;
  const uint32_t* b = s.b;
  for (int64_t p = s.pairs; p > 0; --p) {
    __m512i columns[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) columns[v] = _mm512_loadu_si512(b + v * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const __m512i x = splat_pair(a + i * a_row);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[i][v] = dot(acc[i][v], columns[v], x);
    }
    a += a_pair;
    b += b_row;
  }
  if (s.odd) {
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const __m512i x = _mm512_set1_epi32(a[i * a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        acc[i][v] = dot(acc[i][v], _mm512_loadu_si512(b + v * kLanes), x);
    }
  }
  finish<kRows, kVectors>(s, acc, row);
}

template <int kVectors>
TG_INLINE void strip_of_width(const GemmBf16Strip& s) {
  const int64_t tiles = (s.m + kTileRows - 1) / kTileRows;
  const int64_t rows = s.m / tiles, taller = s.m % tiles;
  int64_t row = 0;
  for (int64_t t = 0; t < tiles; ++t) {
    const uint16_t* a = s.a + (s.a_tile != 0 ? t * s.a_tile : row * s.a_row);
    const int64_t left = s.m - row;
    const int64_t count = s.a_tile == 0 ? rows + (t < taller) : left < kTileRows ? left : kTileRows;
    switch (count) {
      case 1:
        tile<1, kVectors>(s, a, row);
        break;
      case 2:
        tile<2, kVectors>(s, a, row);
        break;
      case 3:
        tile<3, kVectors>(s, a, row);
        break;
      case 4:
        tile<4, kVectors>(s, a, row);
        break;
      case 5:
        tile<5, kVectors>(s, a, row);
        break;
      case 6:
        tile<6, kVectors>(s, a, row);
        break;
      case 7:
        tile<7, kVectors>(s, a, row);
        break;
      default:
        tile<8, kVectors>(s, a, row);
    }
    row += count;
  }
}

void strip(const GemmBf16Strip& s) {
  if (s.n > 2 * kLanes) return strip_of_width<3>(s);
  if (s.n > kLanes) return strip_of_width<2>(s);
  strip_of_width<1>(s);
}

// Two rows of elements (`next` is null past the last), interleaved to pairs: register i of them to
// put(i, pairs).
template <class Put>
TG_INLINE void interleave(const uint16_t* x, const uint16_t* next, int64_t count, int64_t width,
                          Put put) {
  alignas(64) static constexpr uint16_t kLow[32] = {0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,
                                                    37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
                                                    11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const __m512i low = _mm512_load_si512(kLow);
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  for (int64_t j = 0; j < width; j += 32) {
    const __mmask32 some = first_halves(count - j);
    const __m512i even = _mm512_maskz_loadu_epi16(some, x + j);
    const __m512i odd =
        next != nullptr ? _mm512_maskz_loadu_epi16(some, next + j) : _mm512_setzero_si512();
    put(j, _mm512_permutex2var_epi16(even, low, odd));
    if (width - j > kLanes) put(j + kLanes, _mm512_permutex2var_epi16(even, high, odd));
  }
}

// Rows of elements that adjoin: two of them at a time, what comes kAhead rows later being fetched.
TG_INLINE void pack_rows(uint32_t* dst, int64_t width, int64_t tile, const uint16_t* x,
                         int64_t k_step, int64_t k, int64_t count) {
  constexpr int64_t kAhead = 16;
  for (int64_t i = 0; i < k; i += 2, x += 2 * k_step, dst += width) {
    const uint16_t* next = i + 1 < k ? x + k_step : nullptr;
    if (i + kAhead + 1 < k)
      for (int64_t j = 0; j < count; j += 32) {
        __builtin_prefetch(x + kAhead * k_step + j);
        __builtin_prefetch(x + (kAhead + 1) * k_step + j);
      }
    if (width == kTileRows)
      interleave(x, next, count, count, [&](int64_t j, __m512i pairs) TG_INLINE_LAMBDA {
        uint32_t* to = dst + j / kTileRows * tile;
        _mm256_storeu_si256((__m256i*)to, _mm512_castsi512_si256(pairs));
        if (count - j > kTileRows)
          _mm256_storeu_si256((__m256i*)(to + tile), _mm512_extracti64x4_epi64(pairs, 1));
      });
    else
      for (int64_t first = 0; first < count; first += width)
        interleave(x + first, next != nullptr ? next + first : nullptr,
                   count - first < width ? count - first : width, width,
                   [&](int64_t j, __m512i pairs) TG_INLINE_LAMBDA {
                     _mm512_storeu_si512(dst + first / width * tile + j, pairs);
                   });
  }
}

// Transposes 16 registers of 16 pairs: 4 rounds that interleave register i with i + 8 rotate the
// bits of every pair's (row, column).
TG_INLINE void transpose(__m512i (&x)[kLanes]) {
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
#pragma GCC unroll 4
  for (int round = 0; round < 4; ++round) {
    __m512i y[kLanes];
#pragma GCC unroll 8
    for (int i = 0; i < kLanes / 2; ++i) {
      y[2 * i] = _mm512_permutex2var_epi32(x[i], low, x[i + kLanes / 2]);
      y[2 * i + 1] = _mm512_permutex2var_epi32(x[i], high, x[i + kLanes / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) x[i] = y[i];
  }
}

// Columns whose elements adjoin along k: squares of 16 columns by 16 pairs.
TG_INLINE void pack_columns(uint32_t* dst, int64_t width, int64_t tile, const uint16_t* x,
                            int64_t step, int64_t k, int64_t count) {
  for (int64_t j = 0; j < count; j += kLanes) {
    for (int64_t i = 0; i < k; i += 2 * kLanes) {
      const __mmask32 some = first_halves(k - i);
      __m512i square[kLanes];
#pragma GCC unroll 16
      for (int c = 0; c < kLanes; ++c)
        square[c] = j + c < count ? _mm512_maskz_loadu_epi16(some, x + (j + c) * step + i)
                                  : _mm512_setzero_si512();
      transpose(square);
      const int64_t pairs = (k - i + 1) / 2;
#pragma GCC unroll 16
      for (int p = 0; p < kLanes; ++p)
        if (p < pairs) {
          uint32_t* to = dst + (i / 2 + p) * width;
          if (width != kTileRows) {
            _mm512_storeu_si512(to + j / width * tile + j % width, square[p]);
            continue;
          }
          to += j / kTileRows * tile;
          _mm256_storeu_si256((__m256i*)to, _mm512_castsi512_si256(square[p]));
          if (count - j > kTileRows)
            _mm256_storeu_si256((__m256i*)(to + tile), _mm512_extracti64x4_epi64(square[p], 1));
        }
    }
  }
}

void pack(uint32_t* dst, int64_t width, int64_t tile, const uint16_t* x, int64_t k_step,
          int64_t step, int64_t k, int64_t count) {
  if (step == 1) return pack_rows(dst, width, tile, x, k_step, k, count);
  if (k_step == 1) return pack_columns(dst, width, tile, x, step, k, count);
  const int64_t columns = (count + width - 1) / width * width;
  for (int64_t i = 0; i < k; i += 2, dst += width)
    for (int64_t j = 0; j < columns; ++j) {
      const uint32_t even = j < count ? x[i * k_step + j * step] : 0;
      const uint32_t odd = j < count && i + 1 < k ? x[(i + 1) * k_step + j * step] : 0;
      dst[j / width * tile + j % width] = even | odd << 16;
    }
}

// kOutputs dot products share the loads of x: 16 chains each, joined in a fixed tree.
template <int kOutputs>
TG_INLINE void dots(const GemmBf16Vector& s, int64_t i) {
  const uint16_t* row = s.matrix + i * s.step;
  __m512 sum[kOutputs];
#pragma GCC unroll 4
  for (int r = 0; r < kOutputs; ++r) sum[r] = _mm512_setzero_ps();
  for (int64_t p = 0; p < s.k; p += 2 * kLanes) {
    const __mmask32 some = first_halves(s.k - p);
    const __m512i x = _mm512_maskz_loadu_epi16(some, s.x + p);
#pragma GCC unroll 4
    for (int r = 0; r < kOutputs; ++r)
      sum[r] = dot(sum[r], _mm512_maskz_loadu_epi16(some, row + r * s.step + p), x);
  }
#pragma GCC unroll 4
  for (int r = 0; r < kOutputs; ++r) {
    float y = _mm512_reduce_add_ps(sum[r]);
    if (s.bias != nullptr) y += s.bias[(i + r) * s.bias_step];
    s.y[(i + r) * s.y_step] =
        static_cast<uint16_t>(_mm_extract_epi16((__m128i)_mm_cvtneps_pbh(_mm_set_ss(y)), 0));
  }
}

void vector(const GemmBf16Vector& s) {
  int64_t i = 0;
  for (; i + 4 <= s.n; i += 4) dots<4>(s, i);
  for (; i < s.n; ++i) dots<1>(s, i);
}

}  // namespace
}  // namespace TG_ISA
