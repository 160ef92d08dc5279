// Instructions for which C++ has no word, each as a function; emulation/ptx.h has the same
// functions for the emulated device. Pointers called `shared` point into the block's shared memory.
//
// Layouts of matrices in shared memory ("tiles"), for TMA and wgmma: 128 bytes per row (64 bfloat16
// or 32 tf32), 16-byte pieces of row r permuted by xor with r % 8 (the 128-byte swizzle). A tile
// begins at a multiple of 1,024 bytes. K-major: a row holds values of k of one line of A or column
// of B. MN-major, of bfloat16 alone: a row holds 64 lines of A (columns of B) for one value of k.
#pragma once

#include <stdint.h>

#include <cuda.h>

#if !defined(__CUDACC__)
#include "emulation/ptx.h"
#else

namespace tg::cuda {

__device__ __forceinline__ uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Two floats rounded to bfloat16 (to nearest even), `low` in the lower half.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

// The bits of x rounded to tf32 (10 bits behind the point): to nearest, ties away from zero. NaN
// and Inf stay; what is nearer to 2^128 than to the largest tf32 becomes Inf.
__device__ __forceinline__ uint32_t round_tf32(float x) {
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
  return rounded;
}

// x. What is computed of it is computed behind this place, so that what only the end of a kernel
// needs takes no registers before.
template <class T>
__device__ __forceinline__ T from_here(T x) {
  static_assert(sizeof(T) == 4, "a register");
  asm volatile("" : "+r"(x));
  return x;
}

// Has the cache line of an element fetched that is going to be read.
__device__ __forceinline__ void prefetch(const void* global) {
  asm volatile("prefetch.L1 [%0];" ::"l"(global));
}

// --- Asynchronous copies and warp matrices (sm_80) ---------------------------------------------

// `size` bytes (4, 8 or 16; both addresses multiples of it), of which only the first `valid` are
// read, the rest being zeros. With none valid `global` may be any address.
template <int size>
__device__ __forceinline__ void cp_async(void* shared, const void* global, int valid) {
  static_assert(size == 4 || size == 8 || size == 16, "a size that is copied");
  if constexpr (size == 16)  // past L1
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                 "l"(global), "r"(valid)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(shared)),
                 "l"(global), "n"(size), "r"(valid)
                 : "memory");
}
// Ends a group of this thread's copies.
__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Until this thread's copies but those of its last `pending` groups have arrived.
template <int pending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// Four matrices of 8 rows of 16 bytes: lane l gives the address of row l % 8 of matrix l / 8, a
// multiple of 16. Its d[i] are elements 2 (l % 4) and the next of row l / 4 of matrix i.
__device__ __forceinline__ void ldmatrix(uint32_t (&d)[4], const void* shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(shared_address(shared))
               : "memory");
}
// The same of the matrices transposed.
__device__ __forceinline__ void ldmatrix_transposed(uint32_t (&d)[4], const void* shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(shared_address(shared))
               : "memory");
}

// D[16, 8] += A[16, 16] B[16, 8], by a warp. With r = l / 4 and c = 2 (l % 4), and pairs of
// neighbours along k (of d along n) beginning at the place named, lane l has
//   a[0], a[1], a[2], a[3] = A[r, c], A[r + 8, c], A[r, c + 8], A[r + 8, c + 8]
//   b[0], b[1] = B[c, r], B[c + 8, r];  d[0..1], d[2..3] = D[r, c], D[r + 8, c].
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                         uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// The same of tf32: D[16, 8] += A[16, 8] B[8, 8]. With r = l / 4 and c = l % 4, lane l has
//   a[0], a[1], a[2], a[3] = A[r, c], A[r + 8, c], A[r, c + 4], A[r + 8, c + 4]
//   b[0], b[1] = B[c, r], B[c + 4, r];  d as above.
// ldmatrix, for which a float32 is two elements of a row, gives lane l word l % 4 of row l / 4.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                         uint32_t b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// --- Barriers in shared memory (sm_90) ---------------------------------------------------------
// A phase ends when `count` arrivals have come and all bytes that were announced. The first phase
// has parity 0; waiting for parity 1 on a fresh barrier returns at once.

__device__ __forceinline__ void mbarrier_init(uint64_t* barrier, uint32_t count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count)
               : "memory");
}

// Makes fresh barriers known to the copy engine and to the cluster; a barrier of the block or the
// cluster must follow.
__device__ __forceinline__ void mbarrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void mbarrier_arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
               : "memory");
}

