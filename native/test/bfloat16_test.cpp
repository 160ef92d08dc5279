// Tests of the conversions of bfloat16 on one instruction set: widening of every value, rounding of
// all float32 around every bfloat16 and of random ones, NaN, sizes and bounds. Built once per ISA.
#include "../cpu/kernels/bfloat16.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <vector>

#include "../cpu/bfloat16.h"

namespace {

int64_t passed = 0, failed = 0;
void expect(bool ok, const char* what, double at) {
  ok ? ++passed : ++failed;
  if (!ok && failed < 20) printf("FAILED %s at %a\n", what, at);
}

float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// The nearest of the two neighbours, ties to the even one, by exact comparison in double.
uint16_t reference(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const uint16_t toward_zero = static_cast<uint16_t>(bits >> 16);
  const uint16_t away = static_cast<uint16_t>(toward_zero + 1);
  // Beyond the largest, the neighbour is where the next exponent would begin.
  const auto exact = [](uint16_t b) {
    const double v = static_cast<double>(float_of(uint32_t{b} << 16));
    return isinf(v) ? copysign(0x1p128, v) : v;
  };
  if (isinf(x)) return toward_zero;
  const double low = fabs(static_cast<double>(x) - exact(toward_zero));
  const double high = fabs(exact(away) - static_cast<double>(x));
  return low < high || (low == high && toward_zero % 2 == 0) ? toward_zero : away;
}

const tg::cpu::Bfloat16Table& table = TG_ISA::kBfloat16Table;

void check_narrow(const std::vector<float>& x) {
  std::vector<uint16_t> got(x.size() + 1, 0xABCD);
  table.narrow(got.data(), x.data(), static_cast<int64_t>(x.size()));
  for (size_t i = 0; i < x.size(); ++i) {
    const uint16_t scalar = tg::to_bfloat16(x[i]).bits;
    expect(scalar == got[i], "scalar and vector agree", static_cast<double>(x[i]));
    if (x[i] != x[i])
      expect((got[i] & 0x7FC0) == 0x7FC0, "NaN stays a quiet NaN", 0);
    else
      expect(got[i] == reference(x[i]), "rounding", static_cast<double>(x[i]));
  }
  expect(got.back() == 0xABCD, "nothing behind the end", 0);
}

void check_double(double x) {
  // Exact comparison with the two neighbours of the truncated value.
  const uint16_t got = tg::to_bfloat16(x).bits;
  const double value = static_cast<double>(float_of(uint32_t{got} << 16));
  for (int step : {-1, 1}) {
    const double other = static_cast<double>(float_of(static_cast<uint32_t>(got + step) << 16));
    if (!isfinite(other) || !isfinite(value)) continue;
    const double here = fabs(x - value), there = fabs(x - other);
    expect(here < there || (here == there && got % 2 == 0), "one rounding from double", x);
  }
}

}  // namespace

int main() {
  std::vector<uint16_t> all(65536);
  for (uint32_t b = 0; b < 65536; ++b) all[b] = static_cast<uint16_t>(b);
  std::vector<float> wide(65536);
  table.widen(wide.data(), all.data(), 65536);
  for (uint32_t b = 0; b < 65536; ++b) {
    const uint32_t bits = b << 16;
    expect(memcmp(&wide[b], &bits, sizeof bits) == 0, "widening", b);
  }
  std::vector<float> near;
  uint64_t state = 1;
  for (uint32_t b = 0; b < 65536; ++b) {
    for (uint32_t low : {0u, 1u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu})
      near.push_back(float_of(b << 16 | low));
    state = state * 6364136223846793005u + 1442695040888963407u;
    near.push_back(float_of(static_cast<uint32_t>(state >> 32)));
  }
  check_narrow(near);
  for (size_t n = 0; n < 70; ++n)
    check_narrow(
        std::vector<float>(near.begin() + 1000, near.begin() + 1000 + static_cast<long>(n)));
  for (double x : {1.0, 1.5, 3.14, 1e30, 1e-39, 0x1.01p0, -0x1.03p5})
    for (double e : {0.0, 0x1p-40, -0x1p-40, 0x1p-52, 0x1p-9, 0x1p-8, 0x1.000000001p-8})
      for (int sign : {1, -1}) check_double(sign * x * (1 + e));
  expect(tg::to_bfloat16(1e300).bits == 0x7F80, "overflow", 1e300);
  expect(tg::to_bfloat16(-1e300).bits == 0xFF80, "overflow", -1e300);
  expect(tg::to_bfloat16(1e-300).bits == 0, "underflow", 1e-300);
  printf("%lld passed, %lld failed\n", static_cast<long long>(passed),
         static_cast<long long>(failed));
  return failed != 0;
}
