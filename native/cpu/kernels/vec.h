// The vector vocabulary: one register's worth of lanes with operators, so that a kernel is written
// once and compiled once per instruction set. Everything here has internal linkage: an object built
// with -mavx512f must not offer a symbol that baseline code could be linked against.
// Includes nothing of the project.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
// GCC 12 warns of its own _mm512_undefined_ps().
#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#ifndef TG_ISA
#error "kernel headers are compiled through native/cpu/isa/*.cpp, which name the instruction set"
#endif

#define TG_INLINE inline __attribute__((always_inline))

#if defined(__AVX512F__)
#define TG_X86(name) _mm512_##name
#elif defined(__AVX2__)
#define TG_X86(name) _mm256_##name
#else
#define TG_X86(name) _mm_##name
#endif
#define TG_INLINE_LAMBDA __attribute__((always_inline))

namespace TG_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

// The integer type with the lanes of T: what comparisons yield and bit tricks work on.
template <class T>
struct LaneInt;
template <>
struct LaneInt<float> {
  using type = int32_t;
};
template <>
struct LaneInt<int32_t> {
  using type = int32_t;
};
template <>
struct LaneInt<double> {
  using type = int64_t;
};
template <>
struct LaneInt<int64_t> {
  using type = int64_t;
};

template <class T>
struct LaneUnsigned;
template <>
struct LaneUnsigned<int32_t> {
  using type = uint32_t;
};
template <>
struct LaneUnsigned<int64_t> {
  using type = uint64_t;
};

// What lanes are calculated in: integers as unsigned ones, which wrap around where signed overflow
// would be undefined.
template <class T>
struct LaneArithmetic {
  using type = typename LaneUnsigned<T>::type;
};
template <>
struct LaneArithmetic<float> {
  using type = float;
};
template <>
struct LaneArithmetic<double> {
  using type = double;
};

template <class T>
struct Raw {
  typedef T type __attribute__((vector_size(kVectorBytes)));
};

// Lanes of true (all bits set) and false (no bit set), as wide as the lanes of T.
template <class T>
struct Mask {
  using Int = typename LaneInt<T>::type;
  typename Raw<Int>::type m;
  friend TG_INLINE Mask operator&(Mask a, Mask b) { return {a.m & b.m}; }
  friend TG_INLINE Mask operator|(Mask a, Mask b) { return {a.m | b.m}; }
  friend TG_INLINE Mask operator!(Mask a) { return {~a.m}; }
};

// One register of T. Scalars convert by broadcasting, so expressions read as in a textbook.
template <class T>
struct V {
  using Vec = typename Raw<T>::type;
  using Wrap = typename Raw<typename LaneArithmetic<T>::type>::type;
  static constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));
  Vec v;

  V() = default;
  TG_INLINE V(Vec raw) : v(raw) {}
  TG_INLINE V(double s) : v(static_cast<T>(s) - Vec{}) {}  // x - 0 is x, even for -0

  friend TG_INLINE V operator+(V a, V b) { return (Vec)((Wrap)a.v + (Wrap)b.v); }
  friend TG_INLINE V operator-(V a, V b) { return (Vec)((Wrap)a.v - (Wrap)b.v); }
  friend TG_INLINE V operator*(V a, V b) { return (Vec)((Wrap)a.v * (Wrap)b.v); }
  friend TG_INLINE V operator/(V a, V b) { return a.v / b.v; }
  friend TG_INLINE V operator-(V a) { return (Vec)(-(Wrap)a.v); }
  friend TG_INLINE Mask<T> operator<(V a, V b) { return {a.v < b.v}; }
  friend TG_INLINE Mask<T> operator>(V a, V b) { return {a.v > b.v}; }
  friend TG_INLINE Mask<T> operator<=(V a, V b) { return {a.v <= b.v}; }
  friend TG_INLINE Mask<T> operator>=(V a, V b) { return {a.v >= b.v}; }
  friend TG_INLINE Mask<T> operator==(V a, V b) { return {a.v == b.v}; }
  friend TG_INLINE Mask<T> operator!=(V a, V b) { return {a.v != b.v}; }
  // Integer lanes only; >> shifts in zeros.
  friend TG_INLINE V operator&(V a, V b) { return a.v & b.v; }
  friend TG_INLINE V operator|(V a, V b) { return a.v | b.v; }
  friend TG_INLINE V operator^(V a, V b) { return a.v ^ b.v; }
  friend TG_INLINE V operator<<(V a, int bits) { return (Vec)((Wrap)a.v << bits); }
  friend TG_INLINE V operator>>(V a, int bits) {
    return (Vec)((typename Raw<typename LaneUnsigned<T>::type>::type)a.v >> bits);
  }
  // In each lane a where the mask is true, else b.
  friend TG_INLINE V select(Mask<T> m, V a, V b) { return m.m ? a.v : b.v; }
};

