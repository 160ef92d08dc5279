// Tests of native/cuda/gemm_hopper.cu, gemm_hopper_tf32.cu and gemm_split.cu against sums in
// double, on the emulated device or, compiled by nvcc, on a real one: every tile, all transposes,
// ragged edges, clusters, split k, batches, epilogues, memory around C, special values, equal bits,
// and how exact float32 is.
#include <cuda_runtime.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../core/bfloat16.h"
#include "../cuda/device.h"
#include "../cuda/gemm.h"
#include "../cuda/gemm_hopper_tf32.h"
#include "../cuda/gemm_split.h"

namespace tg::cuda {

Status failed(Error* error, const char* what, cudaError_t code) {
  return error->set(Status::device, "%s: %s", what, cudaGetErrorString(code));
}

}  // namespace tg::cuda

namespace {

using namespace tg;
using cuda::GemmCall;

int passed = 0, failures = 0;

__attribute__((format(printf, 2, 3))) void check(bool fine, const char* format, ...) {
  if (fine) {
    ++passed;
    return;
  }
  ++failures;
  va_list args;
  va_start(args, format);
  printf("FAILED: ");
  vprintf(format, args);
  printf("\n");
  va_end(args);
}

uint64_t state = 1;
double uniform() {  // in [0, 1)
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<double>(state >> 11) * 0x1p-53;
}
float normal() {
  return static_cast<float>(sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform()));
}

float from_bits(uint16_t bits) { return to_float(BFloat16{bits}); }
uint16_t to_bits(float x) { return to_bfloat16(x).bits; }

// Rounded to 11 significant bits as the copy engine does: ties to even.
float rounded_to_tf32(float x) {
  int exponent;
  const float fraction = frexpf(x, &exponent);
  return isfinite(x) ? ldexpf(nearbyintf(ldexpf(fraction, 11)), exponent - 11) : x;
}

// Elements of one dtype on the host, with a copy on the device.
struct Elements {
  DType dtype;
  std::vector<float> values;  // as the device has them, rounded
  void* device = nullptr;

  Elements(DType type, int64_t count, bool random = true) : dtype(type), values(count) {
    for (float& v : values) v = random ? rounded(normal()) : 0.0f;
  }
  Elements(const Elements&) = delete;
  ~Elements() { cudaFree(device); }

  float rounded(float x) const { return dtype == DType::bfloat16 ? from_bits(to_bits(x)) : x; }
  size_t bytes() const { return values.size() * size_of(dtype); }
  void* upload() {
    if (!device && cudaMalloc(&device, bytes()) != cudaSuccess) exit(3);
    std::vector<uint16_t> narrow;
    const void* from = values.data();
    if (dtype == DType::bfloat16) {
      for (float v : values) narrow.push_back(to_bits(v));
      from = narrow.data();
    }
    if (cudaMemcpy(device, from, bytes(), cudaMemcpyHostToDevice) != cudaSuccess) exit(3);
    return device;
  }
  std::vector<float> download() const {
    std::vector<float> result(values.size());
    std::vector<uint16_t> narrow(values.size());
    void* const to = dtype == DType::bfloat16 ? static_cast<void*>(narrow.data())
                                              : static_cast<void*>(result.data());
    if (cudaMemcpy(to, device, bytes(), cudaMemcpyDeviceToHost) != cudaSuccess) exit(3);
    if (dtype == DType::bfloat16)
      for (size_t i = 0; i < narrow.size(); ++i) result[i] = from_bits(narrow[i]);
    return result;
  }
};

struct Machine {
  Error error;
  Device device = {};
  ExecContext ctx = {};
  Machine() {
    int major = 0;
    const cudaError_t found = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
    if (found != cudaSuccess || major != 9) {
      printf("SKIPPED: needs compute capability 9.0 (%s)\n",
             found == cudaSuccess ? "another device" : cudaGetErrorString(found));
      exit(found == cudaSuccess ? 0 : 3);
    }
    // One that goes after the null stream's copies.
    if (cudaStreamCreate(&device.stream) != cudaSuccess) exit(3);
    constexpr size_t kBytes = sizeof(unsigned) * Device::kArrivals;
    void* arrivals;
    if (cudaMalloc(&arrivals, kBytes) != cudaSuccess ||
        cudaMemset(arrivals, 0, kBytes) != cudaSuccess)
      exit(3);
    device.arrivals = static_cast<unsigned*>(arrivals);
    device.capability = 90;
    device.shared_memory = 232448;
    ctx.error = &error;
    ctx.device = &device;
    ctx.trace = {"cuda", "matmul", "", ""};
  }
  ~Machine() {
    cudaFree(device.arrivals);
    cudaStreamDestroy(device.stream);
  }

