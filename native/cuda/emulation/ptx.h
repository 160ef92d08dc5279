// The functions of ../ptx.h for the emulated device, as the PTX ISA describes the instructions.
// What they mean, and what callers must see to, is said there.
#pragma once

#include <cuda.h>

#include "cuda_runtime.h"

namespace tg::emulation {

void cp_async(void* shared, const void* global, int bytes, int valid);
void cp_async_commit();
void cp_async_wait(int pending);
void ldmatrix(uint32_t (&d)[4], const void* shared, bool transposed);
void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void mbarrier_init(uint64_t* barrier, uint32_t count);
// At the barrier's place in block `rank` of the cluster, or (-1) at the own one.
void mbarrier_arrive(uint64_t* barrier, int rank, uint32_t bytes);
bool mbarrier_test(const uint64_t* barrier, uint32_t parity);
void mbarrier_wait(const uint64_t* barrier, uint32_t parity);
void tma_load(void* shared, const CUtensorMap* map, uint64_t* barrier, unsigned blocks,
              const int* at, int rank);
void wgmma_fence();
void wgmma_commit();
void wgmma_wait(int pending);
void wgmma(const void* operation, float* d, uint64_t a, uint64_t b, int n, bool tf32, bool a_mn,
           bool b_mn, bool accumulate);
void check_map(const CUtensorMap* map);

// One address for each wgmma that differs from others in more than its operands.
template <int n, bool tf32, bool a_mn, bool b_mn>
inline const char kWgmma = 0;

}  // namespace tg::emulation

namespace tg::cuda {

inline uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Rounded to nearest even; NaN gives the canonical one.
inline uint32_t pack_bf16(float low, float high) {
  const auto round = [](float x) -> uint32_t {
    const uint32_t bits = __float_as_uint(x);
    return x != x ? 0x7FFF : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  };
  return round(high) << 16 | round(low);
}

// To nearest, ties away from zero, by an addition to the bits that carries into the exponent.
inline uint32_t round_tf32(float x) {
  const uint32_t bits = __float_as_uint(x);
  return (fabsf(x) < INFINITY ? bits + 0x1000 : bits) & 0xFFFFE000u;
}

template <class T>
T from_here(T x) {
  return x;
}
// Reads it, so that a place that is nobody's is noticed.
inline void prefetch(const void* global) { (void)*static_cast<const volatile char*>(global); }

template <int size>
void cp_async(void* shared, const void* global, int valid) {
  static_assert(size == 4 || size == 8 || size == 16, "a size that is copied");
  emulation::cp_async(shared, global, size, valid);
}
inline void cp_async_commit() { emulation::cp_async_commit(); }
template <int pending>
void cp_async_wait() {
  emulation::cp_async_wait(pending);
}

inline void ldmatrix(uint32_t (&d)[4], const void* shared) {
  emulation::ldmatrix(d, shared, false);
}
inline void ldmatrix_transposed(uint32_t (&d)[4], const void* shared) {
  emulation::ldmatrix(d, shared, true);
}
inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  emulation::mma_bf16(d, a, {b0, b1});
}
inline void mma_tf32(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  emulation::mma_tf32(d, a, {b0, b1});
}

inline void mbarrier_init(uint64_t* barrier, uint32_t count) {
  emulation::mbarrier_init(barrier, count);
}
inline void mbarrier_init_fence() {}
inline void mbarrier_arrive(uint64_t* barrier) { emulation::mbarrier_arrive(barrier, -1, 0); }
inline void mbarrier_arrive_at(uint64_t* barrier, uint32_t rank) {
  emulation::mbarrier_arrive(barrier, static_cast<int>(rank), 0);
}
inline void mbarrier_arrive_expect(uint64_t* barrier, uint32_t bytes) {
  emulation::mbarrier_arrive(barrier, -1, bytes);
}
inline void mbarrier_wait(uint64_t* barrier, uint32_t parity) {
  emulation::mbarrier_wait(barrier, parity);
}

inline void named_barrier_sync(int id, int threads) { emulation::barrier_sync(id, threads); }
inline void named_barrier_arrive(int id, int threads) { emulation::barrier_arrive(id, threads); }

inline uint32_t cluster_rank() { return static_cast<uint32_t>(emulation::running->block->rank); }
inline void cluster_arrive() { emulation::cluster_arrive(); }
inline void cluster_wait() { emulation::cluster_wait(); }
inline void cluster_sync() {
  emulation::cluster_arrive();
  emulation::cluster_wait();
}

inline void tma_prefetch(const CUtensorMap* map) { emulation::check_map(map); }
template <class... Coordinates>
void tma_load(void* shared, const CUtensorMap* map, uint64_t* barrier, Coordinates... at) {
  const int place[] = {at...};
  emulation::tma_load(shared, map, barrier, 1u << cluster_rank(), place, sizeof...(at));
}
template <class... Coordinates>
void tma_load_multicast(void* shared, const CUtensorMap* map, uint64_t* barrier, uint16_t blocks,
                        Coordinates... at) {
  const int place[] = {at...};
  emulation::tma_load(shared, map, barrier, blocks, place, sizeof...(at));
}
template <int registers>
void release_registers() {
  static_assert(registers >= 24 && registers <= 256 && registers % 8 == 0, "what setmaxnreg takes");
}
template <int registers>
void take_registers() {
  static_assert(registers >= 24 && registers <= 256 && registers % 8 == 0, "what setmaxnreg takes");
}

inline void wgmma_fence() { emulation::wgmma_fence(); }
inline void wgmma_commit() { emulation::wgmma_commit(); }
template <int pending>
void wgmma_wait() {
  emulation::wgmma_wait(pending);
}
template <int N, bool a_mn, bool b_mn>
void wgmma_bf16(float (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate) {
  static_assert(N % 8 == 0 && N >= 8 && N <= 256, "a width that has its instruction");
  emulation::wgmma(&emulation::kWgmma<N, false, a_mn, b_mn>, d, a, b, N, false, a_mn, b_mn,
                   accumulate);
}
template <int N>
void wgmma_tf32(float (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate) {
  static_assert(N % 8 == 0 && N >= 8 && N <= 256, "a width that has its instruction");
  emulation::wgmma(&emulation::kWgmma<N, true, false, false>, d, a, b, N, true, false, false,
                   accumulate);
}

}  // namespace tg::cuda
