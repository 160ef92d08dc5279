// Compares sgemm with OpenBLAS (if it can be opened; set OPENBLAS_CORETYPE where its choice is
// poor) on the shapes of training steps: interleaved calls, medians, GFLOP/s and the ratio. Links
// with the per-ISA objects of gemm_test.cpp. Arguments: [threads, default 1] [filter on the shape's
// line]
#include "../cpu/gemm.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

extern "C" {
#if defined(__x86_64__)
extern const tg::cpu::GemmTable gemm_table_baseline, gemm_table_avx2, gemm_table_avx512;
#else
extern const tg::cpu::GemmTable gemm_table_neon;
#endif
}

namespace {

// With one thread its CPU time, which other processes disturb less; else the time of day.
bool cpu_time = false;
double now() {
  timespec t;
  clock_gettime(cpu_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double median(std::vector<double>& x) {
  std::nth_element(x.begin(), x.begin() + static_cast<long>(x.size() / 2), x.end());
  return x[x.size() / 2];
}

float* random_floats(int64_t n) {
  void* p = aligned_alloc(4096, static_cast<size_t>((n * 4 + 4095) / 4096 * 4096));
  for (int64_t i = 0; i < n; ++i)
    static_cast<float*>(p)[i] = static_cast<float>(rand()) / static_cast<float>(RAND_MAX) - 0.5f;
  return static_cast<float*>(p);
}

using CblasSgemm = void (*)(int order, int ta, int tb, int m, int n, int k, float alpha,
                            const float* a, int lda, const float* b, int ldb, float beta, float* c,
                            int ldc);

struct Shape {
  int m, n, k;
  bool ta, tb;
};

const tg::cpu::GemmTable& best_table() {
#if defined(__x86_64__)
  const char* want = getenv("TAPEGRAD_ISA");
  if (want != nullptr && strcmp(want, "avx2") == 0) return gemm_table_avx2;
  if (want != nullptr && strcmp(want, "baseline") == 0) return gemm_table_baseline;
  if (__builtin_cpu_supports("avx512dq")) return gemm_table_avx512;
  return __builtin_cpu_supports("fma") ? gemm_table_avx2 : gemm_table_baseline;
#else
  return gemm_table_neon;
#endif
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 1;
  cpu_time = threads == 1;
  const char* filter = argc > 2 ? argv[2] : "";
  CblasSgemm peer = nullptr;
  if (void* library = dlopen("libopenblas.so.0", RTLD_NOW)) {
    peer = reinterpret_cast<CblasSgemm>(dlsym(library, "cblas_sgemm"));
    auto set = reinterpret_cast<void (*)(int)>(dlsym(library, "openblas_set_num_threads"));
    if (set != nullptr) set(threads);
  }
  const tg::cpu::GemmTable& table = best_table();
  tg::ThreadPool pool(threads);
  const Shape shapes[] = {{64, 64, 64, false, false},
                          {128, 128, 128, false, false},
                          {512, 512, 512, false, false},
                          {1024, 1024, 1024, false, false},
                          {2048, 2048, 2048, false, false},
                          {32, 256, 784, false, false},
                          {128, 256, 784, false, false},
                          {128, 512, 512, false, false},
                          {32, 1024, 4096, false, false},
                          {128, 1024, 1024, false, true},
                          {784, 256, 128, true, false},
                          {1024, 1024, 128, true, false},
                          // Beyond the list that the mean is taken over.
                          {4, 16, 3, false, false},
                          {4, 100, 3, false, false},
                          {32, 10, 64, false, false},
                          {32, 64, 64, false, false},
                          {32, 64, 10, false, true},
                          {64, 10, 32, true, false},
                          {1, 1024, 1024, false, false},
                          {1, 1024, 1024, false, true},
                          {1024, 1, 1024, false, false},
                          {1024, 1, 1024, true, false},
                          {4, 1024, 1024, false, true},
                          {8, 1024, 1024, false, false},
                          {8, 1024, 1024, false, true},
                          {32, 784, 256, false, true},
                          {64, 1024, 1024, false, false},
                          {256, 1024, 1024, false, false},
                          {500, 500, 500, true, true},
                          {512, 512, 512, false, true},
                          {512, 512, 512, true, false},
                          {1000, 1000, 1000, false, false}};
  printf("%-20s %8s %8s %6s   (GFLOP/s, %d threads)\n", "m n k", "ours", "openblas", "ratio",
         threads);
  double log_sum = 0;
  int counted = 0, line_number = 0;
  for (const Shape& s : shapes) {
    char line[64];
    snprintf(line, sizeof line, "%d %d %d %c%c", s.m, s.n, s.k, s.ta ? 'T' : 'N', s.tb ? 'T' : 'N');
    ++line_number;
    if (strstr(line, filter) == nullptr) continue;
    float* a = random_floats(int64_t{s.m} * s.k);
    float* b = random_floats(int64_t{s.k} * s.n);
    float* c = random_floats(int64_t{s.m} * s.n);
    float* d = random_floats(int64_t{s.m} * s.n);
    tg::cpu::GemmArgs<float> args{
        s.m, s.n, s.k, a, s.ta ? 1 : s.k, s.ta ? s.m : 1, b, s.tb ? 1 : s.n, s.tb ? s.k : 1,
        c,   s.n};
    const size_t bytes = tg::cpu::gemm_scratch_bytes(table, args, threads);
    void* scratch = aligned_alloc(64, bytes + 64);
    const double flops = 2.0 * s.m * s.n * s.k;
    const int repeat = static_cast<int>(std::max(1.0, 2e6 / flops));
    const int block = static_cast<int>(std::min(500.0, std::max(1.0, 5e8 / (flops * repeat))));
    const int rounds = flops > 1e10 ? 5 : 11;
    std::vector<double> ours, theirs;
    auto measure = [&](std::vector<double>& times, auto call) {
      call();
      for (int i = 0; i < block; ++i) {
        const double start = now();
        for (int j = 0; j < repeat; ++j) call();
        times.push_back((now() - start) / repeat);
      }
    };
    for (int round = 0; round < rounds; ++round) {
      measure(ours, [&] { tg::cpu::gemm(table, args, scratch, pool); });
      if (peer == nullptr) continue;
      measure(theirs, [&] {
        peer(101, s.ta ? 112 : 111, s.tb ? 112 : 111, s.m, s.n, s.k, 1.0f, a, s.ta ? s.m : s.k, b,
             s.tb ? s.k : s.n, 0.0f, d, s.n);
      });
      if (threads > 1) usleep(150000);  // the peer's threads spin on for a while
    }
    const double mine = median(ours), his = peer != nullptr ? median(theirs) : 0;
    double worst = 0;
    for (int64_t i = 0; peer != nullptr && i < int64_t{s.m} * s.n; ++i)
      worst = std::max(worst, static_cast<double>(fabsf(c[i] - d[i])));
    printf("%-20s %8.1f %8.1f %6.2f   %.2f us%s\n", line, flops / mine * 1e-9,
           his > 0 ? flops / his * 1e-9 : 0.0, his / mine, mine * 1e6,
           worst > 1e-2 ? "   RESULTS DIFFER" : "");
    if (his > 0 && line_number <= 12) log_sum += log(his / mine), ++counted;
    free(a), free(b), free(c), free(d), free(scratch);
  }
  if (counted > 1) printf("geometric mean of the first 12 shapes: %.3f\n", exp(log_sum / counted));
  return 0;
}
