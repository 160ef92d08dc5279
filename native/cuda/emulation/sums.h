// How tensor cores add. Terms are lined up by the largest exponent among them, with little room
// below a float's last bit, and what lies further down is cut off, as is the sum: errors are up to
// twice those of rounding, and lean towards 0. Chips differ in how many terms come at once and in
// the room; this is what the least exact of them may do.
#pragma once

#include <stdint.h>
#include <string.h>

namespace tg::emulation {

// start + Σ terms[i · stride], n of them: products of bfloat16 or tf32, which floats hold exactly.
inline float cut_sum(float start, const float* terms, int n, int stride) {
  constexpr int kBelow = 1;  // bits further down than a float's
  const auto magnitude = [](float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7FFFFFFF;
  };
  uint32_t largest = magnitude(start);
  for (int i = 0; i < n; ++i) {
    const uint32_t size = magnitude(terms[i * stride]);
    if (size > largest) largest = size;
  }
  const int exponent = static_cast<int>(largest >> 23);
  if (exponent == 0 || exponent == 0xFF) {  // nothing but zeros; infinite or NaN
    for (int i = 0; i < n; ++i) start += terms[i * stride];
    return start;
  }
  // Units of the last place that counts, to and fro.
  const auto power = [](int of_two) {
    const uint64_t bits = static_cast<uint64_t>(of_two + 1023) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
  };
  const int last = exponent - 127 - 23 - kBelow;
  const double units = power(-last);
  int64_t sum = static_cast<int64_t>(static_cast<double>(start) * units);
  for (int i = 0; i < n; ++i)
    sum += static_cast<int64_t>(static_cast<double>(terms[i * stride]) * units);
  const double exact = static_cast<double>(sum) * power(last);
  uint64_t bits;
  memcpy(&bits, &exact, sizeof bits);
  bits &= ~((uint64_t{1} << 29) - 1);  // a float's significand
  double cut;
  memcpy(&cut, &bits, sizeof cut);
  return static_cast<float>(cut);
}

}  // namespace tg::emulation
