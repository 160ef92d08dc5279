// What the fused optimizers reach beside the memory: parameters per second and bytes per second of
// an update, as a share of x *= f over arrays of the same total size, which reads and writes every
// byte in place. Interleaved, medians. Then many small tensors beside one large one. Links with
// tg_core and the objects of every instruction set. Arguments: [threads, default 1] [instruction
// set]
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <vector>

#include "../core/storage.h"
#include "../core/thread_pool.h"
#include "../cpu/backend.h"

namespace {

using namespace tg;

double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double median(std::vector<double>& x) {
  std::nth_element(x.begin(), x.begin() + static_cast<long>(x.size() / 2), x.end());
  return x[x.size() / 2];
}

void* scratch(void*, size_t bytes) {
  static std::vector<char> memory;
  memory.resize(std::max(memory.size(), bytes + 64));
  return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
}

struct Rule {
  OptimizerRule rule;
  std::vector<double> numbers;
};
const Rule kRules[] = {
    {optimizer_sgd, {1e-6, 0}},
    {optimizer_sgdMomentum, {1e-6, 0, 0.9, 1, 0}},
    {optimizer_rmsprop, {1e-6, 0, 0.99, 0.01, 0, 1e-8}},
    {optimizer_adam, {1e-6, 0, 1, 0.9, 0.999, 0.1, 0.001, 1.5, 1e-8}},
    {optimizer_adam, {1e-6, 0, 0.9999, 0.9, 0.999, 0.1, 0.001, 1.5, 1e-8}},  // AdamW
};

// `tensors` parameters of `size` elements with gradients and two states, where the engine's pool
// puts them.
struct Parameters {
  StoragePool pool{size_t{1} << 32};
  std::vector<OptimizerItem> items;
  std::vector<Storage*> blocks;
  Parameters(int tensors, int64_t size) {
    for (int i = 0; i < tensors; ++i) {
      OptimizerItem item{
          block(size), block(size), {block(size), block(size)}, size, DType::float32};
      items.push_back(item);
    }
  }
  ~Parameters() {
    for (Storage* b : blocks) pool.release(b);
  }
  void* block(int64_t size) {
    blocks.push_back(pool.allocate(static_cast<size_t>(size) * sizeof(float)));
    float* x = static_cast<float*>(blocks.back()->data);
    for (int64_t i = 0; i < size; ++i) x[i] = 1e-3f * static_cast<float>(1 + (i * 7919) % 1000);
    return x;
  }
};

template <class F>
double seconds(int repeat, F&& f) {
  const double start = now();
  for (int i = 0; i < repeat; ++i) f();
  return (now() - start) / repeat;
}

void beside_memory(const Backend& backend, ExecContext& ctx, int tensors, int64_t size) {
  Parameters p(tensors, size);
  std::vector<TensorView> all;  // the arrays of `items` in turn
  for (const OptimizerItem& item : p.items)
    for (const void* data :
         {static_cast<const void*>(item.parameter), item.gradient,
          static_cast<const void*>(item.state[0]), static_cast<const void*>(item.state[1])}) {
      TensorView view;
      view.data = const_cast<void*>(data);
      view.shape.push(size);
      view.strides[0] = 1;
      all.push_back(view);
    }
  const double n = static_cast<double>(tensors) * static_cast<double>(size);
  const int repeat = static_cast<int>(std::max(1.0, 3e6 / n));
  printf("%d x %lld\n", tensors, static_cast<long long>(size));
  for (const Rule& rule : kRules) {
    std::vector<double> update, scale;
    for (int round = 0; round < 25; ++round) {
      update.push_back(seconds(repeat, [&] {
        backend.optimize(&ctx, rule.rule, rule.numbers.data(), p.items.data(), tensors);
      }));
      scale.push_back(seconds(
          repeat, [&] { backend.scale(&ctx, all.data(), static_cast<int>(all.size()), 1.0); }));
    }
    const double bytes = n * 4 * (3 + 2 * kOptimizerInfo[rule.rule].states);
    const double rate = bytes / median(update), copy = n * 4 * 2 * 4 / median(scale);
    printf(
        "  %-12s %6.2f G/s %7.1f GB/s, scale %7.1f GB/s: %5.1f %%\n",
        rule.numbers.size() == 9 && rule.numbers[2] != 1 ? "adamW" : kOptimizerInfo[rule.rule].name,
        n / median(update) * 1e-9, rate * 1e-9, copy * 1e-9, 100 * rate / copy);
  }
}

void many_beside_one(const Backend& backend, ExecContext& ctx) {
  Parameters many(100, 1000), one(1, 100000);
  printf("100 x 1000 beside 1 x 100000\n");
  for (const Rule& rule : kRules) {
    std::vector<double> small, large;
    for (int round = 0; round < 51; ++round) {
      small.push_back(seconds(50, [&] {
        backend.optimize(&ctx, rule.rule, rule.numbers.data(), many.items.data(), 100);
      }));
      large.push_back(seconds(50, [&] {
        backend.optimize(&ctx, rule.rule, rule.numbers.data(), one.items.data(), 1);
      }));
    }
    const double ratio = median(small) / median(large);
    printf("  %-12s %6.1f us beside %6.1f us: %.2f\n", kOptimizerInfo[rule.rule].name,
           1e6 * median(small), 1e6 * median(large), ratio);
  }
}

}  // namespace

int main(int argc, char** argv) {
  ThreadPool pool(argc > 1 ? atoi(argv[1]) : 1);
  Error error;
  const Backend* backend;
  const char* isa;
  if (cpu::choose_backend(argc > 2 ? argv[2] : nullptr, &error, &backend, &isa) != Status::ok)
    return 1;
  printf("%s, %d threads\n", isa, pool.size());
  ExecContext ctx{&pool, &error, scratch, nullptr, {"", "", "", ""}};
  beside_memory(*backend, ctx, 1, 1000);
  beside_memory(*backend, ctx, 1, 8192);
  beside_memory(*backend, ctx, 1, 50000);
  beside_memory(*backend, ctx, 1, 4 << 20);
  beside_memory(*backend, ctx, 4, 1 << 20);
  beside_memory(*backend, ctx, 1, (4 << 20) + 1234);
  many_beside_one(*backend, ctx);
}
