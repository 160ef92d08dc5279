// Tests of the CUDA library's matrix products against sums in double: shapes around the tiles'
// sizes, any strides, batches of batches, sums divided among blocks, epilogues (activations, their
// gradients, sums of columns, which are looked at for the C that was got), and bounds (on the
// emulated device every operand ends or begins at an unmapped page; compiled by nvcc, the test runs
// on a real one, where memory around C is looked at). Argument: thinning (default 1).
#include <cuda_runtime.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "../cuda/device.h"
#include "../cuda/gemm.h"

namespace tg::cuda {

// library.cu's, which needs all kernels.
Status failed(Error* error, const char* what, cudaError_t code) {
  return error->set(Status::device, "%s: %s", what, cudaGetErrorString(code));
}

}  // namespace tg::cuda

namespace {

using tg::DType;
using tg::Status;
using tg::cuda::GemmCall;
using tg::cuda::GemmEpilogue;

int64_t passed = 0, failures = 0;
std::map<std::string, int64_t> seen;  // kernels, and how often each ran

uint64_t state = 1;
int64_t below(int64_t n) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<int64_t>((state >> 33) % static_cast<uint64_t>(n));
}
bool one_in(int64_t n) { return below(n) == 0; }

// Memory for host and device, between two unmapped pages if the device is emulated; place() gives
// room at its end or start.
class Region {
 public:
  static constexpr size_t kBytes = size_t{64} << 20;
#if defined(TG_CUDA_EMULATION)
  Region() {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void* p = mmap(nullptr, kBytes + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   -1, 0);
    if (p == MAP_FAILED) _exit(3);
    base_ = static_cast<char*>(p) + page;
    mprotect(p, page, PROT_NONE);
    mprotect(base_ + kBytes, page, PROT_NONE);
  }
#else
  Region() {
    // The host's, which the device reads over the bus.
    void* p;
    if (cudaMallocHost(&p, kBytes) != cudaSuccess) _exit(3);
    base_ = static_cast<char*>(p);
  }
#endif
  char* place(int64_t elements, DType dtype, bool at_end) {
    const size_t bytes = static_cast<size_t>(elements) * size_of(dtype);
    if (bytes > kBytes) _exit(4);
    return at_end ? base_ + kBytes - bytes : base_;
  }

 private:
  char* base_;
};

double get(const char* from, DType dtype, int64_t i) {
  if (dtype == DType::float64) return reinterpret_cast<const double*>(from)[i];
  if (dtype == DType::float32) return reinterpret_cast<const float*>(from)[i];
  const uint32_t wide = static_cast<uint32_t>(reinterpret_cast<const uint16_t*>(from)[i]) << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}
// Rounded to 11 significant bits, ties away from zero.
double rounded_to_tf32(double x) {
  int exponent;
  const double fraction = frexp(x, &exponent);
  return ldexp(round(ldexp(fraction, 11)), exponent - 11);
}
// Values are multiples of 1/64 below 2: every dtype has them.
void put(char* to, DType dtype, int64_t i, double value) {
  const float single = static_cast<float>(value);
  uint32_t bits;
  memcpy(&bits, &single, sizeof bits);
  if (dtype == DType::float64)
    reinterpret_cast<double*>(to)[i] = value;
  else if (dtype == DType::float32)
    reinterpret_cast<float*>(to)[i] = single;
  else
    reinterpret_cast<uint16_t*>(to)[i] = static_cast<uint16_t>(bits >> 16);
}
double some_value() { return static_cast<double>(below(255) - 127) / 64; }
// What tf32 has to round.
double some_long_value() {
  return some_value() + static_cast<double>(below(8191) - 4095) * 0x1p-18;
}

// An operand [outer, batch, rows, columns]: its strides, the elements it spans, its first one.
struct Layout {
  int64_t row, column, batch, outer, span, first;
};

