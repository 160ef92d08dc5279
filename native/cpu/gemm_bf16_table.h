// What an instruction set with bfloat16 dot products offers to the matrix product. Plain data;
// kernel objects include this header.
#pragma once

#include <stdint.h>

namespace tg::cpu {

// bfloat16 elements are their bits. A pair is two elements that follow each other along k, the
// first in the lower half of a uint32_t.

// C[m,n] (+)= A[m,k] B[k,n] for one panel of columns, 1 <= n <= nr, m >= 1, over `pairs` pairs and,
// if `odd`, one more element of each row of A (packed A and B hold a pair with 0 for it).
struct GemmBf16Strip {
  int64_t m, n, pairs;
  bool odd;           // only where A is read in place
  const uint16_t* a;  // row i's pair p: the two elements at i * a_row + p * a_pair
  int64_t a_row, a_pair;
  int64_t a_tile;     // 0, or where A is packed tile by tile: elements from one tile to the next
  const uint32_t* b;  // pair p of column j at p * b_row + j; the row is padded with zeros
  int64_t b_row;      // a multiple of `lanes`
  const float* add;   // null, or the sums so far, [m][b_row]
  float* sum;         // null, or where the new sums go, [m][b_row]; else
  uint16_t* c;        // the rounded result
  int64_t c_row;
  const float* bias;  // one per column, added before rounding; may be null
};

// y[i] = Σ matrix[i * step + p] x[p] over p < k, + bias[i * bias_step], rounded, for i < n.
struct GemmBf16Vector {
  int64_t n, k;
  const uint16_t* matrix;
  int64_t step;
  const uint16_t* x;
  uint16_t* y;
  int64_t y_step;
  const float* bias;  // may be null
  int64_t bias_step;
};

struct GemmBf16Table {
  int64_t mr, nr, lanes;  // rows of a tile, columns of a panel, elements of a register
  int64_t kc;             // terms summed in one pass, even; part of the definition of the result
  // Tiles of packed A begin every mr rows; others are spread evenly, as in GemmStrip.
  void (*strip)(const GemmBf16Strip&);
  void (*vector)(const GemmBf16Vector&);
  // The pairs of x at (2 p, j) and (2 p + 1, j), j < count, element (i, j) of x being at
  // i * k_step + j * step, to dst[j / width * tile + p * width + j % width]; 0 for what lies past
  // k, and past count up to a multiple of width. width is mr or a multiple of `lanes`. Fast where a
  // step is 1.
  void (*pack)(uint32_t* dst, int64_t width, int64_t tile, const uint16_t* x, int64_t k_step,
               int64_t step, int64_t k, int64_t count);
};

}  // namespace tg::cpu