  // Runs the call, float32 even where that does not pay; false and a message if it fails.
  bool run(GemmCall call, int multiprocessors) {
    device.multiprocessors = multiprocessors;
    if (call.in == DType::bfloat16 && !gemm_hopper_takes(device, call)) {
      error.set(Status::device, "not taken");
      return false;
    }
    const size_t bytes = gemm_hopper_scratch_bytes(device, call);
    void* scratch = nullptr;
    if (bytes && cudaMalloc(&scratch, bytes) != cudaSuccess) exit(3);
    call.scratch = scratch;
    bool fine = gemm_hopper(&ctx, call) == Status::ok;
    const cudaError_t code = cudaStreamSynchronize(device.stream);
    if (fine && code != cudaSuccess) {
      error.set(Status::device, "%s", cudaGetErrorString(code));
      fine = false;
    }
    cudaFree(scratch);
    return fine;
  }
};

struct Case {
  int64_t m, n, k;
  bool ta = false, tb = false;
  DType in = DType::bfloat16, out = DType::bfloat16;
  int64_t batch = 1, outer = 1;
  enum { dense, shared, heads } stack = dense;  // heads: batches lie between the lines' elements
  int multiprocessors = 4;
  const char* variant = nullptr;  // what is to run, if it matters
  double alpha = 1;
  bool bias = false, residual = false, accumulate = false;
  bool activated = false;
  Op activation = op_relu;
  bool in_place = false;  // what a gradient reads lies in C
  bool before = false, columns = false;
  int64_t gap = 0;    // elements between C's rows
  int64_t shift = 0;  // of C's begin, in elements
  bool tf32 = false;
  int64_t ragged = 0;  // added to the distances of the operands' lines
};

// `kept`: the operand of the activation that op is the gradient of, or its result.
double activate(Op op, double x, double kept) {
  const double logistic = 1 / (1 + exp(-kept));
  const double inner = tanh(0.7978845608028654 * (kept + 0.044715 * kept * kept * kept));
  switch (op) {
    case op_relu_dx:
      return kept > 0 ? x : 0;
    case op_sigmoid_dx:
      return x * kept * (1 - kept);
    case op_tanh_dx:
      return x * (1 - kept * kept);
    case op_silu_dx:
      return x * (logistic + kept * logistic * (1 - logistic));
    case op_geluErf_dx:
      return x * (0.5 * (1 + erf(kept * 0.7071067811865476)) +
                  kept * exp(-0.5 * kept * kept) * 0.3989422804014327);
    case op_geluTanh_dx:
      return x * (0.5 * (1 + inner) + 0.5 * kept * (1 - inner * inner) * 0.7978845608028654 *
                                          (1 + 3 * 0.044715 * kept * kept));
    case op_relu:
      return x < 0 ? 0 : x;
    case op_sigmoid:
      return 1 / (1 + exp(-x));
    case op_tanh:
      return tanh(x);
    case op_silu:
      return x / (1 + exp(-x));
    case op_geluErf:
      return 0.5 * x * (1 + erf(x * 0.7071067811865476));
    case op_geluTanh:
      return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    default:
      exit(4);
  }
}

int64_t up(int64_t x) { return (x + 7) / 8 * 8; }

// An operand of `lines` x `k`, stored along k or (mn) along its lines, and its strides.
struct Placed {
  int64_t line, step, batch, outer, count;
};
Placed place(const Case& c, int64_t lines, bool mn, bool is_b) {
  const int64_t inner = mn ? lines : c.k, other = mn ? c.k : lines;
  int64_t pitch = up(inner) + c.ragged, matrix;
  Placed p = {};
  if (c.stack == Case::heads) {
    matrix = pitch;
    pitch = matrix * c.batch;
    p.batch = matrix;
    p.outer = pitch * other;
  } else {
    matrix = pitch * other;
    const bool one = c.stack == Case::shared && is_b;
    p.batch = one ? 0 : matrix;
    p.outer = one ? 0 : matrix * c.batch;
  }
  p.line = mn ? 1 : pitch;
  p.step = mn ? pitch : 1;
  p.count = (up(inner) + c.ragged) * other * c.batch * c.outer;
  return p;
}