// `aligned`: rows, columns and matrices begin at multiples of 16 elements.
Layout lay_out(int64_t rows, int64_t columns, int64_t batch, int64_t outer, bool is_result,
               bool aligned) {
  Layout l = {};
  const auto rounded = [&](int64_t stride) { return aligned ? (stride + 15) / 16 * 16 : stride; };
  const int64_t pad = one_in(3) ? below(9) : one_in(3) ? 8 * below(2) : 0;
  const int kind = is_result ? 0 : static_cast<int>(below(8));
  if (kind < 4) {  // rows
    l.column = 1, l.row = rounded(columns + pad);
  } else if (kind < 7) {  // columns
    l.row = 1, l.column = rounded(rows + pad);
  } else {
    l.column = 2, l.row = 2 * columns + pad;
  }
  int64_t span = (rows - 1) * l.row + (columns - 1) * l.column + 1;
  if (one_in(2)) span = kind < 4 ? rows * l.row : kind < 7 ? columns * l.column : span;
  const auto stack = [&](int64_t count) -> int64_t {
    if (count > 1 && !is_result && one_in(3)) return 0;  // broadcast
    const int64_t stride = rounded(span + (one_in(2) ? below(3) : 0));
    span += (count - 1) * stride;
    return stride;
  };
  l.batch = stack(batch);
  l.outer = stack(outer);
  if (!is_result && one_in(12)) {  // backwards
    l.first = (rows - 1) * l.row;
    l.row = -l.row;
  }
  l.span = span;
  return l;
}

constexpr tg::Op kActivations[] = {
#define TG_ACTIVATION(name) tg::op_##name, tg::op_##name##_dx,
    TG_GEMM_ACTIVATIONS(TG_ACTIVATION)
#undef TG_ACTIVATION
};
// `kept`: the operand of the activation that op is the gradient of, or its result.
double activated(tg::Op op, double x, double kept, double slope) {
  const double logistic = 1 / (1 + exp(-kept)), square = kept * kept;
  const double inner = kept * (0.7978845608028654 + 0.035677408136300125 * square);
  switch (op) {
    case tg::op_relu_dx:
      return kept > 0 ? x : 0;
    case tg::op_leakyRelu_dx:
      return kept > 0 ? x : slope * x;
    case tg::op_sigmoid_dx:
      return x * kept * (1 - kept);
    case tg::op_tanh_dx:
      return x * (1 - square);
    case tg::op_silu_dx:
      return x * logistic * (1 + kept - kept * logistic);
    case tg::op_geluErf_dx:
      return x *
             (0.5 * (1 + erf(kept / sqrt(2.0))) + kept * exp(-0.5 * square) / 2.5066282746310002);
    case tg::op_geluTanh_dx:
      return x *
             (0.5 * (1 + tanh(inner)) + 0.5 * kept * (1 - tanh(inner) * tanh(inner)) *
                                            (0.7978845608028654 + 0.10703222440890037 * square));
    case tg::op_relu:
      return x < 0 ? 0 : x;
    case tg::op_leakyRelu:
      return x < 0 ? slope * x : x;
    case tg::op_sigmoid:
      return 1 / (1 + exp(-x));
    case tg::op_tanh:
      return tanh(x);
    case tg::op_silu:
      return x / (1 + exp(-x));
    case tg::op_geluErf:
      return 0.5 * x * (1 + erf(x / sqrt(2.0)));
    case tg::op_geluTanh:
      return 0.5 * x * (1 + tanh(x * (0.7978845608028654 + 0.035677408136300125 * x * x)));
    default:
      return NAN;
  }
}

struct Run {
  tg::Device device;
  tg::Error error;
  tg::ExecContext ctx;
};
Run* run;
Region *memory_a, *memory_b, *memory_c, *memory_bias, *memory_residual, *memory_scratch;
Region *memory_kept, *memory_before, *memory_sums;

struct Kind {
  const char* name;
  Status (*run)(tg::ExecContext*, const GemmCall&);
  size_t (*scratch_bytes)(const tg::Device&, const GemmCall&);
  bool (*sums_columns)(const tg::Device&, const GemmCall&);
};
constexpr Kind kSimt{"simt", tg::cuda::gemm_simt, tg::cuda::gemm_simt_scratch_bytes,
                     tg::cuda::gemm_simt_sums_columns};
constexpr Kind kMma{"mma", tg::cuda::gemm_mma, tg::cuda::gemm_mma_scratch_bytes,
                    tg::cuda::gemm_mma_sums_columns};
constexpr Kind kSkinny{"skinny", tg::cuda::gemm_skinny, tg::cuda::gemm_skinny_scratch_bytes,
                       [](const tg::Device&, const GemmCall&) { return false; }};

