// The words of CUDA C++ that g++ lacks: qualifiers and vector types.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TG_CUDA_EMULATION 1

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// The blocks of a launch run one after the other on one thread of the host, so that each finds the
// same bytes here, and poison in them. Blocks of a cluster run together: they must use dynamic
// shared memory, as the address of such a variable is refused to them (shared_address).
#define __shared__ static thread_local

#define TG_VECTORS(T, name, align2, align4)                                    \
  struct name##1 { T x; };                                                     \
  struct alignas(align2) name##2 { T x, y; };                                  \
  struct name##3 { T x, y, z; };                                               \
  struct alignas(align4) name##4 { T x, y, z, w; };                            \
  inline constexpr name##1 make_##name##1(T x) { return {x}; }                 \
  inline constexpr name##2 make_##name##2(T x, T y) { return {x, y}; }         \
  inline constexpr name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
  inline constexpr name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

TG_VECTORS(signed char, char, 2, 4)
TG_VECTORS(unsigned char, uchar, 2, 4)
TG_VECTORS(short, short, 4, 8)
TG_VECTORS(unsigned short, ushort, 4, 8)
TG_VECTORS(int, int, 8, 16)
TG_VECTORS(unsigned, uint, 8, 16)
TG_VECTORS(long long, longlong, 16, 16)
TG_VECTORS(unsigned long long, ulonglong, 16, 16)
TG_VECTORS(float, float, 8, 16)
TG_VECTORS(double, double, 16, 16)
#undef TG_VECTORS

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned nx = 1, unsigned ny = 1, unsigned nz = 1) : x(nx), y(ny), z(nz) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};