template <class T>
TG_INLINE V<T> load(const T* p) {
  V<T> r;
  __builtin_memcpy(&r.v, p, sizeof r.v);
  return r;
}
template <class T>
TG_INLINE void store(T* p, V<T> a) {
  __builtin_memcpy(p, &a.v, sizeof a.v);
}

#if defined(__AVX2__) && !defined(__AVX512F__)
// All bits set in the first n lanes of T, for the masked moves.
template <class T>
TG_INLINE __m256i first_bits(int64_t n) {
  static constexpr int32_t kOnes[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  const int32_t* end = kOnes + 8 - n * static_cast<int64_t>(sizeof(T) / 4);
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(end));
}
#endif

// The first n < kLanes elements; the other lanes are zero. Reads and writes nothing past p[n-1].
template <class T>
TG_INLINE V<T> load(const T* p, int64_t n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (typename V<T>::Vec)_mm512_maskz_loadu_epi32((__mmask16)((1u << n) - 1), p);
  else
    return (typename V<T>::Vec)_mm512_maskz_loadu_epi64((__mmask8)((1u << n) - 1), p);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4)
    return (typename V<T>::Vec)_mm256_maskload_epi32((const int*)p, first_bits<T>(n));
  else
    return (typename V<T>::Vec)_mm256_maskload_epi64((const long long*)p, first_bits<T>(n));
#else
  T lanes[V<T>::kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load<T>(lanes);
#endif
}
template <class T>
TG_INLINE void store(T* p, V<T> a, int64_t n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    _mm512_mask_storeu_epi32(p, (__mmask16)((1u << n) - 1), (__m512i)a.v);
  else
    _mm512_mask_storeu_epi64(p, (__mmask8)((1u << n) - 1), (__m512i)a.v);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4)
    _mm256_maskstore_epi32((int*)p, first_bits<T>(n), (__m256i)a.v);
  else
    _mm256_maskstore_epi64((long long*)p, first_bits<T>(n), (__m256i)a.v);
#else
  T lanes[V<T>::kLanes];
  store<T>(lanes, a);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
#endif
}

// The same bits seen as another type of the same lane width.
template <class To, class From>
TG_INLINE V<To> bit_cast(V<From> a) {
  static_assert(sizeof(To) == sizeof(From), "lanes differ in width");
  return (typename V<To>::Vec)a.v;
}

#if defined(__FMA__) || defined(__aarch64__)
constexpr bool kFused = true;
#else
constexpr bool kFused = false;
#endif

// a * b + c: one rounding where the instruction set has FMA, two on the x86-64 baseline. The
// compiler never fuses by itself (-ffp-contract=off), so every lane and tail rounds alike.
TG_INLINE V<float> fma(V<float> a, V<float> b, V<float> c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a.v, b.v, c.v);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(a.v, b.v, c.v);
#elif defined(__aarch64__)
  return vfmaq_f32(c.v, a.v, b.v);
#else
  return a * b + c;
#endif
}
TG_INLINE V<double> fma(V<double> a, V<double> b, V<double> c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(a.v, b.v, c.v);
#elif defined(__FMA__)
  return _mm256_fmadd_pd(a.v, b.v, c.v);
#elif defined(__aarch64__)
  return vfmaq_f64(c.v, a.v, b.v);
#else
  return a * b + c;
#endif
}