void fill(char* to, DType dtype, int64_t count) {
  for (int64_t i = 0; i < count; ++i) put(to, dtype, i, some_value());
}

// Whether the sums of C's columns are those of `c`, as it lies in memory.
bool sums_are_right(const GemmCall& call, const char* c, double unit) {
  const char* const sums = static_cast<const char*>(call.epilogue.column_sums);
  for (int64_t j = 0; j < call.n; ++j) {
    double sum = 0, size = 0;
    for (int64_t i = 0; i < call.m; ++i) {
      const double value = get(c, call.out, i * call.c_row + j);
      sum += value;
      size += fabs(value);
    }
    // A few are added in float at a time, and the rest in double.
    double allowed = 32 * unit * size + unit * fabs(sum);
    if (call.out == DType::bfloat16) allowed += 0x1p-8 * fabs(sum);
    if (!(fabs(get(sums, call.out, j) - sum) <= allowed)) return false;
  }
  return true;
}

void test(const Kind& kind, DType in, DType out, int64_t m, int64_t n, int64_t k, int64_t batch,
          int64_t outer, bool tf32 = false) {
  const char* const name = kind.name;
  const bool aligned = one_in(2), at_end = !aligned && one_in(2);
  GemmCall call = {};
  call.m = m, call.n = n, call.k = k, call.batch = batch, call.outer = outer;
  call.in = in, call.out = out, call.tf32 = tf32;
  const int64_t kk = k > 0 ? k : 1;
  const Layout a = lay_out(m, kk, batch, outer, false, aligned);
  const Layout b = lay_out(kk, n, batch, outer, false, aligned);
  const Layout c = lay_out(m, n, batch, outer, true, aligned);
  char* const data_a = memory_a->place(a.span, in, at_end);
  char* const data_b = memory_b->place(b.span, in, at_end);
  char* const data_c = memory_c->place(c.span, out, at_end);
  fill(data_a, in, a.span);
  fill(data_b, in, b.span);
  fill(data_c, out, c.span);
  if (tf32) {
    for (int64_t i = 0; i < a.span; ++i) put(data_a, in, i, some_long_value());
    for (int64_t i = 0; i < b.span; ++i) put(data_b, in, i, some_long_value());
  }
  const auto factor = [&](const char* from, int64_t i) {
    const double x = get(from, in, i);
    return tf32 ? rounded_to_tf32(x) : x;
  };
  call.a = data_a + a.first * static_cast<int64_t>(size_of(in));
  call.b = data_b + b.first * static_cast<int64_t>(size_of(in));
  call.c = data_c;
  call.a_row = a.row, call.a_column = a.column, call.a_batch = a.batch, call.a_outer = a.outer;
  call.b_row = b.row, call.b_column = b.column, call.b_batch = b.batch, call.b_outer = b.outer;
  call.c_row = c.row, call.c_batch = c.batch, call.c_outer = c.outer;

  GemmEpilogue& e = call.epilogue;
  if (one_in(4)) e.alpha = 0.5;
  e.accumulate = one_in(4);
  if (one_in(3)) {
    char* const bias = memory_bias->place(n, out, at_end);
    fill(bias, out, n);
    e.bias = bias;
  }
  if (one_in(4)) {
    char* const residual = memory_residual->place(c.span, out, at_end);
    fill(residual, out, c.span);
    e.residual = residual;
  }
  e.activated = one_in(2);
  e.activation = kActivations[below(sizeof kActivations / sizeof *kActivations)];
  e.p[0] = 0.125;
  if (e.activated && tg::cuda::gemm_fuses_gradient(e.activation)) {
    const bool in_place = !e.accumulate && one_in(3);
    char* const kept = memory_kept->place(c.span, out, at_end);
    fill(kept, out, c.span);
    e.kept = in_place ? data_c : kept;
  }
  if (e.activated && one_in(3)) {
    char* const x = memory_before->place(c.span, out, at_end);
    fill(x, out, c.span);
    e.before = x;
  }
  if (one_in(2) && kind.sums_columns(run->device, call))
    e.column_sums = memory_sums->place(n, out, at_end);

  const DType wide = in == DType::float64 ? DType::float64 : DType::float32;
  const size_t scratch = kind.scratch_bytes(run->device, call);
  const int64_t scratch_elements = static_cast<int64_t>(scratch / size_of(wide));
  if (scratch > 0) {
    // The emulated device's memory begins at multiples of 256; what lies behind is checked below.
    call.scratch = memory_scratch->place(scratch_elements, wide, false);
    memset(call.scratch, 0xff, scratch + 256);
  }

  const std::vector<char> before(data_c, data_c + static_cast<size_t>(c.span) * size_of(out));
  const char* const kept = e.kept == data_c ? before.data() : static_cast<const char*>(e.kept);
  char text[400];
  snprintf(text, sizeof text,
           "%s %s to %s, %lld x %lld x %lld (%lld, %lld), a by %lld %lld, b by %lld %lld, c by "
           "%lld, %d multiprocessors%s%s%s%s%s%s%s",
           name, name_of(in), name_of(out), static_cast<long long>(m), static_cast<long long>(n),
           static_cast<long long>(k), static_cast<long long>(batch), static_cast<long long>(outer),
           static_cast<long long>(a.row), static_cast<long long>(a.column),
           static_cast<long long>(b.row), static_cast<long long>(b.column),
           static_cast<long long>(c.row), run->device.multiprocessors,
           e.accumulate ? ", accumulating" : "", e.bias ? ", bias" : "",
           e.residual ? ", residual" : "", e.activated ? ", " : "",
           e.activated ? name_of(e.activation) : "", e.kept == data_c ? " in place" : "",
           e.before || e.column_sums ? (e.column_sums ? ", sums" : ", before") : "");
  const auto fail = [&](const char* what) {
    if (++failures <= 20) printf("FAILED: %s: %s\n", text, what);
  };
  if (kind.run(&run->ctx, call) != Status::ok ||
      cudaStreamSynchronize(run->device.stream) != cudaSuccess)
    return fail(run->error.message());
  const bool divided = scratch > 0 && !e.column_sums;
  ++seen[std::string(name) + ": " + run->ctx.trace.variant +
         (e.column_sums ? ", sums"
          : divided     ? ", split"
                        : "")];
  for (size_t i = 0; i < 256 && scratch > 0; ++i)
    if (static_cast<unsigned char*>(call.scratch)[scratch + i] != 0xff)
      return fail("writes behind its scratch");

  const double unit = in == DType::float64 ? 0x1p-53 : 0x1p-24;
  std::vector<bool> written(static_cast<size_t>(c.span));
  for (int64_t z = 0; z < outer * batch; ++z)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        const int64_t ia = a.first + z / batch * a.outer + z % batch * a.batch + i * a.row;
        const int64_t ib = b.first + z / batch * b.outer + z % batch * b.batch + j * b.column;
        const int64_t ic = z / batch * c.outer + z % batch * c.batch + i * c.row + j;
        double sum = 0, size = 0;
        for (int64_t l = 0; l < k; ++l) {
          const double term = factor(data_a, ia + l * a.column) * factor(data_b, ib + l * b.row);
          sum += term;
          size += fabs(term);
        }
        double x = e.alpha * sum;
        size *= e.alpha;
        const auto add = [&](double value) { x += value, size += fabs(value); };
        if (e.accumulate) add(get(before.data(), out, ic));
        if (e.bias) add(get(static_cast<const char*>(e.bias), out, j));
        double rounded = 0;
        if (e.activated) {
          rounded = fabs(x);  // before the activation, too
          if (e.before) {
            double allowed = 1.2 * (static_cast<double>(k) + 4) * unit * size;
            if (out == DType::bfloat16) allowed += 0x1p-8 * rounded + 1e-37;
            if (!(fabs(get(static_cast<const char*>(e.before), out, ic) - x) <= allowed))
              return fail("what comes before the activation is wrong");
          }
          const double at = kept ? get(kept, out, ic) : 0;
          x = activated(e.activation, x, at, e.p[0]);
          if (kept) {  // a multiple of what comes before
            const double slope = fabs(activated(e.activation, 1, at, e.p[0]));
            rounded *= slope;
            if (slope > 1) size *= slope;
          }
          size += 8 * fabs(x);  // other slopes are at most 1.2, errors of functions a few units
        }
        if (e.residual) add(get(static_cast<const char*>(e.residual), out, ic));
        written[static_cast<size_t>(ic)] = true;
        double allowed = 1.2 * (static_cast<double>(k) + 4) * unit * size;
        if (out == DType::bfloat16) allowed += 0x1p-8 * (fabs(x) + 1.2 * rounded) + 1e-37;
        const double got = get(data_c, out, ic);
        if (fabs(got - x) <= allowed) continue;  // false for NaN
        char wrong[160];
        snprintf(wrong, sizeof wrong, "[%lld, %lld, %lld] is %.9g, not %.9g (± %.3g)",
                 static_cast<long long>(z), static_cast<long long>(i), static_cast<long long>(j),
                 got, x, allowed);
        return fail(wrong);
      }
  const size_t bytes = size_of(out);
  for (int64_t i = 0; i < c.span; ++i)
    if (!written[static_cast<size_t>(i)] &&
        memcmp(data_c + static_cast<size_t>(i) * bytes, &before[static_cast<size_t>(i) * bytes],
               bytes) != 0)
      return fail("writes between the rows of C");
  if (e.column_sums) {
    if (!sums_are_right(call, data_c, unit)) return fail("sums of columns are wrong");
    for (int i = 0; i < tg::Device::kArrivals; ++i)
      if (run->device.arrivals[i] != 0) return fail("a counter is left behind");
  }
  ++passed;
}