std::string name_of(const Case& c) {
  char text[300];
  snprintf(text, sizeof text,
           "[%lld, %lld, %lld] %c%c %s->%s%s x%lld x%lld stack %d on %d: alpha %g%s%s%s%s gap %lld "
           "shift %lld ragged %lld",
           static_cast<long long>(c.m), static_cast<long long>(c.n), static_cast<long long>(c.k),
           c.ta ? 'T' : 'N', c.tb ? 'T' : 'N', name_of(c.in), name_of(c.out),
           c.tf32 ? " in tf32" : "", static_cast<long long>(c.batch),
           static_cast<long long>(c.outer), c.stack, c.multiprocessors, c.alpha,
           c.bias ? " bias" : "", c.residual ? " residual" : "", c.accumulate ? " accumulate" : "",
           c.activated ? name_of(c.activation) : "", static_cast<long long>(c.gap),
           static_cast<long long>(c.shift), static_cast<long long>(c.ragged));
  return text;
}

void test(Machine& machine, const Case& c) {
  const Placed pa = place(c, c.m, c.ta, false), pb = place(c, c.n, !c.tb, true);
  Elements a(c.in, pa.count), b(c.in, pb.count), bias(c.out, c.n);
  const int64_t c_row = c.n + c.gap, products = c.batch * c.outer, matrix = c.m * c_row;
  Elements result(c.out, c.shift + products * matrix + 64), residual(c.out, result.values.size());
  GemmCall call = {};
  call.m = c.m, call.n = c.n, call.k = c.k, call.batch = c.batch, call.outer = c.outer;
  call.in = c.in, call.out = c.out, call.tf32 = c.tf32;
  call.a = a.upload(), call.a_row = pa.line, call.a_column = pa.step;
  call.a_batch = pa.batch, call.a_outer = pa.outer;
  call.b = b.upload(), call.b_row = pb.step, call.b_column = pb.line;
  call.b_batch = pb.batch, call.b_outer = pb.outer;
  char* const begin = static_cast<char*>(result.upload());
  call.c = begin + c.shift * size_of(c.out);
  call.c_row = c_row, call.c_batch = matrix, call.c_outer = matrix * c.batch;
  call.epilogue.alpha = c.alpha;
  call.epilogue.accumulate = c.accumulate;
  if (c.bias) call.epilogue.bias = bias.upload();
  if (c.residual)
    call.epilogue.residual = static_cast<char*>(residual.upload()) + c.shift * size_of(c.out);
  call.epilogue.activated = c.activated;
  call.epilogue.activation = c.activation;
  Elements kept(c.out, result.values.size()), before(c.out, result.values.size());
  const bool gradient = c.activated && cuda::gemm_fuses_gradient(c.activation);
  if (gradient)
    call.epilogue.kept =
        c.in_place ? call.c : static_cast<char*>(kept.upload()) + c.shift * size_of(c.out);
  if (c.before)
    call.epilogue.before = static_cast<char*>(before.upload()) + c.shift * size_of(c.out);
  Elements sums(c.out, c.n);
  if (c.columns) call.epilogue.column_sums = sums.upload();

  const std::string name = name_of(c);
  if (!machine.run(call, c.multiprocessors))
    return check(false, "%s: %s", name.c_str(), machine.error.message());
  if (c.variant && strcmp(machine.ctx.trace.variant, c.variant) != 0)
    check(false, "%s: %s ran instead of %s", name.c_str(), machine.ctx.trace.variant, c.variant);
  const std::vector<float> got = result.download();
  if (c.tf32)
    for (Elements* e : {&a, &b})
      for (float& x : e->values) x = rounded_to_tf32(x);
  const std::vector<float> got_before = c.before ? before.download() : got;

  double worst = 0;
  int64_t place_of_worst = 0, touched = 0, wrong_before = 0, wrong_sums = 0;
  std::vector<bool> written(got.size());
  for (int64_t p = 0; p < products; ++p) {
    const float* const pa0 = &a.values[p % c.batch * pa.batch + p / c.batch * pa.outer];
    const float* const pb0 = &b.values[p % c.batch * pb.batch + p / c.batch * pb.outer];
    for (int64_t i = 0; i < c.m; ++i) {
      for (int64_t j = 0; j < c.n; ++j) {
        double sum = 0, size = 0;
        for (int64_t k = 0; k < c.k; ++k) {
          const double term = static_cast<double>(pa0[i * pa.line + k * pa.step]) *
                              static_cast<double>(pb0[j * pb.line + k * pb.step]);
          sum += term;
          size += fabs(term);
        }
        const int64_t at = c.shift + p * matrix + i * c_row + j;
        double x = c.alpha * sum;
        size *= fabs(c.alpha);
        if (c.accumulate) x += result.values[at], size += fabs(result.values[at]);
        if (c.bias) x += bias.values[j], size += fabs(bias.values[j]);
        // What an activation gets is rounded as a result by itself would be.
        double rounded = c.activated && c.out == DType::bfloat16 ? fabs(x) : 0;
        if (c.before) {
          const double bound = (static_cast<double>(c.k) / 8 + 12) * 0x1p-24 * size +
                               0x1p-8 * rounded + 1e-6 * fabs(x);
          if (!(fabs(got_before[at] - x) <= bound)) ++wrong_before;
        }
        if (c.activated) x = activate(c.activation, x, (c.in_place ? result : kept).values[at]);
        if (gradient) {  // a multiple of x, which may be large
          const double slope =
              fabs(activate(c.activation, 1, (c.in_place ? result : kept).values[at]));
          rounded *= slope;
          if (slope > 1) size *= slope;
        }
        if (c.residual) x += residual.values[at], size += fabs(residual.values[at]);
        // Sums of 16 and more at once, and their order, cost less than a rounding of each term.
        double bound = (static_cast<double>(c.k) / 8 + 12) * 0x1p-24 * size + 1e-6 * fabs(x);
        if (c.out == DType::bfloat16) bound += 0x1p-8 * (fabs(x) + 1.2 * rounded);
        const double error = fabs(got[at] - x) / bound;
        if (!(error <= worst)) worst = error, place_of_worst = at;
        written[at] = true;
      }
    }
  }
  for (size_t i = 0; i < got.size(); ++i)
    if (!written[i] &&
        (got[i] != result.values[i] || (c.before && got_before[i] != before.values[i])))
      ++touched;
  check(worst <= 1, "%s (%s): %g times the bound at element %lld", name.c_str(),
        machine.ctx.trace.variant, worst, static_cast<long long>(place_of_worst));
  check(touched == 0, "%s: %lld elements around C were written", name.c_str(),
        static_cast<long long>(touched));
  check(wrong_before == 0, "%s: %lld elements before the activation are wrong", name.c_str(),
        static_cast<long long>(wrong_before));
  if (!c.columns) return;
  const std::vector<float> got_sums = sums.download();
  for (int64_t j = 0; j < c.n; ++j) {
    double sum = 0, size = 0;
    for (int64_t i = 0; i < c.m; ++i) {
      sum += got[c.shift + i * c_row + j];
      size += fabs(got[c.shift + i * c_row + j]);
    }
    // 16 are added in float, and the rest in double.
    double bound = 16 * 0x1p-24 * size + 0x1p-23 * fabs(sum);
    if (c.out == DType::bfloat16) bound += 0x1p-8 * fabs(sum);
    if (!(fabs(got_sums[j] - sum) <= bound)) ++wrong_sums;
  }
  check(wrong_sums == 0, "%s (%s): %lld sums of columns are wrong", name.c_str(),
        machine.ctx.trace.variant, static_cast<long long>(wrong_sums));
}

