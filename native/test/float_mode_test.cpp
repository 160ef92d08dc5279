// Tests of the mode in which kernels compute: through every function of every backend that this
// machine can run, denormals read and computed are zeros, the caller's own mode does not reach the
// kernels and is back afterwards, and the bits do not depend on the threads.
#include "../core/float_mode.h"

#include <stdio.h>
#include <string.h>

#include <limits>
#include <vector>

#include "../core/thread_pool.h"
#include "../cpu/backend.h"

namespace {

using namespace tg;

int passed = 0, failed = 0;
void check(bool ok, const char* what, const char* isa) {
  ok ? ++passed : ++failed;
  if (!ok) printf("FAILED: %s on %s\n", what, isa);
}

constexpr int64_t kCount = 200000;  // several tasks of every kernel
std::vector<char> scratch_memory;
void* scratch(void*, size_t bytes) {
  scratch_memory.resize(bytes + 64);
  const auto at = reinterpret_cast<uintptr_t>(scratch_memory.data());
  return reinterpret_cast<void*>((at + 63) / 64 * 64);
}

TensorView vector_of(std::vector<float>& x) {
  TensorView view;
  view.dtype = DType::float32;
  view.shape.push(static_cast<int64_t>(x.size()));
  view.strides[0] = 1;
  view.data = x.data();
  return view;
}

// What all functions of a backend make of denormals, end to end.
std::vector<float> results(const Backend& backend, ExecContext* ctx) {
  const float tiny = std::numeric_limits<float>::min();
  std::vector<float> x(kCount, tiny * 0.25f), y(kCount, -1.5f * tiny), all;
  std::vector<float> sum(kCount, 7.0f);
  const auto keep = [&](const std::vector<float>& v) { all.insert(all.end(), v.begin(), v.end()); };
  const TensorView in[] = {vector_of(x), vector_of(y)};
  for (const Op op : {op_add, op_mul}) {
    const OpCall call{op, in, 2, vector_of(sum), {}};
    check(backend.run(ctx, &call) == Status::ok, "run", backend.name);
    keep(sum);
  }
  std::vector<float> to(kCount, 1.25f * tiny);
  const TensorView target = vector_of(to);
  check(backend.accumulate(ctx, &target, &in[1]) == Status::ok, "accumulate", backend.name);
  keep(to);
  check(backend.scale(ctx, &in[1], 1, 0.5) == Status::ok, "scale", backend.name);
  keep(y);
  check(backend.clip(ctx, &in[1], 1, 0.5 * tiny) == Status::ok, "clip", backend.name);
  std::vector<float> p(kCount, 1.1f * tiny), g(kCount, 1.5f * tiny), momentum(kCount);
  OptimizerItem item{p.data(), g.data(), {momentum.data()}, kCount, DType::float32};
  const double numbers[] = {1, 0, 0.5, 0.5, 0};  // rate, decay, momentum, damping, nesterov
  check(backend.optimize(ctx, optimizer_sgdMomentum, numbers, &item, 1) == Status::ok, "optimize",
        backend.name);
  keep(p);
  keep(momentum);
  return all;
}

bool holds_denormal(const std::vector<float>& values) {
  for (float v : values) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    if ((bits & 0x7F800000u) == 0 && (bits & 0x007FFFFFu) != 0) return true;
  }
  return false;
}

void every_backend() {
#if defined(__x86_64__)
  const uint64_t own = float_mode(), flushing = own | 0x8040u, upward = own | 0x4000u;
#else
  const uint64_t own = float_mode(), flushing = own | 1u << 24, upward = own | 1u << 22;
#endif
  char names[cpu::kIsaText];
  cpu::available_isas(names);
  for (char* isa = strtok(names, " "); isa; isa = strtok(nullptr, " ")) {
    Error error;
    const Backend* backend;
    const char* chosen;
    check(cpu::choose_backend(isa, &error, &backend, &chosen) == Status::ok, "chosen", isa);
    std::vector<float> wanted;
    for (const uint64_t mode : {own, flushing, upward})
      for (const int threads : {1, 2, 5}) {
        ThreadPool pool(threads);
        ExecContext ctx{&pool, &error, scratch, nullptr, {"", "", "", ""}};
        set_float_mode(mode);
        const std::vector<float> got = results(*backend, &ctx);
        check(float_mode() == mode, "the caller has its own mode back", isa);
        set_float_mode(own);
        if (wanted.empty()) wanted = got;
        check(got.size() == wanted.size() &&
                  memcmp(got.data(), wanted.data(), got.size() * sizeof(float)) == 0,
              "the same bits in every mode of the caller, on any number of threads", isa);
        check(!holds_denormal(got), "no denormal is computed", isa);
      }
    // tiny/4 - 1.5 tiny: the first counts as zero. -1.5 tiny · 0.5 and the momentum fade.
    const float tiny = std::numeric_limits<float>::min();
    check(wanted[0] == -1.5f * tiny && wanted[kCount - 1] == -1.5f * tiny, "denormals read as zero",
          isa);
  }
}

}  // namespace

int main() {
  every_backend();
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
