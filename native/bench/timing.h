// How the native child times its work, and the line of JSON that it prints: bench/measure.ts line
// by line, in C++. Includes only standard headers.
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace tg::bench {

/** Nanoseconds per iteration; see Measurement in bench/measure.ts. */
struct Timing {
  double median_ns, best_ns, mean_ns, cpu_ns;
  int64_t iterations;
};

inline double now(clockid_t clock = CLOCK_MONOTONIC) {
  timespec t;
  clock_gettime(clock, &t);
  return 1e9 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec);
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/** `run(n)` does the work n times. Warms up and finds n; then samples of about 1 ms. */
template <class Run>
Timing measure(Run&& run, double seconds) {
  constexpr double kSampleNs = 1e6, kSlowNs = 1e9, kWarmUpNs = 1e8;
  int64_t n = 1;
  double last = 1;
  for (const double end = now() + std::max(kWarmUpNs, seconds * 5e8);;) {
    const double start = now();
    run(n);
    const double stop = now();
    last = std::max(1.0, stop - start);
    if (stop >= end) break;
    const double wanted = static_cast<double>(n) * kSampleNs / last;
    n = std::max(int64_t{1},
                 std::min(2 * n, static_cast<int64_t>(std::llround(std::min(wanted, 1e12)))));
  }
  const size_t least = last > kSlowNs ? 1 : 5;
  std::vector<double> samples;
  const double cpu = now(CLOCK_PROCESS_CPUTIME_ID), begin = now(), end = begin + seconds * 1e9;
  double at = begin;
  while (at < end || samples.size() < least) {
    run(n);
    const double next = now();
    samples.push_back((next - at) / static_cast<double>(n));
    at = next;
  }
  const int64_t iterations = n * static_cast<int64_t>(samples.size());
  const double count = static_cast<double>(iterations);
  return {median(samples), *std::min_element(samples.begin(), samples.end()), (at - begin) / count,
          (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / count, iterations};
}

// Nanoseconds of one run at best: a short look, to choose among several ways.
template <class Run>
double trial(Run&& run) {
  constexpr double kLookNs = 3e7;
  run(1);
  double best = INFINITY;
  for (const double begin = now(); now() - begin < kLookNs;) {
    const double start = now();
    run(1);
    best = std::min(best, now() - start);
  }
  return best;
}

inline void print(const Timing& t, const std::string& library, const std::string& isa, int threads,
                  const std::string& variant = "") {
  const std::string more = variant.empty() ? "" : ",\"variant\":\"" + variant + '"';
  printf(
      "{\"median_ns\":%.9g,\"best_ns\":%.9g,\"mean_ns\":%.9g,\"cpu_ns\":%.9g,\"iterations\":%lld,"
      "\"library\":\"%s\",\"isa\":\"%s\",\"threads\":%d%s}\n",
      t.median_ns, t.best_ns, t.mean_ns, t.cpu_ns, static_cast<long long>(t.iterations),
      library.c_str(), isa.c_str(), threads, more.c_str());
}

}  // namespace tg::bench
