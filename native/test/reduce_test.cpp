// Tests of the reductions on every instruction set this machine has, against long double: random
// shapes by every set of axes by strided, transposed and broadcast inputs, sizes around lane and
// block boundaries, empty tensors, NaN and Infinity, equal bits for 1, 2 and 5 threads and across
// instruction sets; then softmax and cross-entropy likewise. Inputs and results end at an unmapped
// page. Built as one object per ISA, with -DTG_ISA=<name> and its flags, which holds that ISA's
// tables, and one object without, which holds the tests. Arguments: [random cases, default 500;
// below 100, as under an emulator or a sanitizer, large shapes are left out]
#ifdef TG_ISA
#include "../cpu/kernels/reduce.h"
#include "../cpu/kernels/softmax.h"

#define TG_JOIN_(a, b) a##b
#define TG_JOIN(a, b) TG_JOIN_(a, b)
extern "C" const tg::ReduceTable TG_JOIN(reduce_table_, TG_ISA);
extern "C" const tg::ReduceTable TG_JOIN(reduce_table_, TG_ISA) = TG_ISA::kReduceTable;
extern "C" const tg::SoftmaxTable TG_JOIN(softmax_table_, TG_ISA);
extern "C" const tg::SoftmaxTable TG_JOIN(softmax_table_, TG_ISA) = TG_ISA::kSoftmaxTable;

#else
#include "../cpu/reduce.h"
#include "../cpu/softmax.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <random>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "../core/thread_pool.h"

extern "C" {
#if defined(__x86_64__)
extern const tg::ReduceTable reduce_table_baseline, reduce_table_avx2, reduce_table_avx512;
extern const tg::SoftmaxTable softmax_table_baseline, softmax_table_avx2, softmax_table_avx512;
#else
extern const tg::ReduceTable reduce_table_neon;
extern const tg::SoftmaxTable softmax_table_neon;
#endif
}

