// Tests of the bfloat16 matrix product on AVX512-BF16 against sums in double: shapes, transposes,
// strides, bias, batches, sums that cancel, special values, bounds (every operand ends or begins at
// an unmapped page) and equal bits for 1, 2 and 5 threads. Argument: thinning (default 1).
#include "../cpu/gemm_bf16.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "../cpu/bfloat16.h"

extern "C" const tg::cpu::GemmBf16Table tg_kernels_avx512bf16;

namespace {

using tg::BFloat16;
using tg::cpu::GemmBatch;
using tg::cpu::GemmBf16Args;

const tg::cpu::GemmBf16Table& table = tg_kernels_avx512bf16;
int64_t passed = 0, failed = 0;

uint64_t state = 1;
int64_t below(int64_t n) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<int64_t>((state >> 33) % static_cast<uint64_t>(n));
}
uint16_t uniform() {
  return tg::to_bfloat16(static_cast<float>(below(1 << 20)) / (1 << 19) - 1).bits;
}
double value(uint16_t bits) { return static_cast<double>(tg::to_float(BFloat16{bits})); }

// Memory between two unmapped pages; place() returns room for n elements at its end or start.
class Region {
 public:
  static constexpr size_t kBytes = size_t{64} << 20;
  Region() : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    void* p = mmap(nullptr, kBytes + 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   -1, 0);
    if (p == MAP_FAILED) _exit(3);
    base_ = static_cast<char*>(p) + page_;
    mprotect(p, page_, PROT_NONE);
    mprotect(base_ + kBytes, page_, PROT_NONE);
  }
  template <class T>
  T* place(int64_t n, bool at_end) {
    const size_t bytes = static_cast<size_t>(n) * sizeof(T);
    if (bytes > kBytes) _exit(4);
    return reinterpret_cast<T*>(at_end ? base_ + kBytes - bytes : base_);
  }

 private:
  size_t page_;
  char* base_;
};
Region *mem_a, *mem_b, *mem_c, *mem_bias, *mem_scratch;
tg::ThreadPool* pools[3];

enum Layout { kRows, kColumns, kGeneral };

struct Matrix {
  int64_t rows, cols, row, col;
  Matrix(int64_t r, int64_t c, Layout layout, int64_t pad) : rows(r), cols(c) {
    row = layout == kRows ? c + pad : layout == kColumns ? 1 : 2 * c + pad;
    col = layout == kRows ? 1 : layout == kColumns ? r + pad : 2;
  }
  int64_t extent() const {
    return rows > 0 && cols > 0 ? (rows - 1) * row + (cols - 1) * col + 1 : 0;
  }
};

struct Case {
  int64_t m, n, k;
  Layout a, b;
  int64_t pad, batch;
  bool bias, at_end, cancels;
};

// The bound of gemm_bf16.h for one element; `magnitude`: |A||B| + |bias|.
bool close(double got, double wanted, double magnitude, int64_t k) {
  const double summed = (static_cast<double>(k) + 2) * 0x1p-24 * magnitude +
                        (2 * static_cast<double>(k) + 2) * 0x1p-126;
  return fabs(got - wanted) <= summed + 0x1p-8 * (fabs(wanted) + summed) + 0x1p-126;
}

// Adds the terms of one element to its sum, and their sizes to `magnitude`. Not under test, but
// most of the work, so that sanitizers are spared it.
__attribute__((no_sanitize("address", "undefined"))) void add_terms(
    const uint16_t* a, int64_t a_step, const uint16_t* b, int64_t b_step, int64_t k, double* sum,
    double* magnitude) {
  for (int64_t p = 0; p < k; ++p) {
    const uint32_t bits[2] = {uint32_t{a[p * a_step]} << 16, uint32_t{b[p * b_step]} << 16};
    float x[2];
    memcpy(x, bits, sizeof x);
    const double term = static_cast<double>(x[0]) * static_cast<double>(x[1]);
    *sum += term;
    *magnitude += fabs(term);
  }
}

