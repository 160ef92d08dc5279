// Functions of the device that are neither in C's library nor about threads.
#pragma once

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <limits>
#include <type_traits>

namespace tg::emulation {

template <class To, class From>
To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

}  // namespace tg::emulation

inline unsigned __float_as_uint(float x) { return tg::emulation::bits_as<unsigned>(x); }
inline int __float_as_int(float x) { return tg::emulation::bits_as<int>(x); }
inline float __uint_as_float(unsigned x) { return tg::emulation::bits_as<float>(x); }
inline float __int_as_float(int x) { return tg::emulation::bits_as<float>(x); }
inline long long __double_as_longlong(double x) { return tg::emulation::bits_as<long long>(x); }
inline double __longlong_as_double(long long x) { return tg::emulation::bits_as<double>(x); }
inline int __double2hiint(double x) { return static_cast<int>(__double_as_longlong(x) >> 32); }
inline int __double2loint(double x) { return static_cast<int>(__double_as_longlong(x)); }
inline double __hiloint2double(int high, int low) {
  return __longlong_as_double(
      static_cast<long long>(static_cast<unsigned long long>(static_cast<unsigned>(high)) << 32 |
                             static_cast<unsigned>(low)));
}

inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
inline int __mulhi(int a, int b) { return static_cast<int>(static_cast<long long>(a) * b >> 32); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __clzll(long long x) {
  return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64;
}
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= (x >> i & 1) << (31 - i);
  return reversed;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  const unsigned long long both = static_cast<unsigned long long>(high) << 32 | low;
  return static_cast<unsigned>(both << (shift & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  const unsigned long long both = static_cast<unsigned long long>(high) << 32 | low;
  return static_cast<unsigned>(both >> (shift & 31));
}
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const unsigned long long both = static_cast<unsigned long long>(high) << 32 | low;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned choice = selector >> 4 * i;
    unsigned byte = static_cast<unsigned>(both >> 8 * (choice & 7)) & 0xFF;
    if (choice & 8) byte = byte & 0x80 ? 0xFF : 0;
    result |= byte << 8 * i;
  }
  return result;
}

// Without contraction or with it, whatever the compiler's flags say.
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
#define TG_ROUNDED(T, name, operation) \
  inline T name(T a, T b) {            \
    volatile T result = a operation b; \
    return result;                     \
  }
TG_ROUNDED(float, __fadd_rn, +)
TG_ROUNDED(float, __fsub_rn, -)
TG_ROUNDED(float, __fmul_rn, *)
TG_ROUNDED(float, __fdiv_rn, /)
TG_ROUNDED(double, __dadd_rn, +)
TG_ROUNDED(double, __dsub_rn, -)
TG_ROUNDED(double, __dmul_rn, *)
TG_ROUNDED(double, __ddiv_rn, /)
#undef TG_ROUNDED
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline double __dsqrt_rn(double x) { return sqrt(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }

namespace tg::emulation {

// Conversion as the device does it: to the nearest that the type has; NaN gives 0 (or the 64-bit
// types' smallest or, unsigned, largest).
template <class To, class From>
To convert(From x) {
  constexpr To least = std::numeric_limits<To>::min(), most = std::numeric_limits<To>::max();
  if (x != x) return sizeof(To) == 4 ? 0 : std::is_signed<To>::value ? least : most / 2 + 1;
  if (x >= static_cast<From>(most / 2 + 1) * 2) return most;
  if (x <= static_cast<From>(least)) return least;
  return static_cast<To>(x);
}

}  // namespace tg::emulation

#define TG_CONVERT(from, from_name, to, to_name, round) \
  inline to __##from_name##2##to_name##_rz(from x) {    \
    return tg::emulation::convert<to>(trunc##round(x)); \
  }                                                     \
  inline to __##from_name##2##to_name##_rn(from x) {    \
    return tg::emulation::convert<to>(rint##round(x));  \
  }                                                     \
  inline to __##from_name##2##to_name##_rd(from x) {    \
    return tg::emulation::convert<to>(floor##round(x)); \
  }                                                     \
  inline to __##from_name##2##to_name##_ru(from x) {    \
    return tg::emulation::convert<to>(ceil##round(x));  \
  }
TG_CONVERT(float, float, int, int, f)
TG_CONVERT(float, float, unsigned, uint, f)
TG_CONVERT(float, float, long long, ll, f)
TG_CONVERT(float, float, unsigned long long, ull, f)
TG_CONVERT(double, double, int, int, )
TG_CONVERT(double, double, unsigned, uint, )
TG_CONVERT(double, double, long long, ll, )
TG_CONVERT(double, double, unsigned long long, ull, )
#undef TG_CONVERT
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline double __int2double_rn(int x) { return x; }
inline float __double2float_rn(double x) { return static_cast<float>(x); }

#if !(defined(__GLIBC__) && __GLIBC_PREREQ(2, 41))  // where the C library lacks them
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double sinpi(double x) { return sin(M_PI * remainder(x, 2.0)); }
inline double cospi(double x) { return cos(M_PI * remainder(x, 2.0)); }
inline float sinpif(float x) { return static_cast<float>(sinpi(x)); }
inline float cospif(float x) { return static_cast<float>(cospi(x)); }
#endif
inline void sincospif(float x, float* s, float* c) {
  *s = sinpif(x);
  *c = cospif(x);
}
inline void sincospi(double x, double* s, double* c) {
  *s = sinpi(x);
  *c = cospi(x);
}

template <class T>
std::enable_if_t<std::is_integral<T>::value, T> min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
std::enable_if_t<std::is_integral<T>::value, T> max(T a, T b) {
  return a < b ? b : a;
}
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, T value) {
  *p = value;
}
template <class T>
void __stcg(T* p, T value) {
  *p = value;
}

// Addresses of shared memory as instructions take them: see ptx.h.
size_t __cvta_generic_to_shared(const void* pointer);
void* __cvta_shared_to_generic(size_t address);

using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;