void shapes(Machine& machine) {
  constexpr int64_t kSizes[][3] = {
      {128, 256, 64}, {130, 264, 72}, {256, 512, 320}, {300, 200, 136}, {64, 128, 512},
      {33, 40, 200},  {1, 8, 8},      {1, 1000, 24},   {72, 8, 1000},   {385, 257, 65},
  };
  for (const auto& s : kSizes)
    for (int t = 0; t < 4; ++t)
      for (DType out : {DType::bfloat16, DType::float32}) {
        Case c = {s[0], s[1], s[2]};
        c.ta = t & 1, c.tb = t & 2;
        c.out = out;
        test(machine, c);
      }
  Case one = {256, 512, 128};
  one.multiprocessors = 1;  // no clusters, all tiles one after the other
  test(machine, one);
  Case many = {1100, 300, 64};  // groups of tiles, an odd one at the end
  many.multiprocessors = 6;
  test(machine, many);
}

void tiles(Machine& machine) {
  const auto expect = [&](int64_t m, int64_t n, int64_t k, int multiprocessors,
                          const char* variant) {
    for (int t = 0; t < 4; ++t) {
      Case c = {m, n, k};
      c.ta = t & 1, c.tb = t & 2;
      c.multiprocessors = multiprocessors;
      c.variant = variant;
      test(machine, c);
    }
  };
  expect(256, 512, 192, 2, "wgmma 128x256");
  expect(256, 128, 192, 2, "wgmma 128x128");
  expect(48, 256, 192, 2, "wgmma 64x128");
  expect(64, 128, 4096, 8, "wgmma 64x128 split");
  expect(128, 128, 4160, 8, "wgmma 128x128 split");
  expect(256, 100, 4100, 12, "wgmma 128x128 split");
}

