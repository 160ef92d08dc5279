// Elements as they are stored and as kernels compute with them, and several at a time.
#pragma once

#include <stdint.h>
#include <string.h>

#include <cuda_runtime.h>

#include "../core/dtype.h"
#include "ptx.h"

namespace tg::cuda {

// bfloat16: the upper half of a float32.
struct bf16 {
  uint16_t bits;
};

// What a stored type is computed in.
template <class T>
struct ComputeOf {
  using type = T;
};
template <>
struct ComputeOf<bf16> {
  using type = float;
};
template <class T>
using Compute = typename ComputeOf<T>::type;

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::float32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::float64;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::int32;
};
template <>
struct DTypeOf<bf16> {
  static constexpr DType value = DType::bfloat16;
};

template <class T>
__device__ __forceinline__ T widen(T x) {
  return x;
}
__device__ __forceinline__ float widen(bf16 x) {
  return __uint_as_float(static_cast<unsigned>(x.bits) << 16);
}

// Rounded to nearest, ties to even; NaN stays NaN.
__device__ __forceinline__ bf16 round_bf16(float x) {
  return {static_cast<uint16_t>(pack_bf16(x, 0.0f))};
}
template <class T>
struct Narrow {
  static __device__ __forceinline__ T from(T x) { return x; }
};
template <>
struct Narrow<bf16> {
  static __device__ __forceinline__ bf16 from(float x) { return round_bf16(x); }
};
template <class T>
__device__ __forceinline__ T narrow(Compute<T> x) {
  return Narrow<T>::from(x);
}

// N neighbours in one access; the address must be a multiple of their size.
template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
  T at[N];
};
template <class T>
constexpr int kLanes = 16 / static_cast<int>(sizeof(T));

template <int N, class T>
__device__ __forceinline__ Vector<T, N> load(const T* from) {
  return *reinterpret_cast<const Vector<T, N>*>(from);
}
template <int N, class T>
__device__ __forceinline__ void store(T* to, const Vector<T, N>& v) {
  *reinterpret_cast<Vector<T, N>*>(to) = v;
}

// What the machine moves at once.
template <size_t kBytes>
struct WordOf {
  using type = uint4;
};
template <>
struct WordOf<1> {
  using type = uint8_t;
};
template <>
struct WordOf<2> {
  using type = uint16_t;
};
template <>
struct WordOf<4> {
  using type = uint32_t;
};
template <>
struct WordOf<8> {
  using type = uint2;
};

// The same to global memory, in one instruction even where the compiler takes the vector apart and,
// because its elements come by many ways, does not put it together again.
template <int N, class T>
__device__ __forceinline__ void store_global(T* to, const Vector<T, N>& v) {
  using Word = typename WordOf<sizeof v>::type;
  constexpr int kWords = sizeof v / sizeof(Word);
  Word words[kWords];
  memcpy(words, &v, sizeof v);
#pragma unroll
  for (int i = 0; i < kWords; ++i) __stcg(reinterpret_cast<Word*>(to) + i, words[i]);
}

inline bool aligned16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace tg::cuda
