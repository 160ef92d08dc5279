// Strided (native/cuda/strided.h) against divisions and sums written out, for shapes of up to 2^46
// elements, which no tensor of a test could have.
#include "../cuda/emulation/language.h"

#include <stdio.h>

#include "../cuda/strided.h"

using namespace tg;
using namespace tg::cuda;

namespace {

int passed = 0, failed = 0;
void check(bool ok, const char* what) {
  ok ? ++passed : ++failed;
  if (!ok && failed <= 20) printf("FAILED: %s\n", what);
}

uint64_t state = 88172645463325252u;
uint64_t next() { return state ^= state << 13, state ^= state >> 7, state ^= state << 17; }
int64_t pick(int64_t low, int64_t high) {
  return low + static_cast<int64_t>((next() >> 11) % static_cast<uint64_t>(high - low + 1));
}

int64_t offset(const TensorView& view, int64_t i) {
  int64_t at = 0;
  for (int d = view.shape.ndim - 1; d >= 0; --d) {
    at += i % view.shape[d] * view.strides[d];
    i /= view.shape[d];
  }
  return at;
}

void divisions() {
  for (int k = 0; k < 1000000; ++k) {
    const int64_t size = pick(1, int64_t{1} << pick(0, 48));
    uint64_t i = next() >> pick(1, 50);
    if (k % 2) i = i / static_cast<uint64_t>(size) * static_cast<uint64_t>(size);  // where it turns
    if (k % 4 == 1 && i > 0) --i;
    Divisor divisor;
    divisor.set(size, false);
    check(divisor.divide(i) == i / static_cast<uint64_t>(size), "a division in 64 bits");
    const uint32_t few = static_cast<uint32_t>(size % INT32_MAX) + 1;
    const uint32_t j = static_cast<uint32_t>(i % (uint64_t{1} << 31));
    divisor.set(few, true);
    check(divisor.divide(j) == j / few, "a division in 32 bits");
  }
}

TensorView random_view(const Shape& shape) {
  TensorView view;
  for (int d = static_cast<int>(pick(0, 3) == 0 ? pick(0, shape.ndim) : 0); d < shape.ndim; ++d)
    view.shape.push(pick(0, 3) == 0 ? 1 : shape[d]);
  const int64_t kind = pick(0, 2);
  int64_t size = 1;
  for (int d = view.shape.ndim - 1; d >= 0; --d) {
    view.strides[d] = kind == 0 ? size : kind == 1 ? pick(-3, 3) : -size;
    size *= view.shape[d] * (pick(0, 4) == 0 ? 2 : 1);
  }
  return view;
}

void offsets(bool large) {
  Shape shape;
  int64_t count = 1;
  for (int64_t d = pick(0, kMaxDims); d > 0; --d) {
    int64_t size = pick(0, 3) == 0 ? 1 : pick(1, large ? 700 : 9);
    if (count * size > int64_t{1} << 46) size = 1;
    shape.push(size);
    count *= size;
  }
  TensorView views[3], seen[3];
  for (int k = 0; k < 3; ++k) {
    views[k] = random_view(shape);
    seen[k] = views[k].broadcast_to(shape);
  }
  Strided<3> where;
  where.set(shape, views, 3);
  for (int n = 0; n < 20; ++n) {
    const int64_t i = n == 0 ? count - 1 : pick(0, count - 1);
    int64_t at[3];
    where.offsets(i, at);
    for (int k = 0; k < 3; ++k) {
      const int64_t expected = offset(seen[k], i);
      check(at[k] == expected && where.offset(k, i) == expected, "an offset");
      check(!where.constant(k) || expected == 0, "an operand that is constant");
      check(!where.in_order(k) || expected == i, "an operand that lies in order");
      for (int run = 2; run <= 8; run *= 2) {
        if (!where.runs_of(run)) continue;
        const int64_t first = offset(seen[k], i / run * run);
        check(expected == first + i % run * where.stride[k][0], "a run along the innermost axis");
        check(
            !where.vectors_of(run, k, nullptr, 4) || (first % run == 0 && where.stride[k][0] == 1),
            "a run that is an aligned vector");
      }
    }
  }
}

}  // namespace

int main() {
  divisions();
  for (int k = 0; k < 100000; ++k) offsets(k % 10 == 0);
  printf("%d passed, %d failed\n", passed, failed);
  return failed > 0;
}