void stacks(Machine& machine) {
  for (int t = 0; t < 4; ++t)
    for (auto stack : {Case::dense, Case::shared, Case::heads}) {
      Case c = {136, 72, 80};
      c.ta = t & 1, c.tb = t & 2;
      c.batch = 3, c.outer = 2, c.stack = stack;
      test(machine, c);
      c.in = c.out = DType::float32;
      test(machine, c);
    }
  Case split = {40, 64, 2048};
  split.batch = 2, split.outer = 2, split.multiprocessors = 16,
  split.variant = "wgmma 64x128 split";
  test(machine, split);
}

// float32 of any strides and sides, over all of k and over parts of it.
void planes(Machine& machine) {
  constexpr int64_t kSizes[][3] = {{128, 128, 64}, {1, 1, 1},       {5, 300, 33},
                                   {260, 130, 72}, {64, 128, 2048}, {257, 256, 129}};
  for (const auto& s : kSizes)
    for (int t = 0; t < 4; ++t) {
      Case c = {s[0], s[1], s[2]};
      c.ta = t & 1, c.tb = t & 2;
      c.in = c.out = DType::float32;
      c.bias = true, c.gap = 3;
      test(machine, c);
    }
  Case split = {128, 128, 2100};
  split.in = split.out = DType::float32;
  split.multiprocessors = 8, split.variant = "wgmma bf16x6 split";
  split.residual = true;
  test(machine, split);
}

// float32 in tf32: read as it lies, and written anew where it does not lie along k, or the copy
// engine cannot read it.
void tf32(Machine& machine) {
  constexpr int64_t kSizes[][3] = {{128, 256, 64},  {1, 1, 1},       {5, 300, 33},  {260, 130, 72},
                                   {300, 200, 136}, {257, 256, 129}, {72, 8, 1000}, {385, 257, 65}};
  for (const auto& s : kSizes)
    for (int t = 0; t < 4; ++t)
      for (int64_t ragged : {0, 3}) {
        Case c = {s[0], s[1], s[2]};
        c.ta = t & 1, c.tb = t & 2;
        c.in = c.out = DType::float32, c.tf32 = true, c.ragged = ragged;
        c.bias = t & 1, c.gap = t;
        test(machine, c);
      }
  const auto expect = [&](int64_t m, int64_t n, int64_t k, int multiprocessors,
                          const char* variant) {
    for (int t = 0; t < 4; ++t) {
      Case c = {m, n, k};
      c.ta = t & 1, c.tb = t & 2;
      c.in = c.out = DType::float32, c.tf32 = true;
      c.multiprocessors = multiprocessors, c.variant = variant;
      test(machine, c);
    }
  };
  expect(256, 512, 96, 2, "wgmma tf32 128x256");
  expect(256, 128, 96, 2, "wgmma tf32 128x128");
  expect(48, 256, 96, 2, "wgmma tf32 64x128");
  expect(64, 128, 4096, 8, "wgmma tf32 64x128 split");
  expect(128, 128, 4120, 8, "wgmma tf32 128x128 split");
  for (int t = 0; t < 4; ++t)
    for (auto stack : {Case::dense, Case::shared, Case::heads})
      for (int64_t ragged : {0, 1}) {
        Case c = {136, 72, 80};
        c.ta = t & 1, c.tb = t & 2;
        c.in = c.out = DType::float32, c.tf32 = true, c.ragged = ragged;
        c.batch = 3, c.outer = 2, c.stack = stack;
        test(machine, c);
      }
}

