// The device's mathematical functions are not the host's: each has an error of its own, within what
// CUDA documents (../functions.h has the table). Kernels of the emulated device get results that
// are off by as much, always the same for the same argument, so that nobody relies on the C
// library's bits. The linker has them called in place of the functions (--wrap in the project's
// CMakeLists.txt).
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>

namespace {

// `result` moved by at most `ulps` units in the last place, by a hash of the argument. What every
// library gives exactly stays: 0, 1, infinities, NaN. `most`: no result is larger in magnitude.
template <class T>
T off(T argument, T result, int ulps, T most = INFINITY) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  const T size = fabs(result);
  const T least = sizeof(T) == 4 ? static_cast<T>(FLT_MIN) : static_cast<T>(DBL_MIN);
  if (!(size > least && size < static_cast<T>(INFINITY)) || size == 1) return result;
  Bits bits;
  memcpy(&bits, &argument, sizeof bits);
  const uint64_t hash = (uint64_t{bits} + 1) * 0x9E3779B97F4A7C15u;
  const int steps = static_cast<int>((hash >> 32) % static_cast<uint64_t>(2 * ulps + 1)) - ulps;
  memcpy(&bits, &result, sizeof bits);
  bits += static_cast<Bits>(static_cast<int64_t>(steps));  // neighbours in order of magnitude
  T moved;
  memcpy(&moved, &bits, sizeof moved);
  const T bound = fabs(moved);
  if (!(bound > least && bound < static_cast<T>(INFINITY))) return result;
  return bound > most ? copysign(most, result) : moved;
}

}  // namespace

#define TG_OFF_AS(T, name, ulps, ...)                          \
  T __real_##name(T);                                          \
  __attribute__((visibility("hidden"))) T __wrap_##name(T x) { \
    return off<T>(x, __real_##name(x), ulps, ##__VA_ARGS__);   \
  }
#define TG_OFF(name, float_ulps, double_ulps, ...)     \
  TG_OFF_AS(float, name##f, float_ulps, ##__VA_ARGS__) \
  TG_OFF_AS(double, name, double_ulps, ##__VA_ARGS__)
#define TG_OFF_OF_TWO(T, name, ulps)                                \
  T __real_##name(T, T);                                            \
  __attribute__((visibility("hidden"))) T __wrap_##name(T x, T y) { \
    return off<T>(x + T(0.618034) * y, __real_##name(x, y), ulps);  \
  }

extern "C" {
TG_OFF(exp, 1, 1)
TG_OFF(expm1, 1, 1)
TG_OFF(log, 1, 1)
TG_OFF(log1p, 1, 1)
TG_OFF(tanh, 2, 1, 1)
TG_OFF(erf, 2, 2, 1)
TG_OFF(sin, 2, 2, 1)
TG_OFF(cos, 2, 2, 1)
TG_OFF_OF_TWO(float, powf, 4)
TG_OFF_OF_TWO(double, pow, 2)
}
