// Tests of optimizer updates, norms, scaling, clipping and accumulation for one instruction set:
// compile with its flags (and TG_ISA if it matters), link with cpu/optimizers.cpp, cpu/copy.cpp,
// core/shape.cpp, core/op.cpp and core/thread_pool.cpp built without. Rules are checked against
// their papers' formulas in long double; nothing is shared with the schema.
#ifndef TG_ISA
#define TG_ISA isa_under_test
#endif
#include "../cpu/optimizers.h"
#include "../cpu/kernels/optimizers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <functional>
#include <vector>

#include "../core/thread_pool.h"

namespace {

using namespace tg;
using Real = long double;

const cpu::OptimizersTable& table = TG_ISA::kOptimizersTable;

int passed = 0, failed = 0;
void check(bool ok, const char* what, long long detail = 0) {
  ok ? ++passed : ++failed;
  if (!ok && failed < 40) printf("FAILED: %s (%lld)\n", what, detail);
}

uint64_t state = 88172645463325252u;
uint64_t next() { return state ^= state << 13, state ^= state >> 7, state ^= state << 17; }
double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53 * 2 - 1; }

ThreadPool pools[3] = {ThreadPool(1), ThreadPool(2), ThreadPool(5)};
Error error;
std::vector<double> scratch_memory;
bool scratch_fails = false;
void* scratch(void*, size_t bytes) {
  if (scratch_fails) return nullptr;
  scratch_memory.assign(bytes / 8 + 1, -1e300);
  return scratch_memory.data();
}
ExecContext context(int pool) { return {&pools[pool], &error, scratch, nullptr, {}}; }

template <class T>
constexpr DType dtype_of = sizeof(T) == 4 ? DType::float32 : DType::float64;

// n elements between guards, at an address that is aligned to nothing but T.
template <class T>
struct Array {
  std::vector<T> memory;
  int64_t n;
  explicit Array(int64_t count, double fill = 0)
      : memory(static_cast<size_t>(count) + 33, T(-12345)), n(count) {
    for (int64_t i = 0; i < n; ++i) (*this)[i] = static_cast<T>(fill);
  }
  T* data() { return memory.data() + 17; }
  T& operator[](int64_t i) { return data()[i]; }
  bool intact() const {
    for (size_t i = 0; i < 33; ++i)
      if (memory[i < 17 ? i : static_cast<size_t>(n) + i] != T(-12345)) return false;
    return true;
  }
};

// One step of a rule by its paper, in long double; v are the numbers in the schema's order.
using Formula = std::function<void(const double* v, Real& p, Real g, Real* s)>;
struct Case {
  int rule;
  Formula formula;
  std::function<std::vector<double>(int t)> numbers;
};

Real square(Real x) { return x * x; }

