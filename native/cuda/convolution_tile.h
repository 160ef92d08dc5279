// A tile of a matrix product: operands pass through shared memory, kDepth terms at a time, sums
// stay in registers. Knows nothing of where operands come from.
#pragma once

#include <math.h>

#include <type_traits>

#include "../core/backend.h"
#include "ptx.h"
#include "vector.h"

namespace tg::cuda {

// Takes `steps` steps. fetch(): the next kDepth terms into registers; stage(buffer): these into
// shared memory; multiply(buffer): adds their products. Loads are under way while the terms before
// are used.
template <class Fetch, class Stage, class Multiply>
__device__ __forceinline__ void pipeline(int steps, Fetch fetch, Stage stage, Multiply multiply) {
  if (steps == 0) return;
  fetch();
  stage(0);
  __syncthreads();
  int buffer = 0;
  for (int step = 1; step < steps; ++step, buffer ^= 1) {
    fetch();
    multiply(buffer);
    stage(buffer ^ 1);
    __syncthreads();
  }
  multiply(buffer);
}

// M × N elements by fused multiply-adds, by threads that have TM × TN each, in squares of 16 bytes'
// lanes.
template <class T, int M, int N, int TM, int TN>
struct Tile {
  static constexpr int kRows = M, kColumns = N, kDepth = 8;
  static constexpr int kThreadRows = TM, kThreadColumns = TN;
  static constexpr int kThreads = M / TM * (N / TN);
  static constexpr int kGroup = kLanes<T>;  // neighbours in a row that a thread has
  static_assert(TM % kGroup == 0 && TN % kGroup == 0, "a thread has whole vectors");

  // Two buffers: one is filled while the other is used. Rows are padded by a vector, so that
  // neighbours in depth, which neighbouring threads store, lie in different banks.
  struct Shared {
    alignas(16) T a[2][kDepth][M + kGroup];
    alignas(16) T b[2][kDepth][N + kGroup];

    __device__ __forceinline__ void set_a(int buffer, int term, int row, T value) {
      a[buffer][term][row] = value;
    }
    __device__ __forceinline__ void set_b(int buffer, int term, int column, T value) {
      b[buffer][term][column] = value;
    }
  };

  T sum[TM][TN] = {};

  __device__ __forceinline__ T at(int i, int j) const { return sum[i][j]; }
  // Where at(i, j) is in the tile.
  static __device__ __forceinline__ int row(int i) {
    return i / kGroup * (M / (TM / kGroup)) + threadIdx.x / (N / TN) * kGroup + i % kGroup;
  }
  static __device__ __forceinline__ int column(int j) {
    return j / kGroup * (N / (TN / kGroup)) + threadIdx.x % (N / TN) * kGroup + j % kGroup;
  }

  __device__ __forceinline__ void multiply(const Shared& shared, int buffer) {
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      Vector<T, kGroup> a[TM / kGroup], b[TN / kGroup];
#pragma unroll
      for (int i = 0; i < TM; i += kGroup)
        a[i / kGroup] = load<kGroup>(&shared.a[buffer][k][row(i)]);
#pragma unroll
      for (int j = 0; j < TN; j += kGroup)
        b[j / kGroup] = load<kGroup>(&shared.b[buffer][k][column(j)]);
#pragma unroll
      for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j)
          sum[i][j] = ::fma(a[i / kGroup].at[i % kGroup], b[j / kGroup].at[j % kGroup], sum[i][j]);
    }
  }
};

// M × N elements by warp products of bfloat16, or of float32 rounded to tf32: of WarpsM × WarpsN
// warps each makes pieces of 16 × 16.
template <class T, int M, int N, int WarpsM, int WarpsN>
struct WarpTile {
  static constexpr int kRows = M, kColumns = N;
  static constexpr int kDepth = 2 * kLanes<T>;  // of an instruction
  static constexpr bool kTf32 = sizeof(T) == 4;
  static constexpr int kThreads = WarpsM * WarpsN * 32;
  static constexpr int kTall = M / WarpsM / 16, kWide = N / WarpsN / 16;  // a warp's pieces
  static constexpr int kThreadRows = 2 * kTall, kThreadColumns = 4 * kWide;
  static constexpr int kGroup = 2;