void epilogues(Machine& machine) {
  for (DType out : {DType::bfloat16, DType::float32})
    for (int64_t n : {136, 133})
      for (int64_t k : {128, 2048}) {  // in one pass, and over parts of k
        const int multiprocessors = k > 1000 ? 16 : 2;
        Case c = {70, n, k};
        c.out = out, c.multiprocessors = multiprocessors;
        if (out == DType::float32 && n % 2) c.in = out, c.tf32 = true;
        c.bias = true;
        test(machine, c);
        for (Op op : {op_relu, op_sigmoid, op_tanh, op_silu, op_geluErf, op_geluTanh, op_relu_dx,
                      op_sigmoid_dx, op_tanh_dx, op_silu_dx, op_geluErf_dx, op_geluTanh_dx}) {
          c.activated = true, c.activation = op;
          c.alpha = 1 / sqrt(static_cast<double>(k));
          c.columns = cuda::gemm_fuses_gradient(op);
          test(machine, c);
          c.in_place = op == op_relu_dx || op == op_silu_dx;
          c.before = op == op_geluErf || op == op_relu_dx;
          if (c.in_place || c.before) test(machine, c);
          c.in_place = c.before = false;
        }
        c.residual = true, c.alpha = 0.5, c.activation = op_relu;
        test(machine, c);
        c.activated = false, c.accumulate = true, c.residual = false;
        test(machine, c);
        c.bias = false, c.gap = 24, c.alpha = -1;
        test(machine, c);
        c.accumulate = false, c.gap = 5, c.shift = 3;
        test(machine, c);
        c.bias = true, c.gap = 8, c.shift = 8;
        test(machine, c);
      }
}

// Sums of columns behind every way that C takes to memory, over few rows and many.
void column_sums(Machine& machine) {
  constexpr int64_t kSizes[][3] = {{1, 8, 16},     {17, 136, 64},   {300, 264, 128},
                                   {1100, 24, 64}, {64, 128, 4096}, {260, 520, 200}};
  for (DType in : {DType::bfloat16, DType::float32})
    for (const auto& s : kSizes)
      for (const bool gradient : {false, true})
        for (const int64_t less : {0, 3}) {  // whole vectors, and not
          Case c = {s[0], s[1] - less, s[2]};
          c.in = c.out = in;
          c.alpha = 1 / sqrt(static_cast<double>(s[2]));
          c.multiprocessors = s[2] > 1000 ? 8 : 4;
          c.columns = true, c.gap = less, c.tb = true;
          c.activated = gradient, c.activation = op_relu_dx;
          test(machine, c);
        }
}