void simt(DType dtype, int64_t m, int64_t n, int64_t k, int64_t batch = 1, int64_t outer = 1) {
  test(kSimt, dtype, dtype, m, n, k, batch, outer);
}
void mma(int64_t m, int64_t n, int64_t k, int64_t batch = 1, int64_t outer = 1) {
  test(kMma, DType::bfloat16, one_in(3) ? DType::float32 : DType::bfloat16, m, n, k, batch, outer);
}
void mma_tf32(int64_t m, int64_t n, int64_t k, int64_t batch = 1, int64_t outer = 1) {
  test(kMma, DType::float32, DType::float32, m, n, k, batch, outer, true);
}
void skinny(DType dtype, int64_t m, int64_t n, int64_t k, int64_t batch = 1, int64_t outer = 1) {
  const bool widens = dtype == DType::bfloat16 && one_in(3);
  test(kSkinny, dtype, widens ? DType::float32 : dtype, m, n, k, batch, outer);
}

constexpr DType kFloats[] = {DType::float32, DType::float64, DType::bfloat16};

// One size of a product: small, or about a tile's edge.
int64_t some_size() {
  if (one_in(3)) return (int64_t{32} << below(3)) * (1 + below(2)) + below(3) - 1;
  return 1 + below(67);
}

void random_cases(int64_t thinning) {
  for (int64_t i = 0; i < 700 / thinning; ++i) {
    run->device.multiprocessors = one_in(3) ? 1 : one_in(2) ? 8 : 132;
    const int64_t k = one_in(20) ? 0 : one_in(8) ? 200 + below(900) : some_size();
    const int64_t batch = one_in(4) ? 1 + below(3) : 1, outer = one_in(8) ? 2 : 1;
    int64_t m = some_size(), n = some_size();
    if (run->device.multiprocessors == 1 && one_in(3)) m += 128, n += 128;
    const int64_t thin = 1 + below(8), wide = one_in(4) ? below(700) + 1 : some_size();
    const DType dtype = kFloats[below(3)];
    if (dtype == DType::bfloat16)
      mma(m, n, k, batch, outer);
    else
      simt(dtype, m, n, k, batch, outer);
    if (dtype == DType::float32) mma_tf32(m, n, k, batch, outer);
    const int64_t long_k = one_in(3) ? 1000 + below(3000) : k;
    if (one_in(2))
      skinny(dtype, thin, wide, long_k, batch, outer);
    else
      skinny(dtype, wide, thin, long_k, batch, outer);
  }
  // More products than a grid's third dimension has blocks.
  run->device.multiprocessors = 132;
  skinny(DType::float32, 1, 2, 3, 66000);
  if (thinning > 1) return;
  simt(DType::float32, 9, 9, 2, 33000, 2);
  mma(9, 9, 2, 33000, 2);
  mma_tf32(9, 9, 2, 33000, 2);
}