std::vector<Case> cases() {
  const double b1 = 0.9, b2 = 0.999;
  const auto adam = [=](int t, double rate, double l2, double shrink) {
    return std::vector<double>{rate / (1 - pow(b1, t)),  l2,  shrink, b1, b2, 1 - b1, 1 - b2,
                               1 / sqrt(1 - pow(b2, t)), 1e-8};
  };
  const Formula adam_rule = [](const double* v, Real& p, Real g, Real* s) {
    p *= v[2];
    g += v[1] * p;
    s[0] = v[3] * s[0] + v[5] * g;
    s[1] = v[4] * s[1] + v[6] * g * g;
    p -= v[0] * s[0] / (sqrtl(s[1]) * v[7] + v[8]);
  };
  std::vector<Case> all;
  all.push_back({optimizer_sgd,
                 [](const double* v, Real& p, Real g, Real*) { p -= v[0] * (g + v[1] * p); },
                 [](int) {
                   return std::vector<double>{0.05, 0.01};
                 }});
  for (double nesterov : {0.0, 1.0})
    all.push_back({optimizer_sgdMomentum,
                   [](const double* v, Real& p, Real g, Real* s) {
                     g += v[1] * p;
                     s[0] = v[2] * s[0] + v[3] * g;
                     p -= v[0] * (v[4] > 0 ? g + v[2] * s[0] : s[0]);
                   },
                   [=](int t) {
                     return std::vector<double>{0.01, 0.01, 0.9, t == 1 ? 1.0 : 0.8, nesterov};
                   }});
  for (double nesterov : {0.0, 1.0})
    all.push_back({optimizer_sgdVelocity,
                   [](const double* v, Real& p, Real g, Real* s) {
                     g = v[0] * (g + v[1] * p);
                     s[0] = v[2] * s[0] + v[3] * g;
                     p -= v[4] > 0 ? g + v[2] * s[0] : s[0];
                   },
                   [=](int t) {
                     return std::vector<double>{0.1 / t, 0.01, 0.9, t == 1 ? 1.0 : 0.8, nesterov};
                   }});
  all.push_back({optimizer_adagrad,
                 [](const double* v, Real& p, Real g, Real* s) {
                   g += v[1] * p;
                   s[0] += g * g;
                   p -= v[0] * g / (sqrtl(s[0]) + v[2]);
                 },
                 [](int t) {
                   return std::vector<double>{0.1 / (1 + (t - 1) * 0.01), 0.02, 1e-10};
                 }});
  for (double inside : {0.0, 1e-3})
    all.push_back({optimizer_rmsprop,
                   [](const double* v, Real& p, Real g, Real* s) {
                     g += v[1] * p;
                     s[0] = v[2] * s[0] + v[3] * g * g;
                     p -= v[0] * g / (sqrtl(s[0] + v[4]) + v[5]);
                   },
                   [=](int) {
                     return std::vector<double>{0.01, 0.0, 0.9, 0.1, inside, inside > 0 ? 0 : 1e-8};
                   }});
  all.push_back({optimizer_rmspropCentered,
                 [](const double* v, Real& p, Real g, Real* s) {
                   g += v[1] * p;
                   s[0] = v[2] * s[0] + v[3] * g * g;
                   s[1] = v[2] * s[1] + v[3] * g;
                   const Real variance = s[0] - square(s[1]);
                   p -= v[0] * g / (sqrtl((variance > 0 ? variance : 0) + v[4]) + v[5]);
                 },
                 [](int) { return std::vector<double>{0.01, 0.1, 0.9, 0.1, 0.0, 1e-2}; }});
  all.push_back({optimizer_rmspropMomentum,
                 [](const double* v, Real& p, Real g, Real* s) {
                   g += v[1] * p;
                   s[0] = v[2] * s[0] + v[3] * g * g;
                   s[1] = v[6] * s[1] + g / (sqrtl(s[0] + v[4]) + v[5]);
                   p -= v[0] * s[1];
                 },
                 [](int) { return std::vector<double>{0.01, 0.1, 0.9, 0.1, 0.0, 1e-2, 0.5}; }});
  all.push_back({optimizer_rmspropCenteredMomentum,
                 [](const double* v, Real& p, Real g, Real* s) {
                   g += v[1] * p;
                   s[0] = v[2] * s[0] + v[3] * g * g;
                   s[1] = v[2] * s[1] + v[3] * g;
                   const Real variance = s[0] - square(s[1]);
                   s[2] = v[6] * s[2] + g / (sqrtl((variance > 0 ? variance : 0) + v[4]) + v[5]);
                   p -= v[0] * s[2];
                 },
                 [](int) { return std::vector<double>{0.01, 0.1, 0.9, 0.1, 0.0, 1e-2, 0.5}; }});
  all.push_back({optimizer_adadelta,
                 [](const double* v, Real& p, Real g, Real* s) {
                   g += v[1] * p;
                   s[0] = v[2] * s[0] + v[3] * g * g;
                   const Real step = sqrtl(s[1] + v[4]) / sqrtl(s[0] + v[4]) * g;
                   s[1] = v[2] * s[1] + v[3] * step * step;
                   p -= v[0] * step;
                 },
                 [](int) {
                   return std::vector<double>{1.0, 0.01, 0.95, 0.05, 1e-6};
                 }});
  all.push_back({optimizer_adam, adam_rule, [=](int t) { return adam(t, 0.001, 0.01, 1); }});
  all.push_back(
      {optimizer_adam, adam_rule, [=](int t) { return adam(t, 0.01, 0, 1 - 0.01 * 0.1); }});
  all.push_back({optimizer_amsgrad,
                 [](const double* v, Real& p, Real g, Real* s) {
                   p *= v[2];
                   g += v[1] * p;
                   s[0] = v[3] * s[0] + v[5] * g;
                   s[1] = v[4] * s[1] + v[6] * g * g;
                   if (s[1] > s[2]) s[2] = s[1];
                   p -= v[0] * s[0] / (sqrtl(s[2]) * v[7] + v[8]);
                 },
                 [=](int t) { return adam(t, 0.002, 0.01, 1); }});
  all.push_back({optimizer_adamax,
                 [](const double* v, Real& p, Real g, Real* s) {
                   g += v[1] * p;
                   s[0] = v[2] * s[0] + v[4] * g;
                   s[1] = fmaxl(v[3] * s[1], fabsl(g) + v[5]);
                   p -= v[0] * s[0] / s[1];
                 },
                 [=](int t) {
                   return std::vector<double>{0.002 / (1 - pow(b1, t)), 0.01, b1, b2, 1 - b1, 1e-8};
                 }});
  all.push_back({optimizer_nadam,
                 [](const double* v, Real& p, Real g, Real* s) {
                   g += v[2] * p;
                   s[0] = v[3] * s[0] + v[5] * g;
                   s[1] = v[4] * s[1] + v[6] * g * g;
                   p -= (v[1] * g + v[0] * s[0]) / (sqrtl(s[1]) * v[7] + v[8]);
                 },
                 [=](int t) {
                   return std::vector<double>{0.002 * b1 / (1 - pow(b1, t + 1)),
                                              0.002 * (1 - b1) / (1 - pow(b1, t)),
                                              0.01,
                                              b1,
                                              b2,
                                              1 - b1,
                                              1 - b2,
                                              1 / sqrt(1 - pow(b2, t)),
                                              1e-8};
                 }});
  all.push_back({optimizer_radam,
                 [](const double* v, Real& p, Real g, Real* s) {
                   g += v[1] * p;
                   s[0] = v[2] * s[0] + v[4] * g;
                   s[1] = v[3] * s[1] + v[5] * g * g;
                   p -= v[6] > 0 ? v[0] * s[0] / (sqrtl(s[1]) + v[7]) : v[0] * s[0];
                 },
                 [=](int t) {
                   return std::vector<double>{
                       0.002, 0.01, b1, b2, 1 - b1, 1 - b2, t > 5 ? 1.0 : 0.0, 1e-8};
                 }});
  return all;
}

