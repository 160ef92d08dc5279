// Which tile computes a product, and among how many blocks its terms are divided: a guess of the
// time of each choice, in cycles of a multiprocessor. Depends on nothing but sizes. No kernels.
#pragma once

#include <stdint.h>

namespace tg::cuda {

struct GemmTile {
  int m, n;
  double rate;       // multiply-adds per cycle that a busy multiprocessor reaches with it
  int step;          // terms between two barriers: blocks get multiples of it
  double alone = 0;  // the rate of one block, if it takes several to keep a multiprocessor busy
};

struct GemmPlan {
  int tile;
  int64_t splits, chunk;  // each block sums `chunk` terms, the last one what is left
  double cycles;          // the guess
};

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <int N>
GemmPlan plan_gemm(const GemmTile (&tiles)[N], int multiprocessors, int64_t m, int64_t n, int64_t k,
                   int64_t products) {
  constexpr double kStart = 2000;       // filling the pipeline, writing the tile
  constexpr double kSecondPass = 4000;  // its launch
  constexpr double kWords = 4;          // floats per cycle to or from memory
  constexpr int64_t kLeast = 128;       // terms that a block takes at least
  constexpr int64_t kWaves = 4;         // splitting pays while the blocks are fewer than so many
                                        // per multiprocessor
  GemmPlan best = {};
  for (int t = 0; t < N; ++t) {
    const GemmTile& tile = tiles[t];
    const int64_t blocks = ceil_div(m, tile.m) * ceil_div(n, tile.n) * products;
    for (int64_t wanted = 1; wanted <= 64; wanted += wanted < 8 ? 1 : 4) {
      if (wanted > 1 && (blocks * wanted > kWaves * multiprocessors || k < wanted * kLeast)) break;
      const int64_t chunk = ceil_div(ceil_div(k, wanted), tile.step) * tile.step;
      const int64_t splits = chunk > 0 ? ceil_div(k, chunk) : 1;
      const double each = static_cast<double>(ceil_div(blocks * splits, multiprocessors));
      const bool idles = tile.alone > 0 && each * tile.alone < tile.rate;
      const double rate = idles ? each * tile.alone : tile.rate;
      double cycles = kStart + each * tile.m * tile.n * static_cast<double>(chunk) / rate;
      if (splits > 1)
        cycles += kSecondPass +
                  2.0 * static_cast<double>(splits * products * m * n) / (kWords * multiprocessors);
      if (best.splits == 0 || cycles < best.cycles) best = {t, splits, chunk, cycles};
    }
  }
  return best;
}

}  // namespace tg::cuda
