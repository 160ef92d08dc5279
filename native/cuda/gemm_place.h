// Which part of which product a block of a tile kernel computes.
#pragma once

#include "gemm.h"
#include "launch.h"

namespace tg::cuda {

// Where product z begins in a stack of batches.
__device__ __forceinline__ int64_t place_of(int64_t z, int64_t batch, int64_t stride,
                                            int64_t outer_stride) {
  return z / batch * outer_stride + z % batch * stride;
}

struct TilePlace {
  unsigned row, column;  // in tiles
};

// Blocks follow each other down bands of 8 tiles, so that those under way at a time share lines of
// both A and B in L2.
__device__ __forceinline__ TilePlace tile_place(int64_t m, int64_t n, int tile_m, int tile_n) {
  const unsigned down = static_cast<unsigned>((m + tile_m - 1) / tile_m);
  const unsigned across = static_cast<unsigned>((n + tile_n - 1) / tile_n);
  const unsigned band = blockIdx.x / (8 * across) * 8, within = blockIdx.x % (8 * across);
  const unsigned height = down - band < 8 ? down - band : 8;
  return {band + within % height, within / height};
}

// Blocks of `threads` for all tiles, splits and products (beyond 65,535 products each takes
// several).
inline Grid tile_grid(const GemmCall& call, int tile_m, int tile_n, int64_t splits,
                      unsigned threads) {
  const int64_t tiles = (call.m + tile_m - 1) / tile_m * ((call.n + tile_n - 1) / tile_n);
  const int64_t products = call.outer * call.batch;
  return {dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(splits),
               static_cast<unsigned>(products < 65535 ? products : 65535)),
          dim3(threads)};
}

// Strides along sides of length 1 say nothing: 0, which any alignment divides.
inline GemmCall plain(GemmCall call) {
  if (call.m == 1) call.a_row = call.c_row = 0;
  if (call.n == 1) call.b_column = 0;
  if (call.k == 1) call.a_column = call.b_row = 0;
  if (call.batch == 1) call.a_batch = call.b_batch = call.c_batch = 0;
  if (call.outer == 1) call.a_outer = call.b_outer = call.c_outer = 0;
  return call;
}

}  // namespace tg::cuda