double worst[kOptimizers], farthest[kOptimizers];  // units: half an ULP of 1

// 200 steps from the same start: each step against one exact step from the states as they were
// (tight), and the whole path against the exact path (loose).
template <class T>
void paths(const Case& c, uint32_t size) {
  const int64_t n = size;
  const double eps = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53;
  const int states = kOptimizerInfo[c.rule].states;
  Array<T> p(n), g(n), s[4] = {Array<T>(n), Array<T>(n), Array<T>(n), Array<T>(n)};
  std::vector<Real> exact(static_cast<size_t>(n) * 5);
  for (int64_t i = 0; i < n; ++i)
    p[i] = static_cast<T>(uniform()), exact[static_cast<size_t>(i) * 5] = p[i];
  double step_error = 0, path_error = 0;
  bool finite = true;
  for (int t = 1; t <= 200; ++t) {
    std::vector<double> numbers = c.numbers(t), rounded = numbers;
    if (t == 1)
      check(static_cast<int>(numbers.size()) == kOptimizerInfo[c.rule].numbers,
            "the number of numbers", c.rule);
    for (double& v : rounded) v = static_cast<double>(static_cast<T>(v));
    for (int64_t i = 0; i < n; ++i)
      g[i] = static_cast<T>(static_cast<double>(p[i]) * 0.3 + uniform() * (i % 3 ? 1 : 1e-3));
    std::vector<Real> one(static_cast<size_t>(n) * 5);
    for (int64_t i = 0; i < n; ++i) {
      Real* e = &exact[static_cast<size_t>(i) * 5];
      Real* o = &one[static_cast<size_t>(i) * 5];
      c.formula(rounded.data(), e[0], g[i], e + 1);
      o[0] = p[i];
      for (int k = 0; k < 4; ++k) o[1 + k] = s[k][i];
      c.formula(rounded.data(), o[0], g[i], o + 1);
    }
    Array<T> before[4] = {s[0], s[1], s[2], s[3]};
    OptimizerItem item{p.data(), g.data(), {}, n, dtype_of<T>};
    for (int k = 0; k < states; ++k) item.state[k] = s[k].data();
    ExecContext ctx = context(t % 3);
    check(cpu::optimize(table, &ctx, c.rule, numbers.data(), &item, 1) == Status::ok, "optimize",
          c.rule);
    for (int64_t i = 0; i < n; ++i) {
      const Real* o = &one[static_cast<size_t>(i) * 5];
      const auto scaled = [](Real a, Real b, Real scale) {
        return static_cast<double>(fabsl(a - b) / (fabsl(b) + scale));
      };
      step_error = fmax(step_error, scaled(p[i], o[0], 1) / eps);
      for (int k = 0; k < states; ++k)
        step_error = fmax(step_error, scaled(s[k][i], o[1 + k], fabsl(before[k][i]) + 1e-3L) / eps);
      path_error = fmax(path_error, scaled(p[i], exact[static_cast<size_t>(i) * 5], 1) / eps);
      finite = finite && p[i] - p[i] == 0;
    }
  }
  bool intact = p.intact() && g.intact();
  for (auto& a : s) intact = intact && a.intact();
  check(intact && finite, "guards, and no NaN", c.rule);
  worst[c.rule] = fmax(worst[c.rule], step_error);
  farthest[c.rule] = fmax(farthest[c.rule], path_error);
  // Without FMA decay · p is rounded before it cancels against g, and a division by the small root
  // that follows makes the rest large: seen in the velocity.
  const double bound = TG_ISA::kFused ? 6 : 100;
  check(step_error <= bound, kOptimizerInfo[c.rule].name, static_cast<long long>(step_error));
  check(path_error <= 40, kOptimizerInfo[c.rule].name, static_cast<long long>(path_error));
}