void check(const Case& t) {
  const Matrix a(t.m, t.k, t.a, t.pad), b(t.k, t.n, t.b, t.pad);
  const int64_t c_row = t.n + t.pad;
  uint16_t* const pa = mem_a->place<uint16_t>(a.extent() * t.batch, t.at_end);
  uint16_t* const pb = mem_b->place<uint16_t>(b.extent() * t.batch, t.at_end);
  const int64_t c_extent = t.m > 0 && t.n > 0 ? (t.m - 1) * c_row + t.n : 0;
  uint16_t* const pc = mem_c->place<uint16_t>(c_extent * t.batch, t.at_end);
  float* const bias = mem_bias->place<float>(t.n, t.at_end);
  for (int64_t i = 0; i < a.extent() * t.batch; ++i) pa[i] = uniform();
  for (int64_t i = 0; i < b.extent() * t.batch; ++i) pb[i] = uniform();
  for (int64_t j = 0; j < t.n; ++j) bias[j] = static_cast<float>(value(uniform()));
  std::vector<int64_t> at_a, at_b, at_c;
  for (int64_t i = 0; i < t.batch; ++i) {
    at_a.push_back(i * a.extent());
    at_b.push_back(i * b.extent());
    at_c.push_back(i * c_extent);
    const int64_t half = t.k / 2;
    if (t.cancels)  // the second half of each sum takes back the first
      for (int64_t p = 0; p < half; ++p) {
        for (int64_t r = 0; r < t.m; ++r)
          pa[at_a.back() + r * a.row + (p + half) * a.col] =
              pa[at_a.back() + r * a.row + p * a.col];
        for (int64_t j = 0; j < t.n; ++j)
          pb[at_b.back() + (p + half) * b.row + j * b.col] =
              pb[at_b.back() + p * b.row + j * b.col] ^ 0x8000;
      }
  }
  GemmBf16Args args{t.m, t.n, t.k, pa, a.row, a.col, pb, b.row, b.col, pc, c_row};
  if (t.bias) args.bias = bias;
  GemmBatch batch;
  if (t.batch > 1) batch = {t.batch, at_a.data(), at_b.data(), at_c.data()};
  std::vector<uint16_t> first;
  bool same = true, untouched = true;
  for (tg::ThreadPool* pool : pools) {
    const int64_t bytes =
        static_cast<int64_t>(tg::cpu::gemm_bf16_scratch_bytes(table, args, pool->size(), t.batch));
    char* scratch = mem_scratch->place<char>(bytes, true);
    memset(scratch, 0xFF, static_cast<size_t>(bytes));  // NaNs
    for (int64_t i = 0; i < c_extent * t.batch; ++i) pc[i] = 0x7FC1;
    tg::cpu::gemm_bf16(table, args, batch, scratch, *pool);
    const std::vector<uint16_t> got(pc, pc + c_extent * t.batch);
    if (first.empty()) first = got;
    same = same && got == first;
  }
  bool right = true;
  for (int64_t i = 0; i < t.batch; ++i)
    for (int64_t r = 0; r < t.m; ++r)
      for (int64_t j = 0; j < c_row; ++j) {
        if (t.n == 0 || (r == t.m - 1 && j >= t.n)) break;
        const uint16_t bits = pc[i * c_extent + r * c_row + j];
        if (j >= t.n) {
          untouched = untouched && bits == 0x7FC1;
          continue;
        }
        double sum = t.bias ? static_cast<double>(bias[j]) : 0, magnitude = fabs(sum);
        add_terms(pa + i * a.extent() + r * a.row, a.col, pb + i * b.extent() + j * b.col, b.row,
                  t.k, &sum, &magnitude);
        right = right && close(value(bits), sum, magnitude, t.k);
      }
  if (same && right && untouched) {
    ++passed;
  } else if (++failed < 20) {
    printf(
        "FAILED m %lld n %lld k %lld layouts %d %d pad %lld batch %lld bias %d cancels %d:%s%s%s\n",
        static_cast<long long>(t.m), static_cast<long long>(t.n), static_cast<long long>(t.k), t.a,
        t.b, static_cast<long long>(t.pad), static_cast<long long>(t.batch), t.bias, t.cancels,
        same ? "" : " threads differ", right ? "" : " wrong", untouched ? "" : " padding written");
  }
}

