// How gemm_hopper.cuh gets sums from the tensor cores' registers to C: over parts of k, through
// shared memory, by way of the epilogue. Each warp for itself.
#pragma once

#include "gemm_columns.h"
#include "gemm_hopper_work.cuh"
#include "gemm_place.h"
#include "ptx.h"

namespace tg::cuda::hopper {

// Adds up this warp's part of a tile over the parts of k. Of the warps that have it in their
// blocks, the last one to come gets all sums, added in the order of k; the others are done.
template <int width>
__device__ __forceinline__ bool gather(float (&d)[width / 2], const Work& w, int tile, int split,
                                       int warp) {
  const int lane = threadIdx.x % 32;
  const auto part_of = [&](int s) {
    return w.partial + int64_t{(s * w.tiles + tile) * kWarps + warp} * (16 * width) + lane * 4;
  };
  float* const own = part_of(split);
#pragma unroll
  for (int i = 0; i < width / 8; ++i)
    store(own + i * 128, Vector<float, 4>{{d[4 * i], d[4 * i + 1], d[4 * i + 2], d[4 * i + 3]}});
  __threadfence();
  __syncwarp();
  unsigned* const arrivals = w.arrivals + tile * kWarps + warp;
  unsigned before = 0;
  if (lane == 0) before = atomicAdd(arrivals, 1u);
  before = __shfl_sync(~0u, before, 0);
  if (before + 1 < static_cast<unsigned>(w.splits)) return false;
  if (lane == 0) *arrivals = 0;
  __threadfence();
#pragma unroll
  for (int i = 0; i < width / 2; ++i) d[i] = 0;
  for (int s = 0; s < w.splits; ++s) {
    const float* const from = part_of(s);
#pragma unroll
    for (int i = 0; i < width / 8; ++i) {
      const float4 v = __ldcg(reinterpret_cast<const float4*>(from + i * 128));
      d[4 * i] += v.x;
      d[4 * i + 1] += v.y;
      d[4 * i + 2] += v.z;
      d[4 * i + 3] += v.w;
    }
  }
  return true;
}

// Leaves the sums of this warp's 16 lines as a line of parts (gemm_columns.h). Each thread has
// those of every so many lines, and of n columns from `first` on; `across` threads are side by
// side.
template <int across, int n>
__device__ __forceinline__ void leave_columns(const GemmResult& r, const Work& w, int row,
                                              int first, float (&sums)[n]) {
  static_assert(kPartRows == 16, "a warp's lines");
#pragma unroll
  for (int j = 0; j < n; ++j)
#pragma unroll
    for (int far = 16; far >= across; far /= 2) sums[j] += __shfl_xor_sync(~0u, sums[j], far);
  if (threadIdx.x % 32 >= across || row >= w.m) return;
  float* const to = static_cast<float*>(r.parts) + int64_t{row / kPartRows} * w.n + first;
#pragma unroll
  for (int j = 0; j < n; ++j)
    if (first + j < w.n) to[j] = sums[j];
}

// Stores this warp's 16 lines of sums from (row, column) on. Through shared memory, 32 columns at a
// time, since a thread's sums are scattered over lines, and stores want neighbours.
template <int width>
__device__ __forceinline__ void store_sums(const float (&d)[width / 2], float* staging,
                                           const GemmResult& r, const Work& w, const Unit& unit,
                                           int row, int column) {
  const int lane = threadIdx.x % 32;
  const int line = lane / 8, four = lane % 8 * 4;  // of the four neighbours this thread stores
  const int64_t product = place_of(unit.product, r.batch, r.c_batch, r.c_outer);
#pragma unroll 1
  for (int piece = 0; piece < width / kColumns; ++piece) {
    const int first = column + piece * kColumns + four;
    const int count = min(4, w.n - first);
    if (r.then.kept && count > 0) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int64_t at = row + line + 4 * i;
        if (at < w.m)
          prefetch(static_cast<const char*>(r.then.kept) +
                   (product + at * r.c_row + first) * (r.out == DType::float32 ? 4 : 2));
      }
    }
    __syncwarp();
#pragma unroll
    for (int p = 0; p < width / kColumns; ++p) {
      if (p != piece) continue;  // registers have no run-time index
#pragma unroll
      for (int j = 0; j < 4; ++j)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int at = p * 16 + j * 4 + i * 2;
          store(staging + (lane / 4 + 8 * i) * kPitch + j * 8 + lane % 4 * 2,
                Vector<float, 2>{{d[at], d[at + 1]}});
        }
    }
    __syncwarp();
    float columns[4] = {};
    const auto end = [&](const GemmResult& result, int i) {
      Vector<float, 4> x = load<4>(staging + (line + 4 * i) * kPitch + four);
      const int at = row + line + 4 * i;
      if (at >= w.m || count <= 0) return;
      finish(result, product, at, first, count, x.at);
#pragma unroll
      for (int j = 0; j < 4; ++j) columns[j] += x.at[j];
    };
    if (r.then.activated) {  // much code, so once
#pragma unroll 1
      for (int i = 0; i < 4; ++i) end(r, i);
    } else {
      GemmResult plain = r;
      plain.then.activated = false;  // as the compiler does not see by itself
#pragma unroll
      for (int i = 0; i < 4; ++i) end(plain, i);
    }
    if (r.parts) leave_columns<8>(r, w, row, first, columns);
  }
}

