// The floating-point control word of a thread: rounding, and what becomes of denormals. Includes
// only standard headers, so that threads and backends may use it.
#pragma once

#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tg {

// The calling thread's word, without the sticky exception flags; 0 on unknown processors.
inline uint64_t float_mode() {
#if defined(__x86_64__)
  return _mm_getcsr() & ~0x3Fu;
#elif defined(__aarch64__)
  uint64_t word;
  asm volatile("mrs %0, fpcr" : "=r"(word));
  return word;
#else
  return 0;
#endif
}

inline void set_float_mode(uint64_t word) {
#if defined(__x86_64__)
  _mm_setcsr(static_cast<unsigned>(word));
#elif defined(__aarch64__)
  asm volatile("msr fpcr, %0" ::"r"(word));
#else
  (void)word;
#endif
}

// While it lives, the calling thread rounds to nearest and takes denormals, read or computed, as
// zeros of their sign; then its own word is back. Kernels run under it whoever calls them, so that
// their bits do not depend on the caller; JavaScript's arithmetic, on the same thread, needs them.
class FlushDenormals {
 public:
  FlushDenormals() : before_(float_mode()) {
    if (before_ != kMode) set_float_mode(kMode);
  }
  ~FlushDenormals() {
    if (before_ != kMode) set_float_mode(before_);
  }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
#if defined(__x86_64__)
  static constexpr uint64_t kMode = 0x9FC0;  // FTZ, DAZ; all exceptions masked; to nearest
#elif defined(__aarch64__)
  static constexpr uint64_t kMode = uint64_t{1} << 24;  // FZ; no traps; to nearest
#else
  static constexpr uint64_t kMode = 0;
#endif
  const uint64_t before_;
};

}  // namespace tg
