// Clone and cast: every pair of dtypes, from every kind of layout.
#include <math.h>
#include <string.h>

#include "cases.h"

namespace tg::test {

namespace {

constexpr Tolerance kBits{-1};  // equal, for bfloat16 too
constexpr DType kAll[] = {DType::float32, DType::float64, DType::int32, DType::boolean,
                          DType::bfloat16};

// Clones and casts; the cast is to run as `variant`, if one is named.
void copy(Harness& h, Value& x, DType to, const char* variant = nullptr) {
  if (to == x.view.dtype) h.compare(op_clone, {&x}, {}, kBits);
  if (!h.compare(op_cast, {&x}, {static_cast<double>(to)}, kBits) || !variant) return;
  char shape[kShapeText];
  h.check(!strcmp(h.cuda.trace.variant, variant), "a copy of %s %s ran as '%s', not as '%s'",
          name_of(x.view.dtype), print(x.view.shape, shape), h.cuda.trace.variant, variant);
}

void layouts(Harness& h, DType from, DType to) {
  for (int dims = 0; dims <= 5; ++dims)
    for (const Layout layout : {Layout::contiguous, Layout::permuted, Layout::any}) {
      Value x = h.random(from, h.random_shape(dims, 3000), layout, -300, 300);
      copy(h, x, to);
    }
  for (const int64_t n : {0, 1, 2, 15, 16, 17, 5000}) {
    Value x = h.random(from, shape_of({n}), Layout::contiguous, -3, 3);
    copy(h, x, to, n == 0 ? "" : "contiguous");
    if (n < 2) continue;
    x.view.data = static_cast<char*>(x.view.data) + size_of(from);  // not aligned
    --x.view.shape[0];
    copy(h, x, to, n > 2 ? "strided" : nullptr);
  }
  Value empty = h.random(from, shape_of({3, 0, 2}));
  copy(h, empty, to);
}

// Transposed planes, alone and in a stack, with sides that tiles do not divide.
void planes(Harness& h, DType from, DType to) {
  const bool turned =
      from == to || (from != DType::float64 && to != DType::float64 &&
                     size_of(from) + size_of(to) == 6 && is_float(from) && is_float(to));
  for (const auto& sizes : {shape_of({70, 130}), shape_of({16, 33}), shape_of({3, 65, 64}),
                            shape_of({64, 2, 3, 129})}) {
    Value x = h.random(from, sizes, Layout::contiguous, -300, 300);
    const int last = sizes.ndim - 1, first = sizes.ndim == 4 ? 0 : last - 1;
    std::swap(x.view.shape[first], x.view.shape[last]);
    std::swap(x.view.strides[first], x.view.strides[last]);
    copy(h, x, to, turned ? "turned" : "strided");
    for (int i = 0; i < sizes.ndim; ++i) {  // backwards
      x.view.data = static_cast<char*>(x.view.data) +
                    (x.view.shape[i] - 1) * x.view.strides[i] * static_cast<int64_t>(size_of(from));
      x.view.strides[i] = -x.view.strides[i];
    }
    copy(h, x, to);
  }
}

// Rows that lie in order, with gaps between them.
void rows(Harness& h, DType dtype) {
  Value x = h.random(dtype, shape_of({7, 5, 32}));
  x.view.shape[1] = 3;
  copy(h, x, dtype, "rows");
  x.view.shape[2] = 31;
  copy(h, x, dtype, "strided");
}

void numbers(Harness& h, DType from, DType to) {
  const double values[] = {0,
                           -0.0,
                           0.5,
                           -0.5,
                           0.999999,
                           -1.999,
                           1e9,
                           2147483646.9,
                           2147483647,
                           2147483648,
                           -2147483648.0,
                           -2147483649,
                           1e20,
                           -1e20,
                           1e300,
                           -1e300,
                           INFINITY,
                           -INFINITY,
                           NAN,
                           1.00390625,
                           1.01171875,
                           1.0000001,
                           1 + 0x1p-8 + 0x1p-30,
                           1 + 0x1p-8 - 0x1p-30,
                           3.4e38,
                           3.4028236e38,
                           16777217,
                           -33554435};
  const int n = sizeof values / sizeof *values;
  Value x = h.random(from, shape_of({n}));
  for (int i = 0; i < n; ++i)
    if (from != DType::int32)
      x.set(i, values[i]);
    else if (fabs(values[i]) < 2147483648.0)
      x.set(i, values[i]);
  copy(h, x, to);
  x.view.shape[0] = n / 2;
  x.view.strides[0] = 2;
  copy(h, x, to);
}

// Bytes from and to any address; none while a fault is unheard of.
void assignments(Harness& h) {
  for (const int64_t bytes : {0, 1, 3, 4, 64, 100, 16000, 300001})
    for (const int64_t skip : {0, 1, 4, 16}) {
      const auto some = [&] {
        Value value = h.random(DType::int32, shape_of({(bytes + skip) / 4 + 1}), Layout::contiguous,
                               -1e9, 1e9);
        return value;
      };
      Value to = some(), from = some();
      const auto assign = [&](const Backend& b, ExecContext* ctx, const TensorView* views) {
        return b.assign(ctx, static_cast<char*>(views[0].data) + skip, views[1].data,
                        static_cast<size_t>(bytes));
      };
      h.compare_memory("assign", {&to, &from}, kBits, assign);
      Value kept = to;
      kept.view.data = kept.memory.data();
      const Harness::Mirror target = h.upload(to), source = h.upload(from);
      const TensorView views[] = {target.view, source.view};
      h.expect_notes();
      const uint32_t fault = 1;
      h.library.upload(h.device, &h.error, h.cuda.faults.any, &fault, sizeof fault);
      const Status status = assign(*h.library.backend, &h.cuda, views);
      (void)h.notes();
      h.download(target, &kept);
      h.check(status == Status::ok && memcmp(kept.memory.data(), to.memory.data(), to.bytes()) == 0,
              "an assignment after a fault");
      for (const Harness::Mirror& m : {target, source}) h.drop(m);
    }
}

}  // namespace

void copy_cases(Harness& h) {
  assignments(h);
  for (const DType from : kAll) {
    rows(h, from);
    for (const DType to : kAll) {
      layouts(h, from, to);
      planes(h, from, to);
      numbers(h, from, to);
    }
  }
}

}  // namespace tg::test
