// What a core can do at best, measured beside the kernels: a chain of fused multiply-adds in
// registers, a copy, and a pass that reads and writes in place. Includes nothing of tapegrad's, so
// that any benchmark may use it.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

namespace roofs {

// Twelve independent chains: more than the 2 units × 4 cycles of latency of today's cores keep
// busy.
constexpr int kChains = 12;

// Defines fma_<isa>(n): n rounds of kChains multiply-adds of `lanes` floats; returns the number of
// operations, two for each lane. Where the ISA has no fused one, a product and a sum.
#define ROOFS_FMA(isa, attributes, Vector, lanes, set, fma)                                \
  attributes inline double fma_##isa(int64_t n) {                                          \
    const Vector x = set(0.999f), y = set(1e-3f);                                          \
    Vector sum[kChains];                                                                   \
    ROOFS_UNROLL for (int i = 0; i < kChains; ++i) {                                       \
      sum[i] = set(1.0f);                                                                  \
      asm volatile("" : ROOFS_REGISTER(sum[i])); /* no two are alike */                    \
    }                                                                                      \
    for (int64_t k = 0; k < n; ++k) {                                                      \
      ROOFS_UNROLL for (int i = 0; i < kChains; ++i) sum[i] = fma(sum[i], x, y);           \
    }                                                                                      \
    ROOFS_UNROLL for (int i = 0; i < kChains;                                              \
                      ++i) asm volatile("" : ROOFS_REGISTER(sum[i])); /* all are wanted */ \
    return 2.0 * lanes * kChains * static_cast<double>(n);                                 \
  }
#define ROOFS_UNROLL _Pragma("GCC unroll 12")

#if defined(__x86_64__)
#define ROOFS_REGISTER(v) "+v"(v)
#define ROOFS_MUL_ADD(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
ROOFS_FMA(avx512, __attribute__((target("avx512f"))), __m512, 16, _mm512_set1_ps, _mm512_fmadd_ps)
ROOFS_FMA(avx2, __attribute__((target("avx2,fma"))), __m256, 8, _mm256_set1_ps, _mm256_fmadd_ps)
ROOFS_FMA(baseline, , __m128, 4, _mm_set1_ps, ROOFS_MUL_ADD)
#undef ROOFS_MUL_ADD
#else
#define ROOFS_REGISTER(v) "+w"(v)
#define ROOFS_MUL_ADD(a, b, c) vfmaq_f32(c, a, b)
ROOFS_FMA(neon, , float32x4_t, 4, vdupq_n_f32, ROOFS_MUL_ADD)
#undef ROOFS_MUL_ADD
#endif
#undef ROOFS_REGISTER
#undef ROOFS_FMA
#undef ROOFS_UNROLL

// The multiply-add loop of an instruction set ("avx512", "avx2", "baseline", "neon"), or null. The
// caller makes sure that the machine has it.
inline double (*fma_of(const char* isa))(int64_t) {
#if defined(__x86_64__)
  if (strcmp(isa, "avx512") == 0) return fma_avx512;
  if (strcmp(isa, "avx2") == 0) return fma_avx2;
  if (strcmp(isa, "baseline") == 0) return fma_baseline;
#else
  if (strcmp(isa, "neon") == 0) return fma_neon;
#endif
  return nullptr;
}

// Copies `bytes`; the arrays do not overlap.
inline void copy(void* to, const void* from, size_t bytes) {
  memcpy(to, from, bytes);
  asm volatile("" ::: "memory");  // the next copy is not the same one
}

// Reads and writes n floats in place: traffic of 8 n bytes, and no line is fetched only to be
// overwritten, as a copy's target is.
inline void update(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= 0.999f;
  asm volatile("" ::: "memory");
}

}  // namespace roofs