// Pairs of bfloat16.
__device__ __forceinline__ float half_of(uint32_t pair, int which) {
  return __uint_as_float(which ? pair & 0xffff0000u : pair << 16);
}
__device__ __forceinline__ Vector<uint32_t, 4> through_relu(Vector<uint32_t, 4> x,
                                                            const Vector<uint32_t, 4>& kept) {
  const auto gradient = [](float g, float y) {
    using N = Number<float>;
    return relu_rule::dx(N::of(g), N(0), N::of(y), N(0), N(0)).v;
  };
#pragma unroll
  for (int i = 0; i < 4; ++i)
    x.at[i] = pack_bf16(gradient(half_of(x.at[i], 0), half_of(kept.at[i], 0)),
                        gradient(half_of(x.at[i], 1), half_of(kept.at[i], 1)));
  return x;
}

// The same for what most layers end with: bfloat16, at most a bias and relu, or its gradient, in
// whole 16 bytes. Half the traffic through shared memory, since sums are rounded before: 64 columns
// at a time.
template <int width>
__device__ __forceinline__ void store_rounded(const float (&d)[width / 2], float* staging,
                                              const GemmResult& r, const Work& w, const Unit& unit,
                                              int row, int column) {
  constexpr int kPacked = 64, kPackedPitch = 36;  // columns; words from line to line
  uint32_t* const words = reinterpret_cast<uint32_t*>(staging);
  const int lane = threadIdx.x % 32;
  const float alpha = r.single.alpha;
  const bool activated = r.then.activated && r.then.activation == op_relu;
  const bool gradient = r.then.activated && !activated;
  const float least = activated ? 0.0f : -INFINITY;
  const auto ended = [&](float x) { return x < least ? least : x; };  // NaN passes
  bf16* const c = static_cast<bf16*>(r.c);
  const int64_t product = place_of(unit.product, r.batch, r.c_batch, r.c_outer);
#pragma unroll
  for (int p = 0; p < width / kPacked; ++p) {
    const int first = column + p * kPacked + lane % 8 * 8;
    const auto row_of = [&](int i) { return row + lane / 8 + 4 * i; };
    const auto place = [&](int i) { return product + row_of(i) * r.c_row + first; };
    Vector<uint32_t, 4> kept[4] = {};  // on its way meanwhile
    if (gradient) {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (first < w.n && row_of(i) < w.m)
          kept[i] = load<4>(
              reinterpret_cast<const uint32_t*>(static_cast<const bf16*>(r.then.kept) + place(i)));
    }
    __syncwarp();
#pragma unroll
    for (int j = 0; j < kPacked / 8; ++j) {
      const int at = column + p * kPacked + j * 8 + lane % 4 * 2;
      Vector<bf16, 2> bias = {};
      if (r.then.bias && at < w.n) bias = load<2>(static_cast<const bf16*>(r.then.bias) + at);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int pair = p * (kPacked / 2) + j * 4 + i * 2;
        words[(lane / 4 + 8 * i) * kPackedPitch + j * 4 + lane % 4] =
            pack_bf16(ended(alpha * d[pair] + widen(bias.at[0])),
                      ended(alpha * d[pair + 1] + widen(bias.at[1])));
      }
    }
    __syncwarp();
    float columns[8] = {};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (first >= w.n || row_of(i) >= w.m) continue;
      Vector<uint32_t, 4> x = load<4>(words + (lane / 8 + 4 * i) * kPackedPitch + lane % 8 * 4);
      if (gradient) x = through_relu(x, kept[i]);
      store(reinterpret_cast<uint32_t*>(c + place(i)), x);
      if (!r.parts) continue;
#pragma unroll
      for (int j = 0; j < 8; ++j) columns[j] += half_of(x.at[j / 2], j % 2);
    }
    if (r.parts) leave_columns<8>(r, w, row, first, columns);
  }
}
// Whether it serves.
inline bool rounds_early(const GemmCall& c) {
  const GemmEpilogue& e = c.epilogue;
  const bool eights = reinterpret_cast<uintptr_t>(c.c) % 16 == 0 && c.n % 8 == 0 &&
                      reinterpret_cast<uintptr_t>(e.kept) % 16 == 0 && c.c_row % 8 == 0 &&
                      c.c_batch % 8 == 0 && c.c_outer % 8 == 0;
  const bool simple =
      !e.activated || ((e.activation == op_relu || e.activation == op_relu_dx) && !e.before);
  return c.out == DType::bfloat16 && eights && reinterpret_cast<uintptr_t>(e.bias) % 4 == 0 &&
         !e.accumulate && !e.residual && simple;
}

}  // namespace tg::cuda::hopper