// 0 * Inf and NaN reach C, and nothing else does.
void special_values() {
  enum { simt, bf16, tf32 };
  for (const auto kind : {simt, bf16, tf32}) {
    run->device.multiprocessors = 132;
    const DType dtype = kind == bf16 ? DType::bfloat16 : DType::float32;
    GemmCall call = {};
    call.tf32 = kind == tf32;
    call.m = 20, call.n = 33, call.k = 37, call.batch = 1;
    call.in = call.out = dtype;
    char* const a = memory_a->place(20 * 37, dtype, true);
    char* const b = memory_b->place(37 * 33, dtype, true);
    char* const c = memory_c->place(20 * 33, dtype, true);
    for (int64_t i = 0; i < 20 * 37; ++i) put(a, dtype, i, i / 37 == 3 ? 0 : 1);
    for (int64_t i = 0; i < 37 * 33; ++i) put(b, dtype, i, i == 36 * 33 + 5 ? INFINITY : 1);
    for (int64_t i = 0; i < 20 * 33; ++i) put(c, dtype, i, NAN);  // beta is 0: not read
    call.a = a, call.b = b, call.c = c;
    call.a_row = 37, call.a_column = 1, call.b_row = 33, call.b_column = 1, call.c_row = 33;
    const auto gemm = kind == simt ? tg::cuda::gemm_simt : tg::cuda::gemm_mma;
    bool right = gemm(&run->ctx, call) == Status::ok &&
                 cudaStreamSynchronize(run->device.stream) == cudaSuccess;
    for (int64_t i = 0; i < 20 && right; ++i)
      for (int64_t j = 0; j < 33; ++j) {
        const double x = get(c, dtype, i * 33 + j);
        right = right && (j == 5 ? (i == 3 ? isnan(x) : x == INFINITY) : x == (i == 3 ? 0 : 37));
      }
    right ? ++passed : ++failures;
    if (!right)
      printf("FAILED: special values, %s%s\n", name_of(dtype), call.tf32 ? " in tf32" : "");
  }
}

