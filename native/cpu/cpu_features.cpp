#include "cpu_features.h"

#include <cstring>

namespace tg::cpu {

bool has_isa(const char* name) {
#if defined(__x86_64__)
  // __builtin_cpu_supports asks cpuid and, for the wide registers, XGETBV: whether the system saves
  // them.
  __builtin_cpu_init();
  if (std::strcmp(name, "baseline") == 0) return true;
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (std::strcmp(name, "avx2") == 0) return avx2;
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (std::strcmp(name, "avx512") == 0) return avx512;
  if (std::strcmp(name, "avx512bf16") == 0) return avx512 && __builtin_cpu_supports("avx512bf16");
  return false;
#else
  return std::strcmp(name, "neon") == 0;
#endif
}

}  // namespace tg::cpu
