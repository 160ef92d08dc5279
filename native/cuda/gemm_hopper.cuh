// The matrix product for compute capability 9.0 as one kernel template. A block stays on its
// multiprocessor and takes tile after tile of C. Its first warpgroup has the copy engine fill a
// ring of stages in shared memory; two more multiply, each its own part of the tile, and store it.
//
// Blocks run alone or in clusters of two, which compute two tiles of C below each other: each
// fetches its lines of A, and half of the columns of B for both.
//
// Where tiles are fewer than multiprocessors, blocks share a tile and divide k (gather).
//
// With three planes per operand (A = A0 + A1 + A2, each bfloat16), the products of the six largest
// pairs are summed: see gemm_split.cu. Operands of tf32 (gemm_hopper_tf32.cu) are K-major; in bytes
// all is as it is for bfloat16.
#pragma once

#include "gemm_hopper_store.cuh"

// The instructions are those of sm_90a alone; other targets' kernels are never launched.
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define TG_HOPPER 1
#else
#define TG_HOPPER 0
#endif

namespace tg::cuda::hopper {

// Where a role is in the ring.
struct Place {
  int stage = 0;
  uint32_t parity = 0;
  template <int stages>
  __device__ __forceinline__ void next() {
    if (++stage == stages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

struct Ring {
  unsigned char* stages;
  uint64_t *full, *empty;
};

// Fetches what the multipliers need, in the order in which they need it. One thread.
template <class T, bool a_mn, bool b_mn>
__device__ __forceinline__ void fetch(const Ring& ring, const CUtensorMap& a, const CUtensorMap& b,
                                      const Work& w, int cluster_index, int clusters, int rank) {
  tma_prefetch(&a);
  tma_prefetch(&b);
  Place place;
  for (int index = cluster_index; index < w.units; index += clusters) {
    const Unit unit = unit_at<T>(w, index);
    const int row = unit.row + rank * T::kM;
    const int first = unit.split * w.split_steps;
    const int last = min(first + w.split_steps, w.steps);
    const int z = unit.product % w.batch, outer = unit.product / w.batch;
    const int za = w.a_moves[0] ? z : 0, zb = w.b_moves[0] ? z : 0;
    const int outer_a = w.a_moves[1] ? outer : 0, outer_b = w.b_moves[1] ? outer : 0;
    for (int step = first; step < last; ++step) {
      uint64_t* const full = ring.full + place.stage;
      mbarrier_wait(ring.empty + place.stage, place.parity ^ 1);
      mbarrier_arrive_expect(full, T::kStageBytes);
      unsigned char* to = ring.stages + place.stage * T::kStageBytes;
      const int k = step * T::kStep;
      for (int plane = 0; plane < T::kPlanes; ++plane) {
        const int wa = T::kPlanes > 1 ? plane : outer_a;
        if constexpr (a_mn) {
          for (int i = 0; i < T::kM / 64; ++i)
            tma_load(to + i * kPiece, &a, full, row + 64 * i, k, za, wa);
        } else {
          tma_load(to, &a, full, k, row, za, wa);
        }
        to += T::kPlaneA;
      }
      for (int plane = 0; plane < T::kPlanes; ++plane) {
        const int wb = T::kPlanes > 1 ? plane : outer_b;
        if constexpr (b_mn) {
          for (int i = 0; i < T::kN / 64; ++i) {
            if (w.cluster == 1)
              tma_load(to + i * kPiece, &b, full, unit.column + 64 * i, k, zb, wb);
            else if (i % 2 == rank)
              tma_load_multicast(to + i * kPiece, &b, full, 3, unit.column + 64 * i, k, zb, wb);
          }
        } else if (w.cluster == 1) {
          tma_load(to, &b, full, k, unit.column, zb, wb);
        } else {
          tma_load_multicast(to + rank * (T::kPlaneB / 2), &b, full, 3, k,
                             unit.column + rank * (T::kN / 2), zb, wb);
        }
        to += T::kPlaneB;
      }
      place.next<T::kStages>();
    }
  }
}

// This warp has read the stage; so it tells the fetchers that write there.
__device__ __forceinline__ void give_back(const Ring& ring, int stage, int cluster) {
  if (threadIdx.x % 32 != 0) return;
  if (cluster == 1) {
    mbarrier_arrive(ring.empty + stage);
  } else {
    mbarrier_arrive_at(ring.empty + stage, 0);
    mbarrier_arrive_at(ring.empty + stage, 1);
  }
}

// d (+)= A B over one stage, whose tiles begin at these operands: 32 bytes of k at a time.
template <class T, bool a_mn, bool b_mn>
__device__ __forceinline__ void multiply(float (&d)[T::kWidth / 2], uint64_t a, uint64_t b,
                                         bool accumulate) {
#pragma unroll
  for (int i = 0; i < kRow / 32; ++i) {
    const uint64_t at = advance(a, i * (a_mn ? 16 * kRow : 32));
    const uint64_t bt = advance(b, i * (b_mn ? 16 * kRow : 32));
    if constexpr (T::kTf32)
      wgmma_tf32<T::kWidth>(d, at, bt, accumulate || i > 0);
    else
      wgmma_bf16<T::kWidth, a_mn, b_mn>(d, at, bt, accumulate || i > 0);
  }
}

// The sums of one part of a tile: 64 lines by T::kWidth columns, as wgmma_bf16 lays them out.
template <class T, bool a_mn, bool b_mn>
__device__ __forceinline__ void sum_up(float (&d)[T::kWidth / 2], const Ring& ring, Place* place,
                                       uint64_t a, uint64_t b, int steps, int cluster) {
  int previous = 0;
  for (int step = 0; step < steps; ++step) {
    mbarrier_wait(ring.full + place->stage, place->parity);
    const uint32_t offset = place->stage * T::kStageBytes;
    wgmma_fence();
    multiply<T, a_mn, b_mn>(d, advance(a, offset), advance(b, offset), step > 0);
    wgmma_commit();
    if (step > 0) {
      wgmma_wait<1>();
      give_back(ring, previous, cluster);
    }
    previous = place->stage;
    place->next<T::kStages>();
  }
  wgmma_wait<0>();
  wgmma_result(d);
  give_back(ring, previous, cluster);
}

// The same with three planes: d, the sum of A0 B0, and `rest`, that of the five pairs next in size.
// Tensor cores cut sums off instead of rounding them, so A0 B0 is summed there over one stage only,
// and from stage to stage by rounded additions; `rest` is too small for the difference to matter.
template <class T, bool a_mn, bool b_mn>
__device__ __forceinline__ void sum_up_planes(float (&d)[T::kWidth / 2],
                                              float (&rest)[T::kWidth / 2], const Ring& ring,
                                              Place* place, uint64_t a, uint64_t b, int steps,
                                              int cluster) {
  float part[T::kWidth / 2];
#pragma unroll
  for (int i = 0; i < T::kWidth / 2; ++i) d[i] = 0;
  for (int step = 0; step < steps; ++step) {
    mbarrier_wait(ring.full + place->stage, place->parity);
    const uint64_t at = advance(a, place->stage * T::kStageBytes);
    const uint64_t bt = advance(b, place->stage * T::kStageBytes);
    const auto plane_a = [&](int p) { return advance(at, p * T::kPlaneA); };
    const auto plane_b = [&](int p) { return advance(bt, p * T::kPlaneB); };
    wgmma_fence();
    multiply<T, a_mn, b_mn>(part, plane_a(0), plane_b(0), false);
    wgmma_commit();
    multiply<T, a_mn, b_mn>(rest, plane_a(2), plane_b(0), step > 0);
    multiply<T, a_mn, b_mn>(rest, plane_a(1), plane_b(1), true);
    multiply<T, a_mn, b_mn>(rest, plane_a(0), plane_b(2), true);
    multiply<T, a_mn, b_mn>(rest, plane_a(1), plane_b(0), true);
    multiply<T, a_mn, b_mn>(rest, plane_a(0), plane_b(1), true);
    wgmma_commit();
    wgmma_wait<1>();
    wgmma_result(part);
#pragma unroll
    for (int i = 0; i < T::kWidth / 2; ++i) d[i] += part[i];
    wgmma_wait<0>();
    give_back(ring, place->stage, cluster);
    place->next<T::kStages>();
  }
  wgmma_result(rest);
  // Where A0 B0 is not finite it is what the product is; the rest has Inf - Inf and 0 * Inf then.
#pragma unroll
  for (int i = 0; i < T::kWidth / 2; ++i)
    if (fabsf(d[i]) <= 3.402823466e38f) d[i] += rest[i];
}

template <class T, bool a_mn, bool b_mn>
__global__ void __launch_bounds__(kBlock, 1)
    gemm_kernel(const __grid_constant__ CUtensorMap map_a,
                const __grid_constant__ CUtensorMap map_b, const __grid_constant__ Work w,
                const __grid_constant__ GemmResult r) {
#if TG_HOPPER
  static_assert(!T::kTf32 || (!a_mn && !b_mn), "wgmma takes K-major tf32 alone");
  unsigned char* const shared = dynamic_shared<unsigned char>();
  uint64_t* const barriers = reinterpret_cast<uint64_t*>(shared + T::kBarriers);
  const Ring ring = {shared, barriers, barriers + T::kStages};
  const int rank = w.cluster > 1 ? static_cast<int>(cluster_rank()) : 0;
  const int cluster_index = blockIdx.x / w.cluster, clusters = gridDim.x / w.cluster;
  if (threadIdx.x == 0) {
    for (int i = 0; i < T::kStages; ++i) {
      mbarrier_init(ring.full + i, 1);
      mbarrier_init(ring.empty + i, kWarps * w.cluster);
    }
    mbarrier_init_fence();
  }
  __syncwarp();
  cluster_sync();

  if (threadIdx.x < 128) {
    release_registers<40>();
    if (threadIdx.x == 0)
      fetch<T, a_mn, b_mn>(ring, map_a, map_b, w, cluster_index, clusters, rank);
    __syncwarp();
  } else {
    take_registers<232>();
    const int warp = threadIdx.x / 32 - 4;
    const int part = warp / 4;  // below each other, or side by side if the tile has 64 lines
    const int down = T::kM == 64 ? 0 : part * 64, across = T::kM == 64 ? part * T::kWidth : 0;
    const uint64_t a = matrix_descriptor(shared + down * kRow, kPiece, 1024);
    const uint64_t b =
        matrix_descriptor(shared + T::kPlanes * T::kPlaneA + across * kRow, kPiece, 1024);
    float* const staging = reinterpret_cast<float*>(shared + T::kStaging) + warp * 16 * kPitch;
    Place place;
    for (int index = cluster_index; index < w.units; index += clusters) {
      const Unit unit = unit_at<T>(w, index);
      const int first = unit.split * w.split_steps;
      const int steps = min(w.split_steps, w.steps - first);
      float d[T::kWidth / 2];
      if constexpr (T::kPlanes == 1) {
        sum_up<T, a_mn, b_mn>(d, ring, &place, a, b, steps, w.cluster);
      } else {
        float rest[T::kWidth / 2];
        sum_up_planes<T, a_mn, b_mn>(d, rest, ring, &place, a, b, steps, w.cluster);
      }
      const int top = unit.row + rank * T::kM;
      if (w.splits > 1) {
        const int tile =
            (unit.product * w.tiles_n + unit.column / T::kN) * w.tiles_m * w.cluster + top / T::kM;
        if (!gather<T::kWidth>(d, w, tile, unit.split, warp)) continue;
      }
      const int line = top + down + warp % 4 * 16;
      if (T::kPlanes == 1 && w.rounded)
        store_rounded<T::kWidth>(d, staging, r, w, unit, line, unit.column + across);
      else
        store_sums<T::kWidth>(d, staging, r, w, unit, line, unit.column + across);
    }
  }
  cluster_sync();  // a block's shared memory must outlast what the other one sends there
#endif
}

}  // namespace tg::cuda::hopper