// One call over many items of both dtypes and all sizes: the bits of elementwise calls, for any
// pool.
void lists(const Case& c) {
  std::vector<int64_t> sizes;
  for (int64_t n = 0; n <= 70; ++n) sizes.push_back(n);
  for (int i = 0; i < 300; ++i) sizes.push_back(static_cast<int64_t>(next() % 200));
  sizes.push_back(40001), sizes.push_back(0), sizes.push_back(16384), sizes.push_back(0);
  const size_t count = sizes.size();
  const std::vector<double> numbers = c.numbers(3);
  std::vector<std::vector<unsigned char>> start, want;
  for (size_t i = 0; i < count; ++i) {
    const bool wide = i % 2;
    const size_t n = static_cast<size_t>(sizes[i]), bytes = wide ? 8 : 4;
    std::vector<unsigned char> memory(6 * n * bytes + 1);
    for (size_t k = 0; k < 6 * n; ++k) {
      const double v = k < 2 * n ? uniform() : fabs(uniform());
      const float f = static_cast<float>(v);
      wide ? memcpy(&memory[k * 8], &v, 8) : memcpy(&memory[k * 4], &f, 4);
    }
    start.push_back(memory);
    for (size_t k = 0; k < n; ++k) {  // one element at a time
      void* s[4];
      for (size_t j = 0; j < 4; ++j) s[j] = &memory[((2 + j) * n + k) * bytes];
      table.update[c.rule][wide](numbers.data(), &memory[k * bytes], &memory[(n + k) * bytes], s,
                                 1);
    }
    want.push_back(memory);
  }
  for (int pool = 0; pool < 3; ++pool) {
    auto memory = start;
    std::vector<OptimizerItem> items;
    for (size_t i = 0; i < count; ++i) {
      const size_t bytes = static_cast<size_t>(sizes[i]) * (i % 2 ? 8 : 4);
      unsigned char* m = memory[i].data();
      items.push_back({m,
                       m + bytes,
                       {m + 2 * bytes, m + 3 * bytes, m + 4 * bytes, m + 5 * bytes},
                       sizes[i],
                       i % 2 ? DType::float64 : DType::float32});
    }
    ExecContext ctx = context(pool);
    check(cpu::optimize(table, &ctx, c.rule, numbers.data(), items.data(),
                        static_cast<int>(count)) == Status::ok,
          "a list");
    check(memory == want, "a list has the bits of single elements", c.rule * 10 + pool);
  }
}

