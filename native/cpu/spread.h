// Integer arithmetic for cutting work into parts. Includes only standard headers.
#pragma once

#include <stdint.h>

namespace tg::cpu {

inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Where part `index` of `parts` begins when `count` things are spread evenly.
inline int64_t spread(int64_t count, int64_t parts, int64_t index) {
  return count / parts * index + min(index, count % parts);
}

}  // namespace tg::cpu
