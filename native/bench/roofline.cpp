// How near kernels come to what the core can do: each case beside a roof (roofs.h), turn by turn in
// this process, on one thread. Arguments: <isa>. Prints a line "name ratio low high" for each case:
// the time that the roof takes for as much work, over the kernel's; the median of all turns and the
// quartiles. 1 is the limit, except that "copy" moves fewer bytes than a copy where an op only
// reads. Compiled and read by bench/check/native.ts.
#include "fixture.h"

#include <time.h>

#include <algorithm>
#include <vector>

#include "roofs.h"

using bench::Fixture;
using namespace tg;

namespace {

// Of this thread: other processes disturb it less than they do the time of day.
double now() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

constexpr double kSample = 1e-3;  // seconds
constexpr int kTurns = 101;

// Seconds for n calls.
template <class F>
double time_of(F& body, int64_t n) {
  const double start = now();
  for (int64_t i = 0; i < n; ++i) body();
  return now() - start;
}

// Calls that take about a sample; warms up on the way.
template <class F>
int64_t calls_of(F& body) {
  int64_t n = 1;
  while (n < (int64_t{1} << 40) && time_of(body, n) < kSample) n *= 2;
  return n;
}

// `kernel` does the work of `share` calls of `roof`.
template <class K, class R>
void compare(const char* name, double share, K kernel, R roof) {
  const int64_t kernels = calls_of(kernel), roofs = calls_of(roof);
  std::vector<double> ratios;
  for (int turn = 0; turn < kTurns; ++turn) {
    const double before = time_of(roof, roofs), took = time_of(kernel, kernels),
                 after = time_of(roof, roofs);
    ratios.push_back(share * (before + after) / 2 / double(roofs) / (took / double(kernels)));
  }
  std::sort(ratios.begin(), ratios.end());
  printf("%s %.4f %.4f %.4f\n", name, ratios[kTurns / 2], ratios[kTurns / 4],
         ratios[kTurns * 3 / 4]);
  fflush(stdout);
}

class Roofline {
 public:
  explicit Roofline(const char* isa) : f_(isa), fma_(roofs::fma_of(isa)) {}

  void gemm(const char* name, int64_t m, int64_t n, int64_t k, char turned = 'n') {
    const double a = turned == 'a' ? f_.transposed(f_.normal(k, m)) : f_.normal(m, k);
    const double b = turned == 'b' ? f_.transposed(f_.normal(n, k)) : f_.normal(k, n);
    constexpr int64_t kRounds = 1000;
    const double share = 2.0 * double(m) * double(n) * double(k) / fma_(kRounds);
    compare(
        name, share,
        [&] {
          f_.once(op_matmul, {a, b});
        },
        [&] { fma_(kRounds); });
    f_.drop(a);
    f_.drop(b);
  }

  // Against copying x.
  void rows(const char* name, Op op, int64_t m, int64_t n, std::initializer_list<double> attrs) {
    const double x = f_.normal(m, n), y = f_.normal(m, n);
    const size_t bytes = static_cast<size_t>(m * n) * sizeof(float);
    void *const to = f_.data(y), *const from = f_.data(x);
    compare(
        name, 1, [&] { f_.once(op, {x}, attrs); }, [&] { roofs::copy(to, from, bytes); });
    f_.drop(x);
    f_.drop(y);
  }

  // Against reading and writing in place: Adam moves 28 bytes for each parameter, the roof 8.
  void adam(const char* name, int64_t n) {
    const double p = f_.normal(n), g = f_.normal(n), m = f_.normal(n), v = f_.run(op_square, {p});
    float* const x = f_.data(f_.normal(n));
    compare(
        name, 28.0 / 8, [&] { f_.adam(p, g, m, v); }, [&] { roofs::update(x, n); });
  }

 private:
  Fixture f_;
  double (*fma_)(int64_t);
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || !roofs::fma_of(argv[1])) return fprintf(stderr, "usage: roofline <isa>\n"), 2;
  Roofline r(argv[1]);
  r.gemm("gemm/64x64x64", 64, 64, 64);
  r.gemm("gemm/512x512x512", 512, 512, 512);
  r.gemm("gemm/32x256x784", 32, 256, 784);
  r.gemm("gemm/128x256x784", 128, 256, 784);
  r.gemm("gemm/32x1024x4096", 32, 1024, 4096);
  r.gemm("gemm/128x1024x1024-bt", 128, 1024, 1024, 'b');
  r.gemm("gemm/784x256x128-at", 784, 256, 128, 'a');
  r.rows("elementwise/relu-1M", op_relu, 1000, 1000, {});
  r.rows("elementwise/exp-16k", op_exp, 128, 128, {});
  r.rows("reduce/sum-1M", op_sum, 1000, 1000, {-1, 0});
  r.rows("softmax/128x128", op_softmax, 128, 128, {1});
  r.adam("adam/4M", 4'000'000);
  r.adam("adam/16k", 1 << 14);
  return 0;
}
