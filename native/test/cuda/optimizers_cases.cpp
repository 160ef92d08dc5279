// Optimizer rules, norms, scaling and clipping over lists of parameters. Updates have the CPU's
// bits; norms are summed in another order.
#include <math.h>
#include <string.h>

#include "../../core/optimizer.h"
#include "cases.h"

namespace tg::test {

namespace {

constexpr Tolerance kBits{-1};
constexpr DType kTypes[] = {DType::float32, DType::float64};
constexpr int64_t kSizes[] = {3, 1000, 0, 1, 100003};

// A flat tensor; sometimes its place is not aligned.
Value flat(Harness& h, DType dtype, int64_t n, double low, double high) {
  const int64_t skip = h.pick(0, 3) ? 0 : 1;
  Value value = h.random(dtype, shape_of({n + skip}), Layout::contiguous, low, high);
  value.view.data =
      static_cast<char*>(value.view.data) + skip * static_cast<int64_t>(size_of(dtype));
  value.view.shape[0] = n;
  return value;
}

// The arrays of n items, one after the other: parameter, gradient, states.
struct Items {
  std::vector<Value> values;
  int each;

  Items(Harness& h, int rule, int n, bool mixed, DType dtype)
      : each(2 + kOptimizerInfo[rule].states) {
    for (int i = 0; i < n; ++i) {
      const DType type = mixed && i % 3 == 1 ? DType::float64 : dtype;
      const int64_t size = n > 20 ? h.pick(0, 70) : kSizes[i % 5];
      for (int k = 0; k < each; ++k) values.push_back(flat(h, type, size, k < 2 ? -2 : 0.1, 2));
    }
  }
  std::vector<Value*> pointers() {
    std::vector<Value*> all;
    for (Value& value : values) all.push_back(&value);
    return all;
  }
  // Of memory that `views` names.
  std::vector<OptimizerItem> items(const TensorView* views) const {
    std::vector<OptimizerItem> list;
    for (size_t i = 0; i < values.size(); i += static_cast<size_t>(each)) {
      OptimizerItem item{
          views[i].data, views[i + 1].data, {}, views[i].shape.count(), views[i].dtype};
      for (int k = 2; k < each; ++k) item.state[k - 2] = views[i + static_cast<size_t>(k)].data;
      list.push_back(item);
    }
    return list;
  }
};

std::vector<double> numbers_of(Harness& h, int rule) {
  std::vector<double> numbers;
  for (int i = 0; i < kOptimizerInfo[rule].numbers; ++i)
    numbers.push_back(h.pick(0, 5) ? h.uniform(0.01, 0.99) : h.pick(0, 1) ? 1 : 0);
  return numbers;
}

void rules(Harness& h, int rule) {
  for (const DType dtype : kTypes)
    for (const int n : {0, 1, 5, 300}) {
      Items items(h, rule, n, n == 5 || n == 300, dtype);
      const std::vector<double> numbers = numbers_of(h, rule);
      h.compare_memory(kOptimizerInfo[rule].name, items.pointers(), kBits,
                       [&](const Backend& b, ExecContext* ctx, const TensorView* views) {
                         const std::vector<OptimizerItem> list = items.items(views);
                         return b.optimize(ctx, rule, numbers.data(), list.data(), n);
                       });
    }
  // Numbers that are not.
  Items items(h, rule, 1, false, DType::float32);
  items.values.clear();
  for (int k = 0; k < items.each; ++k) {
    items.values.push_back(flat(h, DType::float32, 40, -2, 2));
    for (int i = 0; i < 12; ++i)
      items.values.back().set(h.pick(0, 39), i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : 0);
  }
  const std::vector<double> numbers = numbers_of(h, rule);
  h.compare_memory(kOptimizerInfo[rule].name, items.pointers(), kBits,
                   [&](const Backend& b, ExecContext* ctx, const TensorView* views) {
                     return b.optimize(ctx, rule, numbers.data(), items.items(views).data(), 1);
                   });
}

void* fixed_scratch(void* owner, size_t bytes) { return bytes <= 1 << 20 ? owner : nullptr; }

// A recorded step: norm, clipping by it, update by numbers that change from replay to replay.
void recorded(Harness& h) {
  const DeviceLibrary& l = h.library;
  const int rule = optimizer_adam, n = 7;
  Items items(h, rule, n, true, DType::float32);
  std::vector<Harness::Mirror> mirrors;
  std::vector<TensorView> host, device;
  for (Value& value : items.values) {
    mirrors.push_back(h.upload(value));
    host.push_back(value.view);
    device.push_back(mirrors.back().view);
  }
  const auto gradients = [&](const std::vector<TensorView>& views) {
    std::vector<TensorView> list;
    for (size_t i = 1; i < views.size(); i += static_cast<size_t>(items.each))
      list.push_back(views[i]);
    return list;
  };
  char* const memory = static_cast<char*>(l.allocate(h.device, 2 << 20));
  double* const numbers = reinterpret_cast<double*>(memory + (1 << 20));
  double* const norm = numbers + 100;
  ExecContext ctx = h.cuda;
  ctx.scratch = fixed_scratch;
  ctx.owner = memory;
  ctx.step = reinterpret_cast<const StepState*>(norm + 1);
  const std::vector<OptimizerItem> list = items.items(device.data());
  const std::vector<TensorView> clipped = gradients(device), clipped_host = gradients(host);
  constexpr double kLimit = 3;
  DeviceGraph* graph = nullptr;
  h.check(l.begin_graph(h.device, &h.error) == Status::ok, "begin_graph");
  h.check(l.backend->gradient_norm(&ctx, list.data(), n, norm) == Status::ok, "a recorded norm");
  h.check(l.backend->clip_norm(&ctx, clipped.data(), n, kLimit, false, norm) == Status::ok,
          "a recorded clipping");
  h.check(l.backend->optimize(&ctx, rule, numbers, list.data(), n) == Status::ok,
          "a recorded update");
  h.check(l.end_graph(h.device, &h.error, &graph) == Status::ok && graph, "end_graph: %s",
          h.error.message());
  for (int step = 0; graph && step < 4; ++step) {
    const std::vector<double> now = numbers_of(h, rule);
    l.upload(h.device, &h.error, numbers, now.data(), now.size() * sizeof(double));
    h.check(l.run_graph(h.device, &h.error, graph) == Status::ok, "run_graph");
    double expected = 0, got = 0;
    const std::vector<OptimizerItem> on_host = items.items(host.data());
    h.cpu_backend.gradient_norm(&h.cpu, on_host.data(), n, &expected);
    l.download(h.device, &h.error, &got, norm, sizeof got);
    h.check(fabs(got - expected) <= 1e-6 * expected, "the norm in step %d: %.17g, on the CPU %.17g",
            step, got, expected);
    h.cpu_backend.clip_norm(&h.cpu, clipped_host.data(), n, kLimit, false, &got);
    h.cpu_backend.optimize(&h.cpu, rule, now.data(), on_host.data(), n);
    for (size_t i = 0; i < mirrors.size(); ++i) {
      Value result = items.values[i];
      h.download(mirrors[i], &result);
      h.check(!memcmp(result.memory.data(), items.values[i].memory.data(), result.bytes()),
              "step %d: array %zu differs", step, i);
    }
  }
  if (graph) l.drop_graph(h.device, graph);
  // Of nothing the norm is 0, in a recording as elsewhere.
  double got = -1;
  l.upload(h.device, &h.error, norm, &got, sizeof got);
  h.check(l.backend->gradient_norm(&ctx, nullptr, 0, norm) == Status::ok, "the norm of nothing");
  l.download(h.device, &h.error, &got, norm, sizeof got);
  h.check(got == 0, "the norm of nothing is %g", got);
  for (const Harness::Mirror& m : mirrors) h.drop(m);
  l.release(h.device, memory);
}

void norms(Harness& h) {
  for (const int n : {0, 1, 5, 300, 1500})  // more pieces than one block has threads
    for (const double special : {0.0, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
      Items items(h, optimizer_sgd, n, true, DType::float32);
      if (special != 0 && n > 0)
        items.values[3 % (2 * static_cast<size_t>(n))].set(0, special);  // a gradient, not empty
      double norm[2] = {-1, -1};
      int which = 0;
      h.compare_memory("gradientNorm", items.pointers(), kBits,
                       [&](const Backend& b, ExecContext* ctx, const TensorView* views) {
                         return b.gradient_norm(ctx, items.items(views).data(), n, &norm[which++]);
                       });
      h.check(norm[0] == norm[1] || (isnan(norm[0]) && isnan(norm[1])) ||
                  fabs(norm[0] - norm[1]) <= 1e-14 * norm[0],
              "the norm of %d gradients is %.17g, on the CPU %.17g", n, norm[1], norm[0]);
    }
}

void lists(Harness& h) {
  for (const int n : {0, 1, 5, 300}) {
    for (const double number : {0.37, 1.0, 0.0, static_cast<double>(NAN)}) {
      Items items(h, optimizer_sgd, n, true, DType::float32);
      if (n > 0) items.values[2 % items.values.size()].set(0, NAN);
      h.compare_memory("scale", items.pointers(), kBits,
                       [&](const Backend& b, ExecContext* ctx, const TensorView* views) {
                         return b.scale(ctx, views, 2 * n, number);
                       });
      h.compare_memory("clip", items.pointers(), kBits,
                       [&](const Backend& b, ExecContext* ctx, const TensorView* views) {
                         return b.clip(ctx, views, 2 * n, number);
                       });
      for (const bool finite : {false, true})
        for (const double norm :
             {0.5, 20.0, static_cast<double>(INFINITY), static_cast<double>(NAN)})
          h.compare_memory("clipNorm", items.pointers(), kBits,
                           [&](const Backend& b, ExecContext* ctx, const TensorView* views) {
                             return b.clip_norm(ctx, views, 2 * n, 1.5, finite, &norm);
                           });
    }
  }
}

// A fault that nobody has heard of yet keeps parameters and states as they are.
void after_a_fault(Harness& h, int rule) {
  Items items(h, rule, 5, true, DType::float32);
  std::vector<Harness::Mirror> mirrors;
  std::vector<TensorView> views;
  for (const Value& value : items.values) {
    mirrors.push_back(h.upload(value));
    views.push_back(mirrors.back().view);
  }
  const std::vector<double> numbers = numbers_of(h, rule);
  h.expect_notes();
  for (const uint32_t fault : {1u, 0u}) {
    h.library.upload(h.device, &h.error, h.cuda.faults.any, &fault, sizeof fault);
    const Status status = h.library.backend->optimize(&h.cuda, rule, numbers.data(),
                                                      items.items(views.data()).data(), 5);
    bool same = true;
    for (size_t i = 0; i < mirrors.size(); ++i) {
      Value got = items.values[i];
      h.download(mirrors[i], &got);
      same = same && memcmp(got.memory.data(), items.values[i].memory.data(), got.bytes()) == 0;
    }
    h.check(status == Status::ok && same == (fault != 0), "%s %s a fault",
            kOptimizerInfo[rule].name, fault ? "after" : "without");
  }
  (void)h.notes();
  for (const Harness::Mirror& m : mirrors) h.drop(m);
}

}  // namespace

void optimizers_cases(Harness& h) {
  for (int rule = 0; rule < kOptimizers; ++rule) {
    rules(h, rule);
    after_a_fault(h, rule);
  }
  recorded(h);
  norms(h);
  lists(h);
}

}  // namespace tg::test