TG_INLINE V<float> sqrt(V<float> a) {
#if defined(__aarch64__)
  return vsqrtq_f32(a.v);
#else
  return TG_X86(sqrt_ps)(a.v);
#endif
}
TG_INLINE V<double> sqrt(V<double> a) {
#if defined(__aarch64__)
  return vsqrtq_f64(a.v);
#else
  return TG_X86(sqrt_pd)(a.v);
#endif
}

template <class T>
TG_INLINE V<T> abs(V<T> a) {
  using I = typename LaneInt<T>::type;
  if constexpr (static_cast<T>(0.5) == 0)
    return select(a < V<T>(0), -a, a);
  else
    return bit_cast<T>(V<I>(bit_cast<I>(a).v & (static_cast<I>(~(I{1} << (sizeof(I) * 8 - 1))))));
}
// Larger and smaller of two as one instruction where there is one: b if either is NaN or they are
// equal, so that max_or(bound, x) lets a NaN x pass.
template <class T>
TG_INLINE V<T> max_or(V<T> a, V<T> b) {
#if defined(__x86_64__)
  if constexpr (sizeof(T) == 4 && static_cast<T>(0.5) != 0)
    return TG_X86(max_ps)(a.v, b.v);
  else if constexpr (static_cast<T>(0.5) != 0)
    return TG_X86(max_pd)(a.v, b.v);
  else
#endif
    return select(a > b, a, b);
}
template <class T>
TG_INLINE V<T> min_or(V<T> a, V<T> b) {
#if defined(__x86_64__)
  if constexpr (sizeof(T) == 4 && static_cast<T>(0.5) != 0)
    return TG_X86(min_ps)(a.v, b.v);
  else if constexpr (static_cast<T>(0.5) != 0)
    return TG_X86(min_pd)(a.v, b.v);
  else
#endif
    return select(a < b, a, b);
}
// Larger and smaller of two; NaN if either is NaN, a if they are equal.
template <class T>
TG_INLINE V<T> maximum(V<T> a, V<T> b) {
  return select(b != b, b, max_or(b, a));
}
template <class T>
TG_INLINE V<T> minimum(V<T> a, V<T> b) {
  return select(b != b, b, min_or(b, a));
}

// Is the mask true in any lane?
template <class T>
TG_INLINE bool any(Mask<T> m) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return _mm512_movepi32_mask((__m512i)m.m) != 0;
  else
    return _mm512_movepi64_mask((__m512i)m.m) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_epi8((__m256i)m.m) != 0;
#elif defined(__aarch64__)
  return vmaxvq_u32((uint32x4_t)m.m) != 0;
#else
  return _mm_movemask_epi8((__m128i)m.m) != 0;
#endif
}

// Float lanes as two registers of doubles, lower half first, and back with one rounding.
struct DoublePair {
  V<double> lo, hi;
};
TG_INLINE DoublePair widen(V<float> a) {
#if defined(__AVX512F__)
  return {_mm512_cvtps_pd(_mm512_castps512_ps256(a.v)),
          _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1))};
#elif defined(__AVX2__)
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(a.v)),
          _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1))};
#elif defined(__aarch64__)
  return {vcvt_f64_f32(vget_low_f32(a.v)), vcvt_high_f64_f32(a.v)};
#else
  return {_mm_cvtps_pd(a.v), _mm_cvtps_pd(_mm_movehl_ps(a.v, a.v))};
#endif
}
TG_INLINE V<float> narrow(DoublePair a) {
#if defined(__AVX512F__)
  return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a.lo.v)),
                            _mm512_cvtpd_ps(a.hi.v), 1);
#elif defined(__AVX2__)
  return _mm256_set_m128(_mm256_cvtpd_ps(a.hi.v), _mm256_cvtpd_ps(a.lo.v));
#elif defined(__aarch64__)
  return vcvt_high_f32_f64(vcvt_f32_f64(a.lo.v), a.hi.v);
#else
  return _mm_movelh_ps(_mm_cvtpd_ps(a.lo.v), _mm_cvtpd_ps(a.hi.v));
#endif
}

}  // namespace
}  // namespace TG_ISA