// What is not finite, in the places where a sum of products has it.
void special_values(Machine& machine) {
  constexpr int64_t kSize = 256;
  for (int kind = 0; kind < 3; ++kind) {
    const DType in = kind == 0 ? DType::bfloat16 : DType::float32;
    Elements a(in, kSize * kSize), b(in, kSize * kSize), c(DType::float32, kSize * kSize, false);
    const float big = 3.4e38f;
    a.values[3 * kSize + 7] = INFINITY;
    a.values[5 * kSize + 9] = NAN;
    a.values[8 * kSize + 1] = a.rounded(big);
    b.values[20 * kSize + 11] = -INFINITY;
    b.values[1 * kSize + 11] = 0.5f;  // big times it stays finite, as it does in the sums below
    for (int64_t j = 0; j < kSize; ++j)
      b.values[7 * kSize + j] = j % 3 == 0 ? 0 : j % 3 == 1 ? 1 : -2;
    GemmCall call = {};
    call.m = call.n = call.k = kSize, call.batch = 1, call.in = in, call.out = DType::float32;
    call.tf32 = kind == 2;
    call.a = a.upload(), call.a_row = kSize, call.a_column = 1;
    call.b = b.upload(), call.b_row = kSize, call.b_column = 1;
    call.c = c.upload(), call.c_row = kSize;
    if (!machine.run(call, 4)) {
      check(false, "special values: %s", machine.error.message());
      continue;
    }
    const std::vector<float> got = c.download();
    int wrong = 0;
    for (int64_t i = 0; i < 16; ++i)
      for (int64_t j = 0; j < kSize; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < kSize; ++k)
          sum += static_cast<double>(a.values[i * kSize + k]) * b.values[k * kSize + j];
        const float x = got[i * kSize + j], expected = static_cast<float>(sum);
        if (isnan(expected) ? !isnan(x) : isinf(expected) && x != expected) ++wrong;
        if (isfinite(expected) && fabsf(expected) < 1e38f && !isfinite(x)) ++wrong;
      }
    check(wrong == 0, "special values, %s%s: %d elements are of another kind", name_of(in),
          call.tf32 ? " in tf32" : "", wrong);
  }
}

// The same bits in every run.
void repeats(Machine& machine) {
  for (int kind = 0; kind < 3; ++kind) {
    const DType in = kind == 0 ? DType::bfloat16 : DType::float32;
    const int64_t m = 200, n = 264, k = 3000;
    Elements a(in, m * k), b(in, n * k), c(DType::float32, m * n, false);
    GemmCall call = {};
    call.m = m, call.n = n, call.k = k, call.batch = 1, call.in = in, call.out = DType::float32;
    call.tf32 = kind == 2;
    call.a = a.upload(), call.a_row = k, call.a_column = 1;
    call.b = b.upload(), call.b_row = 1, call.b_column = k;
    call.c = c.upload(), call.c_row = n;
    std::vector<float> first;
    for (int i = 0; i < 2; ++i) {
      if (!machine.run(call, 12)) return check(false, "repeats: %s", machine.error.message());
      const std::vector<float> got = c.download();
      if (i == 0) first = got;
      check(memcmp(got.data(), first.data(), got.size() * sizeof(float)) == 0,
            "%s%s differs in run %d", name_of(in), call.tf32 ? " in tf32" : "", i);
    }
  }
}

// float32 through bfloat16 planes, and sums in float32 one term after the other, both against
// double.
void exactness(Machine& machine) {
  for (int64_t k : {64, 1024, 4096}) {
    const int64_t m = 64, n = 256;
    Elements a(DType::float32, m * k), b(DType::float32, n * k), c(DType::float32, m * n, false);
    GemmCall call = {};
    call.m = m, call.n = n, call.k = k, call.batch = 1, call.in = call.out = DType::float32;
    call.a = a.upload(), call.a_row = k, call.a_column = 1;
    call.b = b.upload(), call.b_row = 1, call.b_column = k;
    call.c = c.upload(), call.c_row = n;
    if (!machine.run(call, 4)) {
      check(false, "exactness: %s", machine.error.message());
      continue;
    }
    const std::vector<float> got = c.download();
    double planes = 0, plain = 0, worst_planes = 0, worst_plain = 0;
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        float chain = 0;
        for (int64_t t = 0; t < k; ++t) {
          const float x = a.values[i * k + t], y = b.values[j * k + t];
          sum += static_cast<double>(x) * static_cast<double>(y);
          chain = fmaf(x, y, chain);
        }
        const double e = fabs(got[i * n + j] - sum), f = fabs(static_cast<double>(chain) - sum);
        planes += e * e, plain += f * f;
        worst_planes = std::max(worst_planes, e), worst_plain = std::max(worst_plain, f);
      }
    const double count = static_cast<double>(m * n);
    printf(
        "float32, k = %lld: rms error %.3g (in planes), %.3g (one chain of fma); largest %.3g, "
        "%.3g\n",
        static_cast<long long>(k), sqrt(planes / count), sqrt(plain / count), worst_planes,
        worst_plain);
    check(planes <= plain && worst_planes <= worst_plain,
          "float32, k = %lld is less exact than a chain", static_cast<long long>(k));
  }
}