// Every kernel and both ways of summing must have had a turn.
void coverage() {
  const char* const kernels[] = {"simt: gemm 128x128",           "simt: gemm 64x64",
                                 "simt: gemm 64x64, split",      "simt: gemm 32x32",
                                 "simt: gemm 32x32, split",      "mma: bf16 gemm 128x128",
                                 "mma: bf16 gemm 64x64",         "mma: bf16 gemm 64x64, split",
                                 "mma: tf32 gemm 128x128",       "mma: tf32 gemm 64x64",
                                 "mma: tf32 gemm 64x64, split",  "skinny: skinny gemm",
                                 "skinny: skinny gemm, split",   "simt: gemm 128x128, sums",
                                 "simt: gemm 64x64, sums",       "simt: gemm 32x32, sums",
                                 "mma: bf16 gemm 128x128, sums", "mma: bf16 gemm 64x64, sums",
                                 "mma: tf32 gemm 128x128, sums", "mma: tf32 gemm 64x64, sums"};
  for (const char* kernel : kernels) {
    const bool ran = seen.count(kernel) > 0;
    ran ? ++passed : ++failures;
    if (!ran) printf("FAILED: no case of %s\n", kernel);
  }
  for (const auto& [kernel, times] : seen)
    printf("%-34s %6lld\n", kernel.c_str(), static_cast<long long>(times));
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t thinning = argc > 1 ? atoll(argv[1]) : 1;
  run = new Run{};
  run->device.capability = 80;
  if (cudaStreamCreateWithFlags(&run->device.stream, cudaStreamNonBlocking) != cudaSuccess)
    return 1;
  run->ctx.error = &run->error;
  run->ctx.device = &run->device;
  run->ctx.trace = {"cuda", "matmul", "", ""};
  Region regions[10];
  char* const arrivals = regions[9].place(tg::Device::kArrivals, DType::float32, false);
  memset(arrivals, 0, sizeof(unsigned) * tg::Device::kArrivals);
  run->device.arrivals = reinterpret_cast<unsigned*>(arrivals);
  memory_kept = &regions[6], memory_before = &regions[7], memory_sums = &regions[8];
  memory_a = &regions[0], memory_b = &regions[1], memory_c = &regions[2];
  memory_bias = &regions[3], memory_residual = &regions[4], memory_scratch = &regions[5];
  random_cases(thinning);
  special_values();
  coverage();
  printf("%lld passed, %lld failed\n", static_cast<long long>(passed),
         static_cast<long long>(failures));
  return failures > 0;
}
