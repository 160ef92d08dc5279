// Tests of copies, casts, joins, selections, padding and constants against element-by-element
// references, on random views, with guard bytes and 1, 2 and 5 threads. Links copy.cpp,
// shape_ops.cpp, core/shape.cpp, core/op.cpp and core/thread_pool.cpp. Argument: thinning (default
// 1).
#include "../cpu/shape_ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <vector>

#include "../cpu/copy.h"

namespace {

using namespace tg;

int passed = 0, failed = 0, thinning = 1;
void check(bool ok, const char* what, long long detail = 0) {
  ok ? ++passed : ++failed;
  if (!ok && failed < 40) printf("FAILED: %s (%lld)\n", what, detail);
}

bool same(const void* a, const void* b, size_t n) { return n == 0 || memcmp(a, b, n) == 0; }

uint64_t state = 88172645463325252u;
uint64_t next() { return state ^= state << 13, state ^= state >> 7, state ^= state << 17; }
int64_t pick(int64_t low, int64_t high) {  // both included
  return low + static_cast<int64_t>((next() >> 11) % static_cast<uint64_t>(high - low + 1));
}

ThreadPool pools[3] = {ThreadPool(1), ThreadPool(2), ThreadPool(5)};
Error error;
void* no_scratch(void*, size_t) { return nullptr; }  // these ops must need none
ExecContext context(int pool) { return {&pools[pool], &error, no_scratch, nullptr, {}}; }

// Memory with 64 guard bytes on both sides.
struct Guarded {
  std::vector<unsigned char> bytes;
  size_t n;
  explicit Guarded(size_t size) : bytes(size + 128, 0xA5), n(size) {}
  void* data() { return bytes.data() + 64; }
  bool intact() const {
    for (size_t i = 0; i < 64; ++i)
      if (bytes[i] != 0xA5 || bytes[64 + n + i] != 0xA5) return false;
    return true;
  }
};

int64_t offset(const TensorView& x, int64_t i) {
  int64_t sum = 0;
  for (int k = x.shape.ndim - 1; k >= 0; --k) {
    sum += i % x.shape[k] * x.strides[k];
    i /= x.shape[k];
  }
  return sum;
}
const char* element(const TensorView& x, int64_t i) {
  return static_cast<const char*>(x.data) + offset(x, i) * static_cast<int64_t>(size_of(x.dtype));
}
std::vector<char> reference(const TensorView& x) {
  const size_t bytes = size_of(x.dtype);
  std::vector<char> out(static_cast<size_t>(x.shape.count()) * bytes);
  for (int64_t i = 0; i < x.shape.count(); ++i)
    memcpy(&out[static_cast<size_t>(i) * bytes], element(x, i), bytes);
  return out;
}

struct Tensor {
  TensorView view;
  std::vector<double> memory;  // double: aligned for every dtype
};
void allocate(Tensor* t, int64_t elements) {
  t->memory.resize(static_cast<size_t>(elements) * size_of(t->view.dtype) / 8 + 1);
  auto* bytes = reinterpret_cast<unsigned char*>(t->memory.data());
  for (size_t i = 0; i < t->memory.size() * 8; ++i)
    bytes[i] = static_cast<unsigned char>(next() >> 20);
  t->view.data = t->memory.data();
}
// A view of the shape: axes permuted in memory, some with stride 0, some sliced with a step.
Tensor make(DType dtype, const Shape& shape, int kind = 2) {
  Tensor t;
  t.view.dtype = dtype;
  t.view.shape = shape;
  int order[kMaxDims];
  for (int i = 0; i < shape.ndim; ++i) order[i] = i;
  for (int i = shape.ndim - 1; i > 0 && kind > 0; --i) {
    const int j = static_cast<int>(pick(0, i)), o = order[i];
    order[i] = order[j], order[j] = o;
  }
  int64_t size = 1;
  for (int k = shape.ndim - 1; k >= 0; --k) {
    const int i = order[k];
    if (kind > 1 && pick(0, 3) == 0) {
      t.view.strides[i] = 0;
      continue;
    }
    if (kind > 1 && pick(0, 3) == 0) size *= pick(1, 3);
    t.view.strides[i] = size;
    size *= shape[i] > 0 ? shape[i] + (kind > 1 ? pick(0, 1) : 0) : 1;
  }
  allocate(&t, size);
  return t;
}
Shape random_shape(int64_t limit) {
  Shape s;
  const int n = static_cast<int>(pick(0, 8));
  int64_t count = 1;
  for (int i = 0; i < n; ++i) {
    const int64_t most = limit / count;
    const int64_t d = pick(0, 30) == 0  ? 0
                      : pick(0, 4) == 0 ? 1
                                        : pick(1, most < 2     ? 1
                                                  : pick(0, 2) ? (most < 9 ? most : 9)
                                                               : most);
    s.push(d);
    if (d > 0) count *= d;
  }
  return s;
}
DType random_dtype() { return static_cast<DType>(pick(0, 3)); }

void check_copies(const Tensor& t, long long id) {
  const TensorView& x = t.view;
  const size_t bytes = size_of(x.dtype);
  const std::vector<char> want = reference(x);
  for (int p = 0; p < 3; ++p) {
    Guarded out(want.size());
    cpu::copy_strided(pools[p], x, out.data());
    check(same(out.data(), want.data(), want.size()), "copy_strided", id * 10 + p);
    check(out.intact(), "copy_strided keeps to its bytes", id * 10 + p);
  }
  const cpu::GatherPlan plan(x);
  const int64_t count = x.shape.count();
  for (int k = 0; k < 6; ++k) {
    const int64_t begin = k == 0 ? 0 : pick(0, count),
                  n = k == 0 ? count : pick(0, count - begin < 1024 ? count - begin : 1024);
    Guarded out(static_cast<size_t>(n) * bytes);
    plan.gather(begin, n, out.data());
    check(same(out.data(), want.data() + static_cast<size_t>(begin) * bytes, out.n), "gather", id);
    check(out.intact(), "gather keeps to its bytes", id);
    check(!plan.scattered() || !plan.direct(0), "scattered or direct", id);
    if (const void* d = plan.direct(begin))
      check(same(d, want.data() + static_cast<size_t>(begin) * bytes, out.n), "direct", id);
  }
}

Shape shape_of(std::initializer_list<int64_t> sizes) {
  Shape s;
  for (int64_t d : sizes) s.push(d);
  return s;
}

void copies() {
  for (int i = 0; i < 3000 / thinning; ++i)
    check_copies(make(random_dtype(), random_shape(2000), i % 3), i);
  // Large enough for threads: plain, transposed (odd and 4 KiB-aliased), batched permutations,
  // broadcasts.
  const int64_t cases[][8] = {{1, 300000, 1, 0, 1},    {2, 1000, 701, 1, 1000},
                              {2, 1024, 512, 1, 1024}, {2, 100003, 3, 1, 100003},
                              {2, 3, 100003, 1, 3},    {2, 100000, 3, 1, 0},
                              {2, 100000, 3, 0, 1},    {2, 5, 70000, 0, 1},
                              {2, 70000, 17, 1, 0},    {2, 900, 300, 600, 2}};
  int id = 10000;
  for (const auto& c : cases)
    for (DType dtype : {DType::boolean, DType::float32, DType::float64}) {
      Tensor t;
      t.view.dtype = dtype;
      int64_t last = 1;
      for (int k = 0; k < c[0]; ++k) {
        t.view.shape.push(c[1 + k]);
        t.view.strides[k] = c[1 + c[0] + k];
        last += (c[1 + k] - 1) * t.view.strides[k];
      }
      if (c[0] == 1) t.view.strides[0] = 1, last = c[1];
      allocate(&t, last);
      check_copies(t, id++);
    }
  for (int i = 0; i < 30; ++i)
    check_copies(
        make(random_dtype(), shape_of({pick(1, 5), pick(1, 70), pick(1, 40), pick(1, 40)}), 1),
        20000 + i);
}

OpCall call_of(Op op, const TensorView* in, int n, DType dtype, const Shape& shape, Guarded& out) {
  OpCall call{op, in, n, {}, {}};
  call.out.dtype = dtype;
  call.out.shape = shape;
  call.out.data = out.data();
  contiguous_strides(shape, call.out.strides);
  return call;
}
size_t bytes_of(DType dtype, const Shape& shape) {
  return static_cast<size_t>(shape.count()) * size_of(dtype);
}

double value(DType t, const char* p) {
  float f;
  double d;
  int32_t i;
  switch (t) {
    case DType::float32:
      return memcpy(&f, p, 4), f;
    case DType::float64:
      return memcpy(&d, p, 8), d;
    case DType::int32:
      return memcpy(&i, p, 4), i;
    default:
      return *p != 0;
  }
}
void put(DType t, char* p, double v) {
  const float f = static_cast<float>(v);
  const int32_t i = v != v               ? 0
                    : v >= 2147483647.0  ? INT32_MAX
                    : v <= -2147483648.0 ? INT32_MIN
                                         : static_cast<int32_t>(trunc(v));
  switch (t) {
    case DType::float32:
      memcpy(p, &f, 4);
      break;
    case DType::float64:
      memcpy(p, &v, 8);
      break;
    case DType::int32:
      memcpy(p, &i, 4);
      break;
    default:
      *p = v != 0;
  }
}

void casts() {
  const double special[] = {0.0,           -0.0,          0.5,          -0.5,         0.99,
                            -1.9,          2.5,           NAN,          INFINITY,     -INFINITY,
                            2147483647.0,  2147483646.9,  2147483648.0, 2147483904.0, -2147483648.0,
                            -2147483648.9, -2147483649.0, 1e300,        -1e300,       1e-40,
                            16777217.0,    1 + 0x1p-24,   5e-324,       3e9};
  for (int a = 0; a < 4; ++a)
    for (int b = 0; b < 4; ++b)
      for (int64_t n : {0, 1, 5, 24, 1023, 3000, 200001}) {
        const DType from = static_cast<DType>(a), to = static_cast<DType>(b);
        for (int kind = 0; kind < 2; ++kind) {
          Tensor t;
          t.view.dtype = from;
          t.view.shape = shape_of({n});
          t.view.strides[0] = 1 + kind;
          allocate(&t, 2 * n + 1);
          for (int64_t i = 0; i < n; ++i) {
            const double v = i < 24 ? special[i] : static_cast<double>(pick(-1000000, 1000000)) / 7;
            put(from, const_cast<char*>(element(t.view, i)), v);
          }
          Guarded out(static_cast<size_t>(n) * size_of(to)), want(out.n);
          for (int64_t i = 0; i < n; ++i)
            put(to, static_cast<char*>(want.data()) + static_cast<size_t>(i) * size_of(to),
                value(from, element(t.view, i)));
          ExecContext ctx = context(n % 3);
          OpCall call = call_of(op_cast, &t.view, 1, to, t.view.shape, out);
          check(cpu::run_cast(&ctx, call) == Status::ok && same(out.data(), want.data(), out.n),
                "cast", a * 1000 + b * 100 + n);
          check(out.intact() && ctx.trace.variant, "cast keeps to its bytes");
        }
      }
}

void concats_and_pads() {
  for (int i = 0; i < 1500 / thinning; ++i) {
    const DType dtype = random_dtype();
    const size_t bytes = size_of(dtype);
    Shape shape = random_shape(i % 50 == 0 ? 300000 : 600);
    if (shape.ndim == 0) shape.push(3);
    const int axis = static_cast<int>(pick(0, shape.ndim - 1)), n = static_cast<int>(pick(1, 4));
    Tensor parts[4];
    TensorView views[4];
    Shape joined = shape;
    joined[axis] = 0;
    for (int k = 0; k < n; ++k) {
      Shape s = shape;
      s[axis] = pick(0, shape[axis]);
      joined[axis] += s[axis];
      parts[k] = make(dtype, s, static_cast<int>(pick(0, 2)));
      views[k] = parts[k].view;
    }
    Guarded out(bytes_of(dtype, joined));
    ExecContext ctx = context(i % 3);
    OpCall call = call_of(op_concat, views, n, dtype, joined, out);
    call.attrs.axis = axis;
    bool ok = cpu::run_concat(&ctx, call) == Status::ok;
    for (int64_t e = 0; e < joined.count(); ++e) {
      int64_t inner = 1;
      for (int k = axis + 1; k < joined.ndim; ++k) inner *= joined[k];
      int64_t at = e / inner % joined[axis], k = 0;
      while (at >= views[k].shape[axis]) at -= views[k++].shape[axis];
      const int64_t source =
          (e / inner / joined[axis] * views[k].shape[axis] + at) * inner + e % inner;
      ok = ok && same(static_cast<char*>(out.data()) + static_cast<size_t>(e) * bytes,
                      element(views[k], source), bytes);
    }
    check(ok && out.intact(), "concat", i);

    const TensorView& x = views[0];
    Shape padded = x.shape;
    Attrs attrs;
    int64_t count = 1;
    for (int k = 0; k < x.shape.ndim; ++k) {
      for (int side = 0; side < 2; ++side)
        padded[k] += attrs.pads[2 * k + side] = count < 100000 ? pick(0, 2) : 0;
      count *= padded[k];
    }
    attrs.p[0] = static_cast<double>(pick(-3, 3));
    Guarded out2(bytes_of(dtype, padded)), fill(bytes);
    put(dtype, static_cast<char*>(fill.data()), attrs.p[0]);
    call = call_of(op_pad, views, 1, dtype, padded, out2);
    call.attrs = attrs;
    ok = cpu::run_pad(&ctx, call) == Status::ok;
    for (int64_t e = 0; e < padded.count(); ++e) {
      int64_t rest = e, source = 0;
      bool inside = true;
      for (int k = padded.ndim - 1; k >= 0; --k) {
        const int64_t at = rest % padded[k] - attrs.pads[2 * k];
        rest /= padded[k];
        inside = inside && at >= 0 && at < x.shape[k];
        source += at * x.strides[k];
      }
      const char* want =
          inside ? static_cast<const char*>(x.data) + source * static_cast<int64_t>(bytes)
                 : static_cast<char*>(fill.data());
      ok =
          ok && same(static_cast<char*>(out2.data()) + static_cast<size_t>(e) * bytes, want, bytes);
    }
    check(ok && out2.intact(), "pad", i);
  }
}

void selections() {
  for (int i = 0; i < 1500 / thinning; ++i) {
    const DType dtype = random_dtype();
    const size_t bytes = size_of(dtype);
    Shape shape = random_shape(i % 40 == 0 ? 200000 : 500);
    if (shape.ndim == 0) shape.push(4);
    const int axis = static_cast<int>(pick(0, shape.ndim - 1));
    if (shape[axis] == 0) shape[axis] = 2;
    const int64_t size = shape[axis], m = pick(0, 3) == 0 ? pick(0, 1) : pick(0, 40);
    Tensor x = make(dtype, shape, static_cast<int>(pick(0, 2))),
           index = make(DType::int32, shape_of({m}), 0);
    index.view.strides[0] = i % 5 == 0 ? 0 : 1;
    auto* at = static_cast<int32_t*>(index.view.data);
    for (int64_t k = 0; k < m; ++k) at[k] = static_cast<int32_t>(pick(0, size - 1));
    TensorView in[2] = {x.view, index.view};
    Shape picked = shape;
    picked[axis] = m;
    int64_t inner = 1;
    for (int k = axis + 1; k < shape.ndim; ++k) inner *= shape[k];
    Guarded out(bytes_of(dtype, picked));
    ExecContext ctx = context(i % 3);
    OpCall call = call_of(op_indexSelect, in, 2, dtype, picked, out);
    call.attrs.axis = axis;
    bool ok = cpu::run_index_select(&ctx, call) == Status::ok;
    for (int64_t e = 0; e < picked.count(); ++e) {
      const int64_t slot = index.view.strides[0] * (e / inner % m);
      const int64_t source = (e / inner / m * size + at[slot]) * inner + e % inner;
      ok = ok && same(static_cast<char*>(out.data()) + static_cast<size_t>(e) * bytes,
                      element(x.view, source), bytes);
    }
    check(ok && out.intact(), "indexSelect", i);

    // The adjoint, on the same layout: g has m slices. Small integers: sums are exact in any order.
    const DType real = i % 2 ? DType::float32 : DType::float64;
    Tensor g = make(real, picked, static_cast<int>(pick(0, 2)));
    for (int64_t e = 0; e < picked.count(); ++e)
      put(real, const_cast<char*>(element(g.view, e)), static_cast<double>(e % 17 - 8));
    TensorView pair[2] = {g.view, index.view};
    std::vector<double> want(static_cast<size_t>(shape.count()));
    for (int64_t e = 0; e < picked.count(); ++e) {
      const int64_t slot = index.view.strides[0] * (e / inner % m);
      want[static_cast<size_t>((e / inner / m * size + at[slot]) * inner + e % inner)] +=
          value(real, element(g.view, e));
    }
    Guarded sums(bytes_of(real, shape));
    call = call_of(op_indexAdd, pair, 2, real, shape, sums);
    call.attrs.axis = axis;
    ok = cpu::run_index_add(&ctx, call) == Status::ok;
    for (size_t e = 0; e < want.size(); ++e)
      ok = ok && value(real, static_cast<char*>(sums.data()) + e * size_of(real)) == want[e];
    check(ok && sums.intact(), "indexAdd", i);
  }
}

// Random floats, so that another order of additions would show; many collisions.
void deterministic_sums() {
  Tensor g = make(DType::float32, shape_of({5000, 33}), 0),
         index = make(DType::int32, shape_of({5000}), 0);
  auto* x = static_cast<float*>(g.view.data);
  for (int64_t i = 0; i < 5000 * 33; ++i)
    x[i] = static_cast<float>(pick(-1000000, 1000000)) * 1e-5f;
  std::vector<float> want(40 * 33);
  for (int64_t i = 0; i < 5000; ++i) {
    const int64_t row = pick(0, 39);
    static_cast<int32_t*>(index.view.data)[i] = static_cast<int32_t>(row);
    for (int64_t k = 0; k < 33; ++k) want[static_cast<size_t>(row * 33 + k)] += x[i * 33 + k];
  }
  TensorView in[2] = {g.view, index.view};
  for (int p = 0; p < 3; ++p) {
    Guarded out(want.size() * 4);
    ExecContext ctx = context(p);
    OpCall call = call_of(op_indexAdd, in, 2, DType::float32, shape_of({40, 33}), out);
    check(cpu::run_index_add(&ctx, call) == Status::ok && same(out.data(), want.data(), out.n),
          "indexAdd adds in index order", p);
  }
}

void bad_indices() {
  Tensor x = make(DType::float32, shape_of({5, 2}), 0),
         index = make(DType::int32, shape_of({3}), 0);
  for (int32_t bad : {9, 5, -1, INT32_MIN, INT32_MAX}) {
    const int32_t list[3] = {0, 4, bad};
    memcpy(index.view.data, list, sizeof list);
    TensorView in[2] = {x.view, index.view};
    Guarded out(24), untouched(24);
    ExecContext ctx = context(1);
    OpCall call = call_of(op_indexSelect, in, 2, DType::float32, shape_of({3, 2}), out);
    char want[200];
    check(cpu::run_index_select(&ctx, call) == Status::range_error, "a bad index is refused", bad);
    snprintf(want, sizeof want, "indexSelect: index[2] is %d, but axis 0 has size 5", bad);
    check(strcmp(error.message(), want) == 0, error.message(), bad);
    check(out.bytes == untouched.bytes, "nothing is written before the check", bad);
    Tensor g = make(DType::float32, shape_of({3, 2}), 0);
    TensorView pair[2] = {g.view, index.view};
    Guarded sums(40), still(40);
    call = call_of(op_indexAdd, pair, 2, DType::float32, shape_of({5, 2}), sums);
    check(cpu::run_index_add(&ctx, call) == Status::range_error && sums.bytes == still.bytes,
          "indexAdd refuses it too", bad);
  }
}

void constants() {
  for (int64_t n : {0, 1, 7, 1000, 300001})
    for (int d = 0; d < 4; ++d) {
      const DType dtype = static_cast<DType>(d);
      const size_t bytes = size_of(dtype);
      for (double v : {0.0, 2.75, -7.0, 3e9, static_cast<double>(NAN)}) {
        Guarded full(static_cast<size_t>(n) * bytes), range(full.n), want(bytes);
        ExecContext ctx = context(static_cast<int>(n % 3));
        OpCall call = call_of(op_full, nullptr, 0, dtype, shape_of({n}), full);
        call.attrs.p[0] = v;
        bool ok = cpu::run_full(&ctx, call) == Status::ok;
        put(dtype, static_cast<char*>(want.data()), v);
        for (int64_t i = 0; i < n; ++i)
          ok = ok && same(static_cast<char*>(full.data()) + static_cast<size_t>(i) * bytes,
                          want.data(), bytes);
        check(ok && full.intact(), "full", n * 10 + d);
        call = call_of(op_arange, nullptr, 0, dtype, shape_of({n}), range);
        call.attrs.p[0] = v, call.attrs.p[1] = -0.3;
        ok = cpu::run_arange(&ctx, call) == Status::ok;
        for (int64_t i = 0; i < n; ++i) {
          put(dtype, static_cast<char*>(want.data()), v + static_cast<double>(i) * -0.3);
          ok = ok && same(static_cast<char*>(range.data()) + static_cast<size_t>(i) * bytes,
                          want.data(), bytes);
        }
        check(ok && range.intact(), "arange", n * 10 + d);
      }
    }
  for (int d = 0; d < 4; ++d)
    for (const Shape& s : {shape_of({0, 3}), shape_of({3, 0}), shape_of({1, 1}), shape_of({4, 7}),
                           shape_of({7, 4}), shape_of({600, 601})}) {
      const DType dtype = static_cast<DType>(d);
      Guarded out(bytes_of(dtype, s));
      ExecContext ctx = context(2);
      OpCall call = call_of(op_eye, nullptr, 0, dtype, s, out);
      bool ok = cpu::run_eye(&ctx, call) == Status::ok;
      for (int64_t i = 0; i < s.count(); ++i)
        ok = ok &&
             value(dtype, static_cast<char*>(out.data()) +
                              static_cast<size_t>(i) * size_of(dtype)) == (i / s[1] == i % s[1]);
      check(ok && out.intact(), "eye", d);
    }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) thinning = std::max(1, atoi(argv[1]));
  copies();
  casts();
  concats_and_pads();
  selections();
  deterministic_sums();
  bad_indices();
  constants();
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
