// Matrix products beside those of other libraries and beside a loop of fused multiply-adds, all in
// one process: interleaved blocks of calls, medians. Prints a table, or JSON:
//   gemm_bench [--threads N] [--type f32|f64] [--shape TEXT] [--peers openblas,blis,onednn|none]
//              [--rounds N] [--json] [--more]
// --shape: only shapes whose line ("128 256 784 NT") contains TEXT. --more: shapes beyond the list
// that the mean is taken over. TAPEGRAD_ISA chooses the kernels, as in the addon.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "../cpu/cpu_features.h"
#include "../cpu/gemm.h"
#include "../cpu/table.h"
#include "blas_peers.h"

extern "C" {
#if defined(__x86_64__)
extern const tg::cpu::KernelTable tg_kernels_baseline, tg_kernels_avx2, tg_kernels_avx512;
#else
extern const tg::cpu::KernelTable tg_kernels_neon;
#endif
}

namespace {

using tg::bench::Peer;
using tg::bench::Product;

struct Options {
  int threads = 1, rounds = 15;
  bool f64 = false, json = false, more = false;
  const char *shape = "", *peers = nullptr;
};

double clock_now(clockid_t id) {
  timespec t;
  clock_gettime(id, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
double now() { return clock_now(CLOCK_MONOTONIC); }

// Other libraries' threads spin on for a while after a call; a fair start waits until they sleep.
void wait_for_quiet() {
  for (int i = 0; i < 100; ++i) {
    const double before = clock_now(CLOCK_PROCESS_CPUTIME_ID);
    usleep(2000);
    if (clock_now(CLOCK_PROCESS_CPUTIME_ID) - before < 2e-4) return;
  }
}

double median(std::vector<double> x) {
  std::nth_element(x.begin(), x.begin() + static_cast<long>(x.size() / 2), x.end());
  return x[x.size() / 2];
}

template <class T>
T* normals(int64_t n) {
  void* p = aligned_alloc(4096, (static_cast<size_t>(n) * sizeof(T) + 4095) / 4096 * 4096);
  for (int64_t i = 0; i < n; ++i) {
    const double u = (rand() + 1.0) / (RAND_MAX + 2.0), v = rand() / (RAND_MAX + 1.0);
    static_cast<T*>(p)[i] = static_cast<T>(sqrt(-2 * log(u)) * cos(2 * M_PI * v));
  }
  return static_cast<T*>(p);
}

const tg::cpu::KernelTable& best_table() {
#if defined(__x86_64__)
  const char* want = getenv("TAPEGRAD_ISA");
  auto choose = [&](const tg::cpu::KernelTable& table) {
    return (want == nullptr || strcmp(want, table.isa) == 0) && tg::cpu::has_isa(table.isa);
  };
  if (choose(tg_kernels_avx512)) return tg_kernels_avx512;
  if (choose(tg_kernels_avx2)) return tg_kernels_avx2;
  return tg_kernels_baseline;
#else
  return tg_kernels_neon;
#endif
}

// A loop of multiply-adds on registers alone, in chains enough to hide their latency. Returns the
// operations done, 0 where the instruction set has none. (Assembler, since this file is built for
// the baseline.)
#define TG_12(f) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14) f(15)
#if defined(__x86_64__)
#define TG_LOOP(first, line)                                                                     \
  asm volatile(first "1:\n" TG_12(line) "dec %0\njnz 1b\n"                                       \
               : "+r"(steps)                                                                     \
               : "m"(one)                                                                        \
               : "cc", "xmm1", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", \
                 "xmm12", "xmm13", "xmm14", "xmm15")
#define TG_PS512(r) "vfmadd231ps %%zmm1, %%zmm1, %%zmm" #r "\n"
#define TG_PD512(r) "vfmadd231pd %%zmm1, %%zmm1, %%zmm" #r "\n"
#define TG_PS256(r) "vfmadd231ps %%ymm1, %%ymm1, %%ymm" #r "\n"
#define TG_PD256(r) "vfmadd231pd %%ymm1, %%ymm1, %%ymm" #r "\n"
#else
#define TG_LOOP(first, line)                                                                 \
  asm volatile(first "1:\n" TG_12(line) "subs %0, %0, #1\nb.ne 1b\n"                         \
               : "+r"(steps)                                                                 \
               : "m"(one)                                                                    \
               : "cc", "v1", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", \
                 "v14", "v15")
#define TG_PS128(r) "fmla v" #r ".4s, v1.4s, v1.4s\n"
#define TG_PD128(r) "fmla v" #r ".2d, v1.2d, v1.2d\n"
#endif
double multiply_add(const char* isa, bool f64, int64_t steps) {
  const double lanes_of_byte = f64 ? 1.0 / 8 : 1.0 / 4, flops = 2.0 * 12 * lanes_of_byte;
  const double count = static_cast<double>(steps);
  const double one = 0x1.000003f8p-7;  // its halves are floats of 1
#if defined(__x86_64__)
  if (strcmp(isa, "avx512") == 0) {
    if (f64)
      TG_LOOP("vbroadcastsd %1, %%zmm1\n", TG_PD512);
    else
      TG_LOOP("vbroadcastsd %1, %%zmm1\n", TG_PS512);
    return count * flops * 64;
  }
  if (strcmp(isa, "avx2") == 0) {
    if (f64)
      TG_LOOP("vbroadcastsd %1, %%ymm1\n", TG_PD256);
    else
      TG_LOOP("vbroadcastsd %1, %%ymm1\n", TG_PS256);
    return count * flops * 32;
  }
  return 0;
#else
  (void)isa;
  if (f64)
    TG_LOOP("ldr d1, %1\n", TG_PD128);
  else
    TG_LOOP("ldr d1, %1\n", TG_PS128);
  return count * flops * 16;
#endif
}

struct Shape {
  int m, n, k;
  bool ta, tb;
};
// The first 12 are the list that the mean is taken over.
const Shape kShapes[] = {{64, 64, 64, false, false},       {128, 128, 128, false, false},
                         {512, 512, 512, false, false},    {1024, 1024, 1024, false, false},
                         {2048, 2048, 2048, false, false}, {32, 256, 784, false, false},
                         {128, 256, 784, false, false},    {128, 512, 512, false, false},
                         {32, 1024, 4096, false, false},   {128, 1024, 1024, false, true},
                         {784, 256, 128, true, false},     {1024, 1024, 128, true, false},
                         {4, 16, 3, false, false},         {4, 100, 3, false, false},
                         {32, 10, 64, false, false},       {32, 64, 64, false, false},
                         {32, 64, 10, false, true},        {64, 10, 32, true, false},
                         {1, 1024, 1024, false, false},    {1, 1024, 1024, false, true},
                         {1024, 1, 1024, false, false},    {1024, 1, 1024, true, false},
                         {4, 1024, 1024, false, true},     {8, 1024, 1024, false, false},
                         {8, 1024, 1024, false, true},     {16, 1024, 1024, false, true},
                         {32, 1024, 1024, false, true},    {32, 784, 256, false, true},
                         {64, 256, 784, false, true},      {64, 1024, 1024, false, false},
                         {64, 1024, 1024, false, true},    {256, 1024, 1024, false, false},
                         {256, 1024, 1024, false, true},   {1024, 1024, 256, true, false},
                         {500, 500, 500, true, true},      {512, 512, 512, false, true},
                         {512, 512, 512, true, false},     {512, 512, 512, true, true},
                         {1000, 1000, 1000, false, false}, {1024, 1024, 1024, false, true},
                         {1024, 1024, 1024, true, false}};
constexpr int kListed = 12;

// One block of calls: the median call of about 4 ms of them.
template <class F>
double time_block(double flops, F call) {
  const int repeat = static_cast<int>(std::max(1.0, 1e6 / flops));
  call();  // brings back what the contender before has displaced
  std::vector<double> times;
  for (const double end = now() + 4e-3; times.size() < 3 || now() < end;) {
    const double start = now();
    for (int i = 0; i < repeat; ++i) call();
    times.push_back((now() - start) / repeat);
  }
  return median(times);
}

template <class T>
struct Bench {
  const Options& options;
  const tg::cpu::KernelTable& table;
  tg::ThreadPool& pool;
  std::vector<std::unique_ptr<Peer<T>>> peers;
  double log_sum = 0, worst = 1e30;
  int counted = 0, printed = 0;
  bool right = true;

  double peak() {
    const int64_t steps = 200000;
    std::vector<double> per_thread(static_cast<size_t>(pool.size()));
    const double start = now();
    tg::parallel(pool, pool.size(), [&](int64_t i) {
      per_thread[static_cast<size_t>(i)] = multiply_add(table.isa, sizeof(T) == 8, steps);
    });
    const double time = now() - start;
    double flops = 0;
    for (double x : per_thread) flops += x;
    return flops / time;
  }

  // The largest difference from what is in c, in standard deviations of a sum of k normal products
  // times its bound of (k + 2) roundoffs.
  static double difference(const std::vector<T>& want, const T* c, int64_t k) {
    double worst_of_all = 0;
    for (size_t i = 0; i < want.size(); ++i)
      worst_of_all = std::max(worst_of_all, fabs(static_cast<double>(want[i] - c[i])));
    const double unit = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53;
    return worst_of_all / (unit * static_cast<double>(k + 2) * sqrt(static_cast<double>(k)));
  }

  void shape(const Shape& s, bool listed) {
    char line[64];
    snprintf(line, sizeof line, "%d %d %d %c%c", s.m, s.n, s.k, s.ta ? 'T' : 'N', s.tb ? 'T' : 'N');
    if (strstr(line, options.shape) == nullptr) return;
    const int64_t m = s.m, n = s.n, k = s.k;
    T *a = normals<T>(m * k), *b = normals<T>(k * n), *c = normals<T>(m * n);
    tg::cpu::GemmArgs<T> args{m, n, k, a, s.ta ? 1 : k, s.ta ? m : 1, b, s.tb ? 1 : n, s.tb ? k : 1,
                              c, n};
    const size_t bytes = tg::cpu::gemm_scratch_bytes(table.gemm, args, pool.size());
    void* scratch = aligned_alloc(4096, (bytes + 4096) / 4096 * 4096);
    const double flops = 2.0 * s.m * s.n * s.k;
    auto ours = [&] { tg::cpu::gemm(table.gemm, args, scratch, pool); };
    ours();
    const std::vector<T> want(c, c + m * n);
    std::vector<Peer<T>*> able;
    for (auto& peer : peers)
      if (peer->prepare({m, n, k, s.ta, s.tb, a, b, c})) able.push_back(peer.get());

    std::vector<std::vector<double>> times(able.size() + 1);
    std::vector<double> peaks;
    const int rounds = flops > 1e10 ? std::min(7, options.rounds) : options.rounds;
    for (int round = 0; round < rounds; ++round) {
      wait_for_quiet();
      peaks.push_back(peak());
      for (size_t i = 0; i <= able.size(); ++i) {
        const size_t who = (i + static_cast<size_t>(round)) % (able.size() + 1);
        wait_for_quiet();
        if (who == able.size()) {
          times[who].push_back(time_block(flops, ours));
        } else {
          times[who].push_back(time_block(flops, [&] { able[who]->run(); }));
          if (round == 0 && !(difference(want, c, k) < 1)) {
            fprintf(stderr, "%s: %s gives another result\n", line, able[who]->name.c_str());
            right = false;
          }
        }
      }
    }
    // The best peer by its median; the ratio is the median of the rounds' ratios.
    size_t best = able.size();
    for (size_t i = 0; i < able.size(); ++i)
      if (best == able.size() || median(times[i]) < median(times[best])) best = i;
    std::vector<double> ratios;
    for (size_t r = 0; r < times[best].size(); ++r)
      ratios.push_back(times[best][r] / times[able.size()][r]);
    const double ratio = median(ratios), mine = flops / median(times[able.size()]);
    report(line, able, times, flops, mine, median(peaks), best, ratio, listed);
    if (listed && !able.empty()) {
      log_sum += log(ratio);
      worst = std::min(worst, ratio);
      ++counted;
    }
    free(a), free(b), free(c), free(scratch);
  }

  void report(const char* line, const std::vector<Peer<T>*>& able,
              const std::vector<std::vector<double>>& times, double flops, double mine,
              double fma_peak, size_t best, double ratio, bool listed) {
    if (options.json) {
      printf(
          "%s\n    {\"shape\": \"%s\", \"listed\": %s, \"gflops\": %.4g, \"peak\": %.4g, "
          "\"peers\": {",
          printed++ > 0 ? "," : "", line, listed ? "true" : "false", mine * 1e-9, fma_peak * 1e-9);
      for (size_t i = 0; i < able.size(); ++i)
        printf("%s\"%s\": %.4g", i > 0 ? ", " : "", able[i]->name.c_str(),
               flops / median(times[i]) * 1e-9);
      if (able.empty())
        printf("}}");
      else
        printf("}, \"best\": \"%s\", \"ratio\": %.4g}", able[best]->name.c_str(), ratio);
    } else {
      if (printed++ == 0) {
        printf("%-20s %9s %5s", "m n k", "tapegrad", "peak");
        for (auto& peer : peers) printf(" %13s", peer->name.c_str());
        printf("   ratio to the best (GFLOP/s, %s, %s, %d threads)\n", table.isa,
               sizeof(T) == 4 ? "f32" : "f64", pool.size());
      }
      printf("%-20s %9.1f %4.0f%%", line, mine * 1e-9, fma_peak > 0 ? 100 * mine / fma_peak : 0.0);
      for (size_t i = 0; i < able.size(); ++i) printf(" %13.1f", flops / median(times[i]) * 1e-9);
      if (!able.empty()) printf("   %.3f %s", ratio, able[best]->name.c_str());
      printf("\n");
    }
    fflush(stdout);
  }

  int all() {
    peers = tg::bench::open_peers<T>(options.peers, options.threads);
    if (options.json)
      printf("{\"isa\": \"%s\", \"type\": \"%s\", \"threads\": %d, \"shapes\": [", table.isa,
             sizeof(T) == 4 ? "f32" : "f64", options.threads);
    int number = 0;
    for (const Shape& s : kShapes) {
      const bool listed = number++ < kListed;
      if (listed || options.more) shape(s, listed);
    }
    const double mean = counted > 0 ? exp(log_sum / counted) : 0;
    if (options.json)
      printf("\n  ], \"listed\": {\"count\": %d, \"mean\": %.4g, \"worst\": %.4g}}\n", counted,
             mean, counted > 0 ? worst : 0.0);
    else if (counted > 0)
      printf("%d listed shapes: geometric mean %.3f, worst %.3f\n", counted, mean, worst);
    return right ? 0 : 1;
  }
};

bool parse(int argc, char** argv, Options& o) {
  for (int i = 1; i < argc; ++i) {
    const auto is = [&](const char* name) { return strcmp(argv[i], name) == 0; };
    if (is("--json")) {
      o.json = true;
    } else if (is("--more")) {
      o.more = true;
    } else if (i + 1 == argc) {
      return false;
    } else if (is("--threads")) {
      o.threads = std::max(1, atoi(argv[++i]));
    } else if (is("--rounds")) {
      o.rounds = std::max(1, atoi(argv[++i]));
    } else if (is("--shape")) {
      o.shape = argv[++i];
    } else if (is("--peers")) {
      o.peers = argv[++i];
    } else if (is("--type")) {
      o.f64 = strcmp(argv[++i], "f64") == 0;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    fprintf(stderr, "unknown argument; see the head of gemm_bench.cpp\n");
    return 2;
  }
  tg::ThreadPool pool(options.threads);
  const tg::cpu::KernelTable& table = best_table();
  if (options.f64) return Bench<double>{options, table, pool, {}}.all();
  return Bench<float>{options, table, pool, {}}.all();
}
