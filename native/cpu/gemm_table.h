// What an instruction set offers to the matrix product: tile sizes and kernels. Plain data with no
// inline functions, so that both baseline code and the per-ISA objects may include it.
#pragma once

#include <stdint.h>

namespace tg::cpu {

// What happens to a finished element of C = A B, in this order.
template <class T>
struct Epilogue {
  const T* bias = nullptr;  // one per column, added; may be null
};

// C[m,n] (+)= A[m,k] B[k,n] for one panel of columns, 1 <= n <= nr, and any m, k >= 1. Each element
// is one chain of fused multiply-adds over k from zero, then + C if accumulate, then the epilogue.
// Tiles are spread evenly: of ceil(m / mr) = `tiles`, number t begins at row
// t * (m / tiles) + min(t, m % tiles).
template <class T>
struct GemmStrip {
  int64_t m, n, k;
  const T* a;
  int64_t a_row, a_col;
  int64_t a_tile;  // 0, or where A is packed tile by tile: elements from one tile to the next
  const T* b;
  int64_t b_row;  // unit column stride
  T* c;
  int64_t c_row;  // unit column stride
  bool accumulate;
  Epilogue<T> epilogue;
  const T* next;  // not null; only prefetched: k rows, next_row elements apart, of the panel of B
  int64_t next_row;  // wanted after this one
};

// y[n] (+)= M x over vectors. M's element (i, j) for output i and term j lies at
// i * out_step + j * term_step; one of the two steps is 1, which names the kernel.
template <class T>
struct GemmVector {
  int64_t n, k;
  const T* matrix;
  int64_t out_step, term_step;
  const T* x;
  int64_t x_step;  // dot: must be 1
  T* y;
  int64_t y_step;  // axpy: must be 1
  bool accumulate;
  const T* bias;      // added to y[i] at i * bias_step; may be null
  int64_t bias_step;  // 0 or 1; axpy: must be 1
};

template <class T>
struct GemmKernels {
  int64_t mr, nr, lanes;  // rows of a tile, columns of a panel, elements of a register
  int64_t kc;             // terms summed in one pass over C; part of the definition of the result
  void (*strip)(const GemmStrip<T>&);
  void (*dot)(const GemmVector<T>&);   // term_step == 1
  void (*axpy)(const GemmVector<T>&);  // out_step == 1
  // dst[r * dst_row + c] = src[r * row + c * col]; fast where row or col is 1.
  void (*pack)(T* dst, int64_t dst_row, const T* src, int64_t row, int64_t col, int64_t rows,
               int64_t cols);
};

struct GemmTable {
  GemmKernels<float> f32;
  GemmKernels<double> f64;
};

}  // namespace tg::cpu