Case random_case(int64_t m, int64_t n, int64_t k) {
  return {m,
          n,
          k,
          static_cast<Layout>(below(3)),
          static_cast<Layout>(below(3)),
          below(4),
          below(8) == 0 ? 1 + below(4) : 1,
          below(2) == 0,
          below(2) == 0,
          below(2) == 0};
}

// 0 * Inf and NaN reach C, whichever operand they are in; denormals count as 0.
void check_special() {
  for (int64_t k : {1, 2, 7, 40, 2049})
    for (int kind = 0; kind < 3; ++kind)
      for (bool in_a : {true, false}) {
        const int64_t m = 11, n = 21;
        std::vector<uint16_t> a(static_cast<size_t>(m * k)), b(static_cast<size_t>(k * n)),
            c(static_cast<size_t>(m * n), 7);
        const uint16_t bad = kind == 0 ? 0x7FC0 : kind == 1 ? 0x7F80 : 0x0001;
        const uint16_t other = kind == 2 ? 0x7F00 : 0;
        for (uint16_t& x : in_a ? b : a) x = other;
        const int64_t i = below(in_a ? m : n), p = below(k);
        (in_a ? a[static_cast<size_t>(i * k + p)] : b[static_cast<size_t>(p * n + i)]) = bad;
        GemmBf16Args args{m, n, k, a.data(), k, 1, b.data(), n, 1, c.data(), n};
        char* scratch = mem_scratch->place<char>(
            static_cast<int64_t>(tg::cpu::gemm_bf16_scratch_bytes(table, args, 1)), true);
        tg::cpu::gemm_bf16(table, args, GemmBatch{}, scratch, *pools[0]);
        bool ok = true;
        for (int64_t r = 0; r < m; ++r)
          for (int64_t j = 0; j < n; ++j) {
            const double x = value(c[static_cast<size_t>(r * n + j)]);
            ok = ok && (kind < 2 && (in_a ? r : j) == i ? x != x : x == 0);
          }
        ok ? ++passed : ++failed;
        if (!ok) printf("FAILED special %d, k %lld\n", kind, static_cast<long long>(k));
      }
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t thinning = argc > 1 ? std::max(1, atoi(argv[1])) : 1;
  tg::ThreadPool one(1), two(2), five(5);
  pools[0] = &one;
  pools[1] = &two;
  pools[2] = &five;
  Region a, b, c, bias, scratch;
  mem_a = &a, mem_b = &b, mem_c = &c, mem_bias = &bias, mem_scratch = &scratch;
  for (int64_t m = 0; m <= 67; ++m)  // every m, n and k up to 67, each many times
    for (int64_t n = 0; n <= 67; ++n) {
      if ((m * 68 + n) % thinning) continue;
      check(random_case(m, n, below(68)));
      check(random_case(below(68), m, n));
    }
  for (int64_t i = 0; i < 200; i += thinning)
    check(random_case(1 + below(150), 1 + below(150), 1 + below(i % 4 == 0 ? 5000 : 400)));
  for (Layout x : {kRows, kColumns})  // rows a page apart, several passes, odd last pair
    for (Layout y : {kRows, kColumns})
      for (int64_t k : {2047, 2048, 2049, 4097})
        check({67, 300, k, x, y, 0, 1, true, true, k % 2 == 0});
  check({300, 600, 2048, kRows, kRows, 0, 1, false, true, false});
  check_special();
  printf("%lld passed, %lld failed\n", static_cast<long long>(passed),
         static_cast<long long>(failed));
  return failed != 0;
}