// What the copy engine cannot read must be left to others.
void refusals(Machine& machine) {
  machine.device.multiprocessors = 4;
  alignas(16) static char memory[64];
  GemmCall call = {};
  call.m = call.n = call.k = 64, call.batch = 1, call.in = call.out = DType::bfloat16;
  call.a = call.b = call.c = memory;
  call.a_row = call.b_row = call.c_row = 64, call.a_column = call.b_column = 1;
  const auto takes = [&](const GemmCall& c) { return cuda::gemm_hopper_takes(machine.device, c); };
  check(takes(call), "a plain product is refused");
  const auto refused = [&](const char* what, auto change) {
    GemmCall changed = call;
    change(changed);
    check(!takes(changed), "%s is taken", what);
  };
  refused("a shifted operand", [](GemmCall& c) { c.a = memory + 2; });
  refused("a ragged row", [](GemmCall& c) { c.b_row = 66; });
  refused("a repeated row", [](GemmCall& c) { c.a_row = 0; });
  refused("a reversed operand", [](GemmCall& c) { c.a_row = -64; });
  refused("an operand with gaps", [](GemmCall& c) { c.a_column = 2; });
  refused("rows that overlap", [](GemmCall& c) { c.a_row = 8; });
  refused("an empty product", [](GemmCall& c) { c.k = 0; });
  // float32 where planes pay, on a chip of the H200's size.
  machine.device.multiprocessors = 132;
  call.in = call.out = DType::float32;
  const auto large = [&](int64_t m, int64_t n, int64_t k) {
    GemmCall c = call;
    c.m = m, c.n = n, c.k = k, c.a_row = k, c.b_row = c.c_row = n;
    return takes(c);
  };
  check(large(4096, 4096, 4096) && large(1024, 1024, 4096) && large(2048, 512, 8192),
        "large float32 products are refused");
  check(!large(256, 256, 256) && !large(32, 4096, 4096) && !large(4096, 4096, 16),
        "small or skinny float32 products are taken");
  // In tf32 where it is faster than by warps, with what has to be written anew.
  call.tf32 = true;
  const auto transposed = [&](int64_t m, int64_t n, int64_t k) {
    GemmCall c = call;
    c.m = m, c.n = n, c.k = k, c.b_row = c.b_column = 1, c.a_row = c.b_column = k, c.c_row = n;
    return takes(c);
  };
  check(large(4096, 4096, 4096) && large(1024, 1024, 1024) && transposed(256, 256, 1024),
        "large products in tf32 are refused");
  check(!large(4096, 4096, 16) && !large(16, 256, 256), "products in tf32 that are all copies");
  GemmCall endless = call;
  endless.m = endless.n = endless.k = int64_t{1} << 20;
  endless.a_row = endless.a_column = endless.b_row = endless.b_column = 0;
  check(!takes(endless), "scratch of terabytes");
  call.tf32 = false;
  call.in = call.out = DType::bfloat16;
  refused("float64", [](GemmCall& c) { c.in = c.out = DType::float64; });
  machine.device.capability = 80;
  check(!takes(call), "another architecture is taken");
  machine.device.capability = 90;
}

}  // namespace

#define TG_FAMILIES(X) \
  X(refusals)          \
  X(shapes)            \
  X(tiles)             \
  X(stacks)            \
  X(planes)            \
  X(tf32)              \
  X(epilogues)         \
  X(column_sums)       \
  X(special_values)    \
  X(repeats)           \
  X(exactness)

// A family's name runs it alone; "families" prints them.
int main(int argc, char** argv) {
  const std::string wanted = argc > 1 ? argv[1] : "";
  if (wanted == "families") {
#define TG_NAME(family) printf("%s\n", #family);
    TG_FAMILIES(TG_NAME)
#undef TG_NAME
    return 0;
  }
  Machine machine;
#define TG_RUN(family) \
  if (wanted.empty() || wanted == #family) family(machine);
  TG_FAMILIES(TG_RUN)
#undef TG_RUN
  printf("%d passed, %d failed\n", passed, failures);
  return failures > 0;
}
