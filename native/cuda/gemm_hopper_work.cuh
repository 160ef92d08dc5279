// How gemm_hopper.cuh cuts a product into tiles and units of work, and where they lie.
#pragma once

#include <stdint.h>

#include <cuda_runtime.h>

namespace tg::cuda::hopper {

constexpr int kRow = 128;          // bytes of k per stage: one row of a tile in shared memory
constexpr int kPiece = 64 * kRow;  // bytes of 64 such rows
constexpr int kMultipliers = 2;    // warpgroups
constexpr int kBlock = 128 * (1 + kMultipliers);
constexpr int kWarps = 4 * kMultipliers;

// Staging of finished sums: each warp's 16 lines by 32 columns; 40 floats apart, they lie in
// different banks both as a warp has them in registers and as it stores them.
constexpr int kColumns = 32, kPitch = 40;

enum class Kind { bf16, tf32 };

template <int m, int n, int stages, int planes = 1, Kind kind = Kind::bf16>
struct Tile {
  static constexpr int kM = m, kN = n, kStages = stages, kPlanes = planes;
  static constexpr bool kTf32 = kind == Kind::tf32;
  static constexpr int kStep = kRow / (kTf32 ? 4 : 2);           // values of k per stage
  static constexpr int kWidth = m == 64 ? n / kMultipliers : n;  // columns of one warpgroup's part
  static constexpr int kPlaneA = m * kRow, kPlaneB = n * kRow;   // bytes
  static constexpr int kStageBytes = planes * (kPlaneA + kPlaneB);
  static constexpr int kStaging = stages * kStageBytes;
  static constexpr int kBarriers = kStaging + kWarps * 16 * kPitch * 4;
  static constexpr int kShared = kBarriers + 2 * stages * 8;
};

// The work: units of `cluster` tiles below each other, over a part of k.
struct Work {
  int units;
  int m, n, steps;          // of k
  int tiles_m, tiles_n;     // in units
  int splits, split_steps;  // parts of k, and how many steps each has; the last may have fewer
  int cluster;
  int batch;  // products along the maps' third axis; the rest along the fourth, which
              // is that of the planes if there are several
  bool a_moves[2], b_moves[2];  // whether products differ along these axes, or share a matrix
  bool rounded;                 // store_rounded serves
  // For parts of k: their sums, [splits][tiles] of Tile::kM * Tile::kN, and for each warp's part of
  // a tile how many have come: 0 before and after a call.
  int tiles;
  float* partial;
  unsigned* arrivals;
};

struct Unit {
  int product, row, column, split;  // row and column of its first tile's first element
};

// Units run down a group of kGroup tiles before they move a column on, so that those at work at one
// time share lines of A and columns of B in L2.
constexpr int kGroup = 8;

template <class T>
__device__ __forceinline__ Unit unit_at(const Work& w, int index) {
  const int per_product = w.tiles_m * w.tiles_n;
  const int product = index / per_product;  // and part of k
  const int at = index - product * per_product;
  const int group = at / (kGroup * w.tiles_n);
  const int first = group * kGroup;
  const int height = min(kGroup, w.tiles_m - first);
  const int within = at - group * kGroup * w.tiles_n;
  Unit unit;
  unit.product = product / w.splits;
  unit.split = product - unit.product * w.splits;
  unit.row = (first + within % height) * w.cluster * T::kM;
  unit.column = within / height * T::kN;
  return unit;
}

}  // namespace tg::cuda::hopper