// Arrives at the barrier at the same place in block `rank` of the cluster; orders this thread's
// reads alone (see mbarrier_wait).
__device__ __forceinline__ void mbarrier_arrive_at(uint64_t* barrier, uint32_t rank) {
  asm volatile(
      "{\n"
      ".reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote];\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(rank)
      : "memory");
}

// Arrives, and announces bytes that copies will bring in this phase.
__device__ __forceinline__ void mbarrier_arrive_expect(uint64_t* barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(
                   shared_address(barrier)),
               "r"(bytes)
               : "memory");
}

// Waits for the end of the phase of that parity. Shows what this block wrote before it arrived, and
// what copies have brought; not what other blocks wrote, which takes a fence of the cluster.
__device__ __forceinline__ void mbarrier_wait(uint64_t* barrier, uint32_t parity) {
  uint32_t done;
  do {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [%1], %2;\n"
        "selp.b32 %0, 1, 0, done;\n"
        "}"
        : "=r"(done)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  } while (!done);
}

// --- Clusters (sm_90) --------------------------------------------------------------------------

__device__ __forceinline__ uint32_t cluster_rank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

// All threads of all blocks of the cluster.
__device__ __forceinline__ void cluster_sync() {
  asm volatile(
      "barrier.cluster.arrive.release.aligned;\n"
      "barrier.cluster.wait.acquire.aligned;" ::
          : "memory");
}

// --- The bulk tensor copy engine (sm_90) -------------------------------------------------------

__device__ __forceinline__ void tma_prefetch(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

// The map's box at element (x, y, z, w) of its tensor, x along memory; elements outside are
// zeros. The whole box counts towards the barrier's bytes. One thread issues it.
__device__ __forceinline__ void tma_load(void* shared, const CUtensorMap* map, uint64_t* barrier,
                                         int x, int y, int z, int w) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(shared_address(shared)),
      "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z), "r"(w)
      : "memory");
}

// The same into the shared memory of each block of the cluster whose bit is set, at this place,
// with the barrier at its place there.
__device__ __forceinline__ void tma_load_multicast(void* shared, const CUtensorMap* map,
                                                   uint64_t* barrier, uint16_t blocks, int x, int y,
                                                   int z, int w) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%4, %5, %6, %7}], [%2], %3;" ::"r"(shared_address(shared)),
      "l"(map), "r"(shared_address(barrier)), "h"(blocks), "r"(x), "r"(y), "r"(z), "r"(w)
      : "memory");
}

// --- Warpgroups (sm_90a) -----------------------------------------------------------------------

// Hands registers back, or takes them, for each thread of the warpgroup; a multiple of 8.
template <int registers>
__device__ __forceinline__ void release_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(registers));
}
template <int registers>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
}

// Before the first wgmma, and whenever this thread has touched the accumulators in between.
__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Until all but the last `pending` groups are done.
template <int pending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

#define TG_TEN(t) \
  "%" t "0, %" t "1, %" t "2, %" t "3, %" t "4, %" t "5, %" t "6, %" t "7, %" t "8, %" t "9, "
#define TG_D4(i) "+f"(d[i]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3])
#define TG_D16(i) TG_D4(i), TG_D4((i) + 4), TG_D4((i) + 8), TG_D4((i) + 12)
#define TG_D64(i) TG_D16(i), TG_D16((i) + 16), TG_D16((i) + 32), TG_D16((i) + 48)
// ab: the operands behind the accumulators, as "%64, %65, p, 1, 1, %67, %68".
#define TG_WGMMA(shape, types, predicate, d_list, ab)                      \
  "{\n"                                                                    \
  ".reg .pred p;\n"                                                        \
  "setp.ne.b32 p, " predicate                                              \
  ", 0;\n"                                                                 \
  "wgmma.mma_async.sync.aligned." shape ".f32." types " {" d_list "}, " ab \
  ";\n"                                                                    \
  "}"

#define TG_LIST64 TG_TEN("") TG_TEN("1") TG_TEN("2") "%30, %31"
#define TG_SIXTY TG_TEN("") TG_TEN("1") TG_TEN("2") TG_TEN("3") TG_TEN("4") TG_TEN("5")
#define TG_LIST128 TG_SIXTY "%60, %61, %62, %63"
#define TG_SIXTY_MORE TG_TEN("6") TG_TEN("7") TG_TEN("8") TG_TEN("9") TG_TEN("10") TG_TEN("11")
#define TG_LIST256 TG_SIXTY TG_SIXTY_MORE "%120, %121, %122, %123, %124, %125, %126, %127"