template <class T>
void norms() {
  for (int64_t n : {0, 1, 3, 15, 16, 17, 70, 1000, 8191, 8192, 8193, 100003}) {
    Array<T> g(n), h(n / 2);
    Real exact = 0;
    for (int64_t i = 0; i < n; ++i) g[i] = static_cast<T>(uniform()), exact += square(g[i]);
    for (int64_t i = 0; i < n / 2; ++i) h[i] = static_cast<T>(uniform()), exact += square(h[i]);
    const OptimizerItem items[3] = {{nullptr, g.data(), {}, n, dtype_of<T>},
                                    {nullptr, nullptr, {}, 0, dtype_of<T>},
                                    {nullptr, h.data(), {}, n / 2, dtype_of<T>}};
    double norm[3];
    for (int p = 0; p < 3; ++p) {
      ExecContext ctx = context(p);
      check(cpu::gradient_norm(table, &ctx, items, 3, &norm[p]) == Status::ok, "gradient_norm");
    }
    check(fabs(norm[0] - static_cast<double>(sqrtl(exact))) <= 1e-14 * norm[0], "the norm", n);
    check(norm[1] == norm[0] && norm[2] == norm[0], "the norm's bits do not depend on threads", n);
    if (n > 0)
      for (double bad : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
        g[n - 1] = static_cast<T>(bad);
        ExecContext ctx = context(1);
        check(cpu::gradient_norm(table, &ctx, items, 3, norm) == Status::ok &&
                  (bad != bad ? norm[0] != norm[0] : norm[0] == bad),
              "NaN and Inf propagate", n);
      }
  }
  // A fixed input, whose norm every instruction set must give to the bit.
  const int64_t n = 20011;
  Array<T> g(n);
  uint32_t x = 12345;
  for (int64_t i = 0; i < n; ++i)
    x = x * 1664525u + 1013904223u,
    g[i] = static_cast<T>(x >> 8) / static_cast<T>(1 << 20) - static_cast<T>(3.3);
  const OptimizerItem item{nullptr, g.data(), {}, n, dtype_of<T>};
  double norm;
  ExecContext ctx = context(1);
  check(cpu::gradient_norm(table, &ctx, &item, 1, &norm) == Status::ok, "gradient_norm");
  const double want = sizeof(T) == 4 ? 0x1.cff5790338468p+9 : 0x1.cff5799df0f26p+9;
  check(norm == want, "the norm's bits do not depend on the instruction set");
  if (norm != want) printf("  got %a\n", norm);
}