  // Rows are padded so that eight of them, which a warp reads at once, lie in different banks.
  struct Shared {
    alignas(16) T a[2][M][kDepth + kLanes<T>];
    alignas(16) T b[2][kDepth][N + 8];

    __device__ __forceinline__ void set_a(int buffer, int term, int row, T value) {
      a[buffer][row][term] = rounded(value);
    }
    __device__ __forceinline__ void set_b(int buffer, int term, int column, T value) {
      b[buffer][term][column] = rounded(value);
    }
    static __device__ __forceinline__ T rounded(T value) {
      if constexpr (kTf32)
        return __uint_as_float(round_tf32(value));
      else
        return value;
    }
  };

  float sum[kTall][2 * kWide][4] = {};

  __device__ __forceinline__ float at(int i, int j) const {
    return sum[i / 2][j / 2][i % 2 * 2 + j % 2];
  }
  static __device__ __forceinline__ int warp_row() {
    return static_cast<int>(threadIdx.x) / 32 / WarpsN * kTall * 16;
  }
  static __device__ __forceinline__ int warp_column() {
    return static_cast<int>(threadIdx.x) / 32 % WarpsN * kWide * 16;
  }
  static __device__ __forceinline__ int row(int i) {
    return warp_row() + i * 8 + static_cast<int>(threadIdx.x) % 32 / 4;
  }
  static __device__ __forceinline__ int column(int j) {
    return warp_column() + j / 2 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + j % 2;
  }

  __device__ __forceinline__ void multiply(const Shared& shared, int buffer) {
    const int lane = static_cast<int>(threadIdx.x) % 32, low = lane % 16, high = lane / 16;
    uint32_t a[kTall][4];
#pragma unroll
    for (int i = 0; i < kTall; ++i)
      ldmatrix(a[i], &shared.a[buffer][warp_row() + i * 16 + low][high * kLanes<T>]);
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      const int column = warp_column() + j * 16;
      uint32_t b[4];
      if constexpr (kTf32) {  // what ldmatrix cannot transpose
#pragma unroll
        for (int e = 0; e < 4; ++e)
          b[e] = __float_as_uint(
              shared.b[buffer][e % 2 * 4 + lane % 4][column + e / 2 * 8 + lane / 4]);
      } else {
        ldmatrix_transposed(b, &shared.b[buffer][low][column + high * 8]);
      }
#pragma unroll
      for (int i = 0; i < kTall; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          add(sum[i][2 * j + half], a[i], b[2 * half], b[2 * half + 1]);
    }
  }

 private:
  static __device__ __forceinline__ void add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                             uint32_t b1) {
    if constexpr (kTf32)
      mma_tf32(d, a, b0, b1);
    else
      mma_bf16(d, a, b0, b1);
  }
};

// Large where a group has rows for it, and wide where it has few.
template <class T>
struct Tiles;
template <>
struct Tiles<float> {
  using Large = Tile<float, 128, 128, 8, 8>;
  using Wide = Tile<float, 32, 128, 4, 4>;
};
template <>
struct Tiles<double> {
  using Large = Tile<double, 64, 64, 4, 4>;
  using Wide = Tile<double, 32, 128, 4, 4>;
};
template <>
struct Tiles<bf16> {
  using Large = WarpTile<bf16, 128, 128, 2, 4>;
  using Wide = WarpTile<bf16, 32, 128, 2, 4>;
};
struct Tf32Tiles {  // of float
  using Large = WarpTile<float, 128, 128, 2, 4>;
  using Wide = WarpTile<float, 32, 128, 2, 4>;
};

// f(tiles) with those for T: what ctx->tf32 allows.
template <class T, class F>
Status with_tiles(ExecContext* ctx, F f) {
  if constexpr (std::is_same<T, float>::value)
    if (ctx->tf32) {
      ctx->trace.variant = "tf32 tiles";
      return f(Tf32Tiles{});
    }
  ctx->trace.variant = "tiles";
  return f(Tiles<T>{});
}

}  // namespace tg::cuda