// D[64, N] = A[64, 16] B[16, N] (+ D), by a warpgroup. Warp w's lane l has of D
//   d[4 j + 2 i + c] = D[16 w + l / 4 + 8 i, 8 j + 2 (l % 4) + c]  for i, c in {0, 1}.
// a_mn, b_mn: that operand is MN-major.
template <int N, bool a_mn, bool b_mn>
__device__ __forceinline__ void wgmma_bf16(float (&d)[N / 2], uint64_t a, uint64_t b,
                                           bool accumulate) {
  static_assert(N == 64 || N == 128 || N == 256, "a width that has its instruction here");
  const int more = accumulate;
  if constexpr (N == 64) {
    asm volatile(TG_WGMMA("m64n64k16", "bf16.bf16", "%34", TG_LIST64, "%32, %33, p, 1, 1, %35, %36")
                 : TG_D16(0), TG_D16(16)
                 : "l"(a), "l"(b), "r"(more), "n"(int{a_mn}), "n"(int{b_mn}));
  } else if constexpr (N == 128) {
    asm volatile(
        TG_WGMMA("m64n128k16", "bf16.bf16", "%66", TG_LIST128, "%64, %65, p, 1, 1, %67, %68")
        : TG_D64(0)
        : "l"(a), "l"(b), "r"(more), "n"(int{a_mn}), "n"(int{b_mn}));
  } else {
    asm volatile(
        TG_WGMMA("m64n256k16", "bf16.bf16", "%130", TG_LIST256, "%128, %129, p, 1, 1, %131, %132")
        : TG_D64(0), TG_D64(64)
        : "l"(a), "l"(b), "r"(more), "n"(int{a_mn}), "n"(int{b_mn}));
  }
}

// The same of tf32: A[64, 8] B[8, N], both K-major; the lowest 13 bits of a word are not looked at.
template <int N>
__device__ __forceinline__ void wgmma_tf32(float (&d)[N / 2], uint64_t a, uint64_t b,
                                           bool accumulate) {
  static_assert(N == 64 || N == 128 || N == 256, "a width that has its instruction here");
  const int more = accumulate;
  if constexpr (N == 64) {
    asm volatile(TG_WGMMA("m64n64k8", "tf32.tf32", "%34", TG_LIST64, "%32, %33, p, 1, 1")
                 : TG_D16(0), TG_D16(16)
                 : "l"(a), "l"(b), "r"(more));
  } else if constexpr (N == 128) {
    asm volatile(TG_WGMMA("m64n128k8", "tf32.tf32", "%66", TG_LIST128, "%64, %65, p, 1, 1")
                 : TG_D64(0)
                 : "l"(a), "l"(b), "r"(more));
  } else {
    asm volatile(TG_WGMMA("m64n256k8", "tf32.tf32", "%130", TG_LIST256, "%128, %129, p, 1, 1")
                 : TG_D64(0), TG_D64(64)
                 : "l"(a), "l"(b), "r"(more));
  }
}

#undef TG_LIST64
#undef TG_LIST128
#undef TG_LIST256
#undef TG_SIXTY
#undef TG_SIXTY_MORE
#undef TG_TEN
#undef TG_D4
#undef TG_D16
#undef TG_D64
#undef TG_WGMMA

}  // namespace tg::cuda

#endif

// --- What follows from these -------------------------------------------------------------------

namespace tg::cuda {

// A wgmma operand: a tile at `shared`. `stride` is the bytes between groups of 8 rows (1,024 if
// they adjoin); `leading`, of MN-major operands alone, those between pieces of 64 lines
// (columns).
__device__ __forceinline__ uint64_t matrix_descriptor(const void* shared, uint32_t leading,
                                                      uint32_t stride) {
  return static_cast<uint64_t>((shared_address(shared) & 0x3ffff) >> 4) |
         static_cast<uint64_t>(leading >> 4) << 16 | static_cast<uint64_t>(stride >> 4) << 32 |
         uint64_t{1} << 62;
}
// The operand `bytes` further on.
__device__ __forceinline__ uint64_t advance(uint64_t descriptor, uint32_t bytes) {
  return descriptor + (bytes >> 4);
}

// Between the wait for a product and the first use of its accumulators, which the compiler must not
// move up.
template <int n>
__device__ __forceinline__ void wgmma_result([[maybe_unused]] float (&d)[n]) {
#if defined(__CUDACC__)
#pragma unroll
  for (int i = 0; i < n; ++i) asm volatile("" : "+f"(d[i])::"memory");
#endif
}

}  // namespace tg::cuda