template <class T>
void arithmetic() {
  std::vector<int64_t> sizes;
  for (int64_t n = 0; n <= 70; ++n) sizes.push_back(n);
  sizes.push_back(50021);
  for (int64_t n : sizes) {
    Array<T> a(n), b(n);
    for (int64_t i = 0; i < n; ++i)
      a[i] = static_cast<T>(i % 11 == 5   ? NAN
                            : i % 13 == 7 ? INFINITY
                            : i % 17 == 3 ? -INFINITY
                                          : uniform() * 3),
      b[i] = static_cast<T>(uniform());
    const Array<T> before = a;
    TensorView x[3], y;
    y.dtype = dtype_of<T>, y.data = b.data(), y.shape.push(n), y.strides[0] = 1;
    x[1] = y, x[1].data = a.data();
    for (int k : {0, 2}) x[k] = y, x[k].shape[0] = 0;
    const auto same = [](T p, T q) { return memcmp(&p, &q, sizeof p) == 0 || (p != p && q != q); };
    const auto was = [&](int64_t i) { return before.memory[static_cast<size_t>(i) + 17]; };
    for (int pool = 0; pool < 3; ++pool) {
      ExecContext ctx = context(pool);
      bool ok = cpu::accumulate(table, &ctx, &x[1], &y) == Status::ok;
      for (int64_t i = 0; i < n; ++i) ok = ok && same(a[i], was(i) + b[i]);
      check(ok && a.intact() && b.intact(), "accumulate", n);
      a = before, x[1].data = a.data();
      ok = cpu::scale(table, &ctx, x, 3, 0.3) == Status::ok;
      for (int64_t i = 0; i < n; ++i) ok = ok && same(a[i], was(i) * static_cast<T>(0.3));
      check(ok && a.intact(), "scale", n);
      a = before, x[1].data = a.data();
      ok = cpu::clip(table, &ctx, x, 3, 0.75) == Status::ok;
      for (int64_t i = 0; i < n; ++i) {
        const T v = was(i);
        ok = ok && same(a[i], v > T(0.75) ? T(0.75) : v < T(-0.75) ? T(-0.75) : v);
      }
      check(ok && a.intact(), "clip", n);
      a = before, x[1].data = a.data();
    }
  }
}

void refusals() {
  ExecContext ctx = context(0);
  float p[4] = {}, g[4] = {};
  const double numbers[2] = {0.1, 0};
  OptimizerItem item{p, g, {}, 4, DType::float32};
  check(cpu::optimize(table, &ctx, -1, numbers, &item, 1) == Status::range_error, "a rule below");
  check(cpu::optimize(table, &ctx, kOptimizers, numbers, &item, 1) == Status::range_error,
        "a rule above");
  scratch_fails = true;
  double norm;
  check(cpu::optimize(table, &ctx, optimizer_sgd, numbers, &item, 1) == Status::out_of_memory,
        "no scratch");
  check(cpu::gradient_norm(table, &ctx, &item, 1, &norm) == Status::out_of_memory,
        "no scratch for the norm");
  scratch_fails = false;
  item.dtype = DType::int32;
  check(cpu::optimize(table, &ctx, optimizer_sgd, numbers, &item, 1) == Status::type_error,
        "int32 parameters");
  check(cpu::gradient_norm(table, &ctx, &item, 1, &norm) == Status::type_error, "int32 gradients");
  check(cpu::optimize(table, &ctx, optimizer_sgd, numbers, nullptr, 0) == Status::ok,
        "an empty list");
  check(cpu::gradient_norm(table, &ctx, nullptr, 0, &norm) == Status::ok && norm == 0,
        "the norm of nothing");
  check(strcmp(kOptimizerInfo[optimizer_adam].number_names,
               "rate, decay, shrink, keep1, keep2, take1, take2, correction2, eps") == 0,
        "names of numbers");
  check(kOptimizerInfo[optimizer_adam].numbers == 9 && kOptimizerInfo[optimizer_adam].states == 2,
        "counts");
}

}  // namespace

// optimizers_test [thin]: fewer lengths, for emulators.
int main(int argc, char**) {
  const uint32_t near = argc > 1 ? 5 : 1, far = argc > 1 ? 21 : 7;
  bool covered[kOptimizers] = {};
  for (const Case& c : cases()) {
    covered[c.rule] = true;
    for (uint32_t n = 0; n <= 70; n += n < 20 ? near : far) paths<float>(c, n), paths<double>(c, n);
    lists(c);
  }
  for (int r = 0; r < kOptimizers; ++r)
    printf("%s %.1f %.0f, ", kOptimizerInfo[r].name, worst[r], farthest[r]);
  printf("(worst error of a step, of 200 steps, in half ULP of 1)\n");
  // Rules of more states than four, whose steps hang on thresholds, have theirs in
  // test/optim-methods.test.ts.
  for (int r = 0; r < kOptimizers; ++r)
    check(covered[r] || kOptimizerInfo[r].states > 4, "every rule has a reference", r);
  norms<float>();
  norms<double>();
  arithmetic<float>();
  arithmetic<double>();
  refusals();
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