namespace {

using namespace tg;
using Wide = long double;

int passed = 0, failed = 0;
__attribute__((format(printf, 2, 3))) bool check(bool ok, const char* format, ...) {
  ok ? ++passed : ++failed;
  if (!ok && failed < 40) {
    va_list args;
    va_start(args, format);
    fputs("FAILED ", stdout);
    vprintf(format, args);
    puts("");
    va_end(args);
  }
  return ok;
}

struct Isa {
  const char* name;
  const ReduceTable* reduce;
  const SoftmaxTable* softmax;
};
std::vector<Isa> isas() {
  std::vector<Isa> list;
#if defined(__x86_64__)
  list.push_back({"baseline", &reduce_table_baseline, &softmax_table_baseline});
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    list.push_back({"avx2", &reduce_table_avx2, &softmax_table_avx2});
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    list.push_back({"avx512", &reduce_table_avx512, &softmax_table_avx512});
#else
  list.push_back({"neon", &reduce_table_neon, &softmax_table_neon});
#endif
  return list;
}

// Memory that ends at an unmapped page; filled with a pattern that no result has.
class Guarded {
 public:
  explicit Guarded(size_t bytes) {
    const size_t page = 65536;
    size_ = (bytes + page - 1) / page * page + page;
    base_ = static_cast<char*>(
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + size_ - page, page, PROT_NONE);
    data = base_ + size_ - page - bytes;
    memset(data, 0x5A, bytes);
  }
  ~Guarded() { munmap(base_, size_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  char* data;

 private:
  char* base_;
  size_t size_;
};

std::mt19937_64 rng(7);
int64_t below(int64_t n) { return static_cast<int64_t>(rng() % static_cast<uint64_t>(n)); }

void* scratch_block = nullptr;
bool scratch_fails = false;
void* scratch(void*, size_t bytes) {
  free(scratch_block);
  scratch_block = scratch_fails ? nullptr : aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (scratch_block) memset(scratch_block, 0xFF, bytes);  // NaN and -1
  return scratch_block;
}

Error error;
ThreadPool pools[3] = {ThreadPool(1), ThreadPool(2), ThreadPool(5)};
ExecContext context(int pool) { return {&pools[pool], &error, scratch, nullptr, {}}; }

template <class T>
constexpr DType dtype_of() {
  return std::is_same<T, float>::value    ? DType::float32
         : std::is_same<T, double>::value ? DType::float64
                                          : DType::int32;
}

enum Fill { kNormal, kTies, kSpecial, kLarge };

// A tensor of some layout over guarded memory.
template <class T>
struct Input {
  TensorView view;
  Guarded memory;
  Wide at(const Shape& shape, int64_t linear) const {
    int64_t offset = 0;
    for (int i = shape.ndim - 1; i >= 0; --i) {
      offset += linear % shape[i] * view.strides[i];
      linear /= shape[i];
    }
    return static_cast<Wide>(static_cast<const T*>(view.data)[offset]);
  }
};

enum Layout { kPlain, kTransposed, kSliced, kBroadcast, kReversed, kLayouts };

template <class T>
T draw(Fill fill) {
  if (std::is_integral<T>::value)
    return static_cast<T>(fill == kTies ? below(9) - 4 : static_cast<int32_t>(rng()));
  if (fill == kTies) return static_cast<T>(below(5) - 2);
  std::normal_distribution<double> normal;
  if (fill == kSpecial && below(24) == 0) {
    const double special[] = {NAN, INFINITY, -INFINITY, -INFINITY};
    return static_cast<T>(special[below(4)]);
  }
  return static_cast<T>(normal(rng) * (fill == kLarge ? 1e4 : 1) + (fill == kLarge ? 3e4 : 0));
}

template <class T>
Input<T>* make_input(const Shape& shape, Layout layout, Fill fill) {
  int order[kMaxDims];
  for (int i = 0; i < shape.ndim; ++i) order[i] = i;
  if (layout == kTransposed)
    for (int i = shape.ndim - 1; i > 0; --i) std::swap(order[i], order[below(i + 1)]);
  int64_t strides[kMaxDims] = {}, step = 1, start = 0;
  const int repeated =
      layout == kBroadcast && shape.ndim ? static_cast<int>(below(shape.ndim)) : -1;
  for (int i = shape.ndim - 1; i >= 0; --i) {
    const int d = order[i];
    const int64_t gap = layout == kSliced ? 1 + below(3) : 1;
    if (d == repeated) continue;
    strides[d] = step * gap;
    step *= gap * (shape[d] ? shape[d] : 1);
    if (layout == kReversed && shape[d] && below(2)) {
      start += (shape[d] - 1) * strides[d];
      strides[d] = -strides[d];
    }
  }
  auto* input = new Input<T>{{}, Guarded(static_cast<size_t>(step) * sizeof(T))};
  T* p = reinterpret_cast<T*>(input->memory.data);
  for (int64_t i = 0; i < step; ++i) p[i] = draw<T>(fill);
  input->view.data = p + start;
  input->view.dtype = dtype_of<T>();
  input->view.shape = shape;
  memcpy(input->view.strides, strides, sizeof strides);
  return input;
}

bool same_bits(const void* a, const void* b, int64_t n, DType t) {
  if (n == 0) return true;
  if (t == DType::int32) return memcmp(a, b, static_cast<size_t>(n) * 4) == 0;
  for (int64_t i = 0; i < n; ++i) {
    if (t == DType::float32) {
      const float x = static_cast<const float*>(a)[i], y = static_cast<const float*>(b)[i];
      if (memcmp(&x, &y, 4) && !(isnan(x) && isnan(y))) return false;
    } else {
      const double x = static_cast<const double*>(a)[i], y = static_cast<const double*>(b)[i];
      if (memcmp(&x, &y, 8) && !(isnan(x) && isnan(y))) return false;
    }
  }
  return true;
}

bool close(Wide got, Wide want, Wide tolerance) {
  if (isnan(want)) return isnan(got);
  if (isinf(want)) return got == want;
  return fabsl(got - want) <= tolerance;
}

Wide number_at(const void* p, DType t, int64_t i) {
  if (t == DType::float32) return static_cast<const float*>(p)[i];
  if (t == DType::float64) return static_cast<Wide>(static_cast<const double*>(p)[i]);
  return static_cast<const int32_t*>(p)[i];
}

// The result for one output and how far off a kernel may be.
template <class T>
Wide reference(Op op, const std::vector<Wide>& x, double correction, Wide* tolerance) {
  const Wide n = static_cast<Wide>(x.size()),
             eps = std::is_same<T, float>::value ? 0x1p-23L : 0x1p-52L;
  Wide sum = 0, weight = 0, best = 0;
  size_t at = 0;
  bool nan = false;
  const bool largest = op == op_max || op == op_argmax || op == op_logSumExp;
  for (size_t i = 0; i < x.size(); ++i) {
    sum += x[i];
    weight += fabsl(x[i]);
    nan = nan || isnan(x[i]);
    if (i == 0 || (largest ? x[i] > best : x[i] < best) || (isnan(x[i]) && !isnan(best)))
      best = x[i], at = i;
  }
  // Every addition of a lane may err to the same side: a repeated number does that.
  const Wide sum_error = eps * weight * (8 + fminl(n, 4096) / 32 + n / 8192);
  *tolerance = 0;
  switch (op) {
    case op_sum:
    case op_sumTo:
      if (std::is_integral<T>::value)
        return static_cast<Wide>(
            static_cast<int32_t>(static_cast<uint32_t>(static_cast<int64_t>(sum))));
      *tolerance = sum_error;
      return sum;
    case op_mean:
      *tolerance = sum_error / n;
      return sum / n;
    case op_max:
    case op_min:
      return best;
    case op_argmax:
    case op_argmin:
      return static_cast<Wide>(at);
    case op_logSumExp: {
      if (x.empty()) return -INFINITY;
      if (nan || isinf(best)) return best;
      Wide e = 0;
      for (Wide v : x) e += expl(v - best);
      *tolerance = 2 * eps * (fabsl(best + logl(e)) + 8);
      return best + logl(e);
    }
    default: {
      const Wide mean = sum / n;
      Wide squares = 0;
      for (Wide v : x) squares += (v - mean) * (v - mean);
      const Wide freedom =
          n - static_cast<Wide>(correction) > 0 ? n - static_cast<Wide>(correction) : 0;
      // The error of the mean counts squared.
      *tolerance =
          freedom > 0
              ? ((32 + fminl(n, 4096) / 32) * eps * squares + 2 * sum_error * sum_error / n) /
                    freedom
              : 0;
      if (x.empty()) return NAN;
      if (freedom == 0 && !isnan(squares) && squares <= n * 0x1p-104L * mean * mean) return NAN;
      return squares / freedom;
    }
  }
}

std::set<std::string> variants;

template <class T>
void reduce_case(Op op, const Input<T>& in, uint32_t mask, double correction) {
  const Shape& shape = in.view.shape;
  OpCall call{};
  call.op = op;
  call.in = &in.view;
  call.n_in = 1;
  call.attrs.axes = mask;
  call.attrs.p[0] = correction;
  int64_t outputs = 1, n = 1;
  for (int i = 0; i < shape.ndim; ++i) {
    (mask >> i & 1 ? n : outputs) *= shape[i];
    if (!(mask >> i & 1))
      call.out.shape.push(shape[i]);
    else if (op == op_sumTo && (call.out.shape.ndim || below(2)))
      call.out.shape.push(1);
  }
  // sumTo: a kept axis of size 1 needs no mark, and leading ones may be missing.
  const bool index = op == op_argmax || op == op_argmin;
  if (n == 0 && outputs != 0 && (index || op == op_max || op == op_min)) return;
  call.out.dtype = index ? DType::int32 : in.view.dtype;
  contiguous_strides(call.out.shape, call.out.strides);
  const size_t bytes = static_cast<size_t>(outputs) * size_of(call.out.dtype);

  std::vector<std::vector<Wide>> members(static_cast<size_t>(outputs));
  const int64_t count = shape.count();
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, slot = 0, step = 1;
    for (int d = shape.ndim - 1; d >= 0; --d) {
      if (!(mask >> d & 1)) {
        slot += rest % shape[d] * step;
        step *= shape[d];
      }
      rest /= shape[d];
    }
    members[static_cast<size_t>(slot)].push_back(in.at(shape, i));
  }
  std::vector<Wide> want(members.size()), tolerance(members.size());
  for (size_t i = 0; i < want.size(); ++i)
    want[i] = reference<T>(op, members[i], correction, &tolerance[i]);
  char text[kShapeText];
  std::vector<char> first;
  for (const Isa& isa : isas()) {
    std::vector<char> single;
    for (int pool = 0; pool < 3; ++pool) {
      Guarded out(bytes);
      call.out.data = out.data;
      ExecContext c = context(pool);
      const Status status = cpu::run_reduce(*isa.reduce, &c, call);
      if (!check(status == Status::ok, "%s: %s", name_of(op), error.message())) return;
      variants.insert(c.trace.variant);
      if (pool) {
        check(same_bits(out.data, single.data(), outputs, call.out.dtype),
              "%s %s %s mask %u: bits depend on threads", isa.name, name_of(op), print(shape, text),
              mask);
        continue;
      }
      single.assign(out.data, out.data + bytes);
      if (first.empty()) first = single;
      if (op != op_logSumExp)
        check(same_bits(single.data(), first.data(), outputs, call.out.dtype),
              "%s %s %s mask %u: bits depend on ISA", isa.name, name_of(op), print(shape, text),
              mask);
      size_t at = 0;
      while (at < want.size() &&
             close(number_at(out.data, call.out.dtype, static_cast<int64_t>(at)), want[at],
                   tolerance[at]))
        ++at;
      check(at == want.size(),
            "%s %s %s %s mask %u strides %lld %lld %lld %lld (%s): [%zu] is %.17Lg, not %.17Lg",
            isa.name, name_of(op), name_of(in.view.dtype), print(shape, text), mask,
            static_cast<long long>(in.view.strides[0]), static_cast<long long>(in.view.strides[1]),
            static_cast<long long>(in.view.strides[2]), static_cast<long long>(in.view.strides[3]),
            c.trace.variant, at,
            at < want.size() ? number_at(out.data, call.out.dtype, static_cast<int64_t>(at)) : 0,
            at < want.size() ? want[at] : 0);
    }
  }
}

template <class T>
void reduce_all_ops(const Shape& shape, uint32_t mask, Layout layout, Fill fill) {
  const Input<T>* in = make_input<T>(shape, layout, fill);
  const Op floats[] = {op_mean, op_logSumExp, op_variance},
           numbers[] = {op_sum, op_max, op_min, op_sumTo};
  for (Op op : numbers) reduce_case(op, *in, mask, 0);
  if (!std::is_integral<T>::value)
    for (Op op : floats) reduce_case(op, *in, mask, static_cast<double>(below(3)));
  const uint32_t all = (1u << shape.ndim) - 1;
  if (mask == all || (mask && !(mask & (mask - 1)))) {
    reduce_case(op_argmax, *in, mask, 0);
    reduce_case(op_argmin, *in, mask, 0);
  }
  delete in;
}

Fill random_fill() { return static_cast<Fill>(below(4)); }

void reduce_tests(int64_t cases) {
  const int64_t sizes[] = {1,  1,  2,  3,  4,  5,  7,  8,  9,  15, 16,
                           17, 24, 31, 32, 33, 40, 63, 64, 65, 96, 130};
  for (int64_t i = 0; i < cases; ++i) {
    Shape shape;
    const int ndim = static_cast<int>(below(5));
    int64_t count = 1;
    for (int d = 0; d < ndim; ++d) {
      const int64_t size = below(60) == 0 ? 0 : sizes[below(22)];
      shape.push(count * size > 6000 ? 1 + below(2) : size);
      count *= shape[d] ? shape[d] : 1;
    }
    const Layout layout = static_cast<Layout>(below(kLayouts));
    for (uint32_t mask = 0; mask < 1u << ndim; ++mask) {
      const uint64_t kind = static_cast<uint64_t>(i) % 5;
      if (kind < 2)
        reduce_all_ops<float>(shape, mask, layout, random_fill());
      else if (kind < 4)
        reduce_all_ops<double>(shape, mask, layout, random_fill());
      else
        reduce_all_ops<int32_t>(shape, mask, layout, random_fill());
    }
  }
  // Around lane, block, tile and segment boundaries, and large enough for threads.
  if (cases < 100) return;
  const Shape large[] = {{1, {4095}},       {1, {4096}},        {1, {4097}},
                         {1, {8229}},       {1, {65536}},       {1, {200001}},
                         {2, {2, 4097}},    {2, {127, 513}},    {2, {128, 1024}},
                         {2, {129, 520}},   {2, {70000, 3}},    {2, {3, 70000}},
                         {2, {20000, 8}},   {2, {999, 5}},      {2, {70001, 12}},
                         {2, {9000, 33}},   {2, {400, 700}},    {3, {40, 50, 60}},
                         {3, {9, 70, 300}}, {3, {33, 3000, 2}}, {4, {6, 32, 24, 24}}};
  for (const Shape& shape : large)
    for (uint32_t mask = 1; mask < 1u << shape.ndim; ++mask) {
      const Layout layout = below(2) ? kPlain : static_cast<Layout>(below(kLayouts));
      reduce_all_ops<float>(shape, mask, layout, random_fill());
      reduce_all_ops<double>(shape, mask, static_cast<Layout>(below(kLayouts)), kNormal);
      if (below(3) == 0) reduce_all_ops<int32_t>(shape, mask, layout, kNormal);
    }
  for (const char* v : {"rows", "columns", "gathered rows", "gathered columns"})
    check(variants.count(v) == 1, "no case took the path %s", v);
}

// ---- softmax and cross-entropy ----

struct Row {
  std::vector<Wide> a, b;  // x or g; y or t
  int64_t target = -1;
  Wide g = 1;
};

// The results of a row (one for the loss) and the scale of their errors.
std::vector<Wide> softmax_reference(Op op, const Row& row, Wide* scale) {
  const size_t n = row.a.size();
  std::vector<Wide> out(n), p(n);
  Wide max = -INFINITY, sum = 0, dot = 0, total = 0, weight = 0;
  for (Wide v : row.a) max = v > max || isnan(v) ? v : max;
  for (size_t i = 0; i < n; ++i) sum += p[i] = expl(row.a[i] - max);
  *scale = 1;
  switch (op) {
    case op_softmax:
      for (size_t i = 0; i < n; ++i) out[i] = p[i] / sum;
      break;
    case op_logSoftmax:
      for (size_t i = 0; i < n; ++i)
        out[i] = row.a[i] - max - logl(sum),
        *scale = fmaxl(*scale, isinf(out[i]) ? 0 : fabsl(out[i]));
      break;
    case op_softmaxBackward:
    case op_logSoftmaxBackward:
      for (size_t i = 0; i < n; ++i) {
        dot += row.a[i] * row.b[i], total += row.a[i];
        weight += fabsl(row.a[i]) * (op == op_softmaxBackward ? fabsl(row.b[i]) : 1);
      }
      *scale = 1 + weight + 4;
      for (size_t i = 0; i < n; ++i) {
        out[i] = op == op_softmaxBackward ? row.b[i] * (row.a[i] - dot)
                                          : row.a[i] - expl(row.b[i]) * total;
        if (!isnan(out[i]))
          *scale =
              fmaxl(*scale, op == op_softmaxBackward ? fabsl(row.b[i]) * (fabsl(row.a[i]) + weight)
                                                     : expl(row.b[i]) * weight);
      }
      break;
    case op_crossEntropy: {
      Wide loss = 0;
      for (size_t i = 0; i < n; ++i) {
        const Wide t = row.target >= 0 ? (static_cast<int64_t>(i) == row.target ? 1 : 0) : row.b[i];
        if (t != 0 || isnan(sum)) loss += t * (logl(sum) + (max - row.a[i]));
        if (t != 0 && !isinf(row.a[i]) && sum > 0)
          weight += fabsl(t) * (fabsl(max - row.a[i]) + fabsl(logl(sum)));
      }
      if (isnan(sum)) loss = NAN;
      *scale = 16 + weight;
      return {loss};
    }
    default: {
      for (size_t i = 0; i < n; ++i) weight += row.target >= 0 ? 0 : row.b[i];
      if (row.target >= 0) weight = 1;
      for (size_t i = 0; i < n; ++i) {
        const Wide t = row.target >= 0 ? (static_cast<int64_t>(i) == row.target ? 1 : 0) : row.b[i];
        out[i] = row.g * (p[i] / sum * weight - t);
      }
      *scale = 1 + fabsl(row.g) * (weight + 2);
    }
  }
  return out;
}

template <class T>
void softmax_case(Op op, const Shape& shape, int axis, Layout layout, Fill fill, bool indexed) {
  const bool loss = op == op_crossEntropy, loss_dx = op == op_crossEntropyBackward;
  const bool backward = op == op_softmaxBackward || op == op_logSoftmaxBackward;
  Input<T>* a = make_input<T>(shape, layout, fill);
  Input<T>* b =
      make_input<T>(shape, static_cast<Layout>(below(kLayouts)), backward ? kNormal : kTies);
  // Targets of both signs are no distribution; weights 0, 1, 2 with many zeros are close enough.
  if (!backward) {
    T* p = reinterpret_cast<T*>(b->memory.data);
    int64_t extent = 1;
    for (int i = 0; i < shape.ndim; ++i)
      extent += (shape[i] ? shape[i] - 1 : 0) * std::abs(b->view.strides[i]);
    for (int64_t i = 0; i < extent; ++i) p[i] = p[i] < 0 ? T(0) : p[i];
  }
  const int64_t n = shape[axis], rows = n ? shape.count() / n : 0;
  Shape row_shape;
  row_shape.push(rows);
  Input<int32_t>* targets = make_input<int32_t>(row_shape, below(2) ? kSliced : kPlain, kTies);
  Input<T>* g = make_input<T>(row_shape, below(2) ? kBroadcast : kPlain, kNormal);
  int32_t* t = static_cast<int32_t*>(targets->view.data);
  for (int64_t i = 0; i < rows; ++i)
    t[i * targets->view.strides[0]] = static_cast<int32_t>(below(n));

  const TensorView second = indexed ? targets->view : b->view;
  const TensorView inputs[3] = {loss_dx ? g->view : a->view, loss_dx ? a->view : second, second};
  OpCall call{};
  call.op = op;
  call.in = inputs;
  call.n_in = loss_dx ? 3 : backward || loss ? 2 : 1;
  call.attrs.axis = axis;
  call.out.shape = loss ? row_shape : shape;
  call.out.dtype = dtype_of<T>();
  contiguous_strides(call.out.shape, call.out.strides);
  const int64_t outputs = call.out.shape.count();
  int64_t inner = 1;
  for (int i = axis + 1; i < shape.ndim; ++i) inner *= shape[i];
  const Wide eps = std::is_same<T, float>::value ? 0x1p-23L : 0x1p-52L;
  std::vector<Wide> wanted(static_cast<size_t>(outputs)), tolerance(wanted.size());
  for (int64_t r = 0; r < rows; ++r) {
    Row row;
    const int64_t start = r / inner * inner * n + r % inner;
    for (int64_t i = 0; i < n; ++i) {
      row.a.push_back(a->at(shape, start + i * inner));
      row.b.push_back(b->at(shape, start + i * inner));
    }
    if (indexed) row.target = t[r * targets->view.strides[0]];
    if (loss_dx) row.g = g->at(row_shape, r);
    Wide scale;
    const std::vector<Wide> want = softmax_reference(op, row, &scale);
    for (size_t i = 0; i < want.size(); ++i) {
      const size_t at = static_cast<size_t>(loss ? r : start + static_cast<int64_t>(i) * inner);
      wanted[at] = want[i];
      tolerance[at] = 8 * eps * scale;
    }
  }
  char text[kShapeText];
  for (const Isa& isa : isas()) {
    std::vector<char> single;
    for (int pool = 0; pool < 3; ++pool) {
      Guarded out(static_cast<size_t>(outputs) * sizeof(T));
      call.out.data = out.data;
      ExecContext c = context(pool);
      if (!check(cpu::run_softmax(*isa.softmax, &c, call) == Status::ok, "%s: %s", name_of(op),
                 error.message()))
        break;
      variants.insert(std::string("softmax ") + c.trace.variant);
      if (pool) {
        check(same_bits(out.data, single.data(), outputs, call.out.dtype),
              "%s %s %s: bits depend on threads", isa.name, name_of(op), print(shape, text));
        continue;
      }
      single.assign(out.data, out.data + static_cast<size_t>(outputs) * sizeof(T));
      size_t at = 0;
      while (at < wanted.size() &&
             close(number_at(out.data, call.out.dtype, static_cast<int64_t>(at)), wanted[at],
                   tolerance[at]))
        ++at;
      check(at == wanted.size(), "%s %s %s %s axis %d (%s)%s: [%zu] is %.17Lg, not %.17Lg",
            isa.name, name_of(op), name_of(call.out.dtype), print(shape, text), axis,
            c.trace.variant, indexed ? " indexed" : "", at,
            at < wanted.size() ? number_at(out.data, call.out.dtype, static_cast<int64_t>(at)) : 0,
            at < wanted.size() ? wanted[at] : 0);
    }
  }
  delete a;
  delete b;
  delete g;
  delete targets;
}

template <class T>
void softmax_shape(const Shape& shape, Layout layout, Fill fill) {
  for (int axis = 0; axis < shape.ndim; ++axis)
    for (Op op : {op_softmax, op_logSoftmax, op_softmaxBackward, op_logSoftmaxBackward})
      softmax_case<T>(op, shape, axis, layout,
                      (op == op_softmaxBackward || op == op_logSoftmaxBackward) && fill == kSpecial
                          ? kNormal
                          : fill,
                      false);
  if (shape.ndim != 2 || shape[1] == 0) return;
  for (Op op : {op_crossEntropy, op_crossEntropyBackward})
    for (bool indexed : {false, true}) softmax_case<T>(op, shape, 1, layout, fill, indexed);
}

void softmax_tests(int64_t cases) {
  const int64_t sizes[] = {1, 2, 3, 7, 8, 10, 15, 16, 17, 31, 32, 33, 48, 65, 100};
  for (int64_t i = 0; i < cases; ++i) {
    Shape shape;
    const int ndim = 1 + static_cast<int>(below(4)) % 3;
    int64_t count = 1;
    for (int d = 0; d < ndim; ++d) {
      shape.push(below(50) == 0 ? 0 : count > 2000 ? 2 : sizes[below(15)]);
      count *= shape[d] ? shape[d] : 1;
    }
    const Layout layout = static_cast<Layout>(below(kLayouts));
    if (i % 2)
      softmax_shape<float>(shape, layout, random_fill());
    else
      softmax_shape<double>(shape, layout, random_fill());
  }
  if (cases < 100) return;
  const Shape large[] = {{2, {40, 1000}}, {2, {3, 4096}},  {2, {3, 4097}},    {2, {2, 9000}},
                         {2, {5000, 10}}, {2, {1, 50000}}, {3, {7, 300, 77}}, {2, {1100, 65}}};
  for (const Shape& shape : large) {
    softmax_shape<float>(shape, kPlain, kNormal);
    softmax_shape<float>(shape, kTransposed, kLarge);
    softmax_shape<double>(shape, kPlain, kSpecial);
  }
  for (const char* v : {"rows", "columns", "gathered rows"})
    check(variants.count(std::string("softmax ") + v) == 1, "softmax did not take the path %s", v);
}

// Logits where naive formulas overflow, masked classes, and what must be refused.
template <class T>
void extreme_tests(const Isa& isa) {
  const T huge = std::is_same<T, float>::value ? static_cast<T>(1e4) : static_cast<T>(1e300),
          inf = INFINITY;
  T x[4][3] = {{huge, -huge, huge}, {-inf, 2, 2}, {-inf, -inf, -inf}, {-huge, -huge, -huge}};
  T y[4][3], loss[4];
  int32_t target[4] = {0, 1, 2, 1};
  TensorView in[2];
  in[0].data = x, in[0].dtype = dtype_of<T>(), in[0].shape = {2, {4, 3}};
  contiguous_strides(in[0].shape, in[0].strides);
  in[1].data = target, in[1].dtype = DType::int32, in[1].shape = {1, {4}}, in[1].strides[0] = 1;
  OpCall call{};
  call.op = op_softmax, call.in = in, call.n_in = 1, call.out = in[0], call.out.data = y,
  call.attrs.axis = 1;
  ExecContext c = context(0);
  cpu::run_softmax(*isa.softmax, &c, call);
  check(y[0][0] == T(0.5) && y[0][1] == 0 && y[0][2] == T(0.5), "%s softmax of ±huge", isa.name);
  check(y[1][0] == 0 && y[1][1] == T(0.5), "%s softmax with a masked class", isa.name);
  check(isnan(y[2][0]) && isnan(y[2][2]), "%s softmax of nothing but -Infinity", isa.name);
  check(fabs(static_cast<double>(y[3][0]) - 1.0 / 3) < 1e-6, "%s softmax of -huge", isa.name);
  call.op = op_crossEntropy, call.n_in = 2, call.out.shape = {1, {4}}, call.out.data = loss;
  contiguous_strides(call.out.shape, call.out.strides);
  cpu::run_softmax(*isa.softmax, &c, call);
  check(fabs(static_cast<double>(loss[0]) - log(2.0)) < 1e-6 &&
            fabs(static_cast<double>(loss[1]) - log(2.0)) < 1e-6 && isnan(loss[2]) &&
            fabs(static_cast<double>(loss[3]) - log(3.0)) < 1e-6,
        "%s crossEntropy at the edge", isa.name);
  for (int32_t bad : {3, -1, INT32_MAX, INT32_MIN}) {
    target[3] = bad;
    loss[0] = 77;
    char message[100];
    snprintf(message, sizeof message, "crossEntropy: target[3] is %d, but there are 3 classes",
             bad);
    check(cpu::run_softmax(*isa.softmax, &c, call) == Status::range_error && loss[0] == 77 &&
              !strcmp(error.message(), message),
          "%s crossEntropy accepted class %d: %s", isa.name, bad, error.message());
  }
  // No scratch: a status, and the result untouched.
  Input<T>* strided = make_input<T>({2, {40, 30}}, kSliced, kNormal);
  strided->view.strides[1] = 0;
  std::vector<T> out(1200, T(77));
  scratch_fails = true;
  call.op = op_softmax, call.in = &strided->view, call.n_in = 1;
  call.out.shape = strided->view.shape, call.out.data = out.data();
  check(cpu::run_softmax(*isa.softmax, &c, call) == Status::out_of_memory && out[0] == 77,
        "%s softmax without scratch", isa.name);
  call.op = op_sum, call.attrs.axes = 2, call.out.shape = {1, {40}};
  check(cpu::run_reduce(*isa.reduce, &c, call) == Status::out_of_memory && out[0] == 77 &&
            strstr(error.message(), "sum"),
        "%s sum without scratch", isa.name);
  scratch_fails = false;
  delete strided;
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t cases = argc > 1 ? atoll(argv[1]) : 500;
  for (const Isa& isa : isas()) {
    printf("%s\n", isa.name);
    extreme_tests<float>(isa);
    extreme_tests<double>(isa);
  }
  reduce_tests(cases);
  softmax_tests(cases / 2);
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
#endif
