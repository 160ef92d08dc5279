// Tests of the matrix product on every instruction set this machine has, against a reference in a
// wider type: shapes, transposes, strides, accumulation, bias, batches, special values, bounds
// (every operand ends or begins at an unmapped page), equal bits for 1, 2 and 5 threads, and what a
// finish function sees. Built as one object per ISA, with -DTG_ISA=<name> and its flags, which
// holds that ISA's table, and one object without, which holds the tests. Argument: thinning
// (default 1, everything; 10 suits an emulator).
#ifdef TG_ISA
#include "../cpu/kernels/gemm.h"

#define TG_JOIN_(a, b) a##b
#define TG_JOIN(a, b) TG_JOIN_(a, b)
extern "C" const tg::cpu::GemmTable TG_JOIN(gemm_table_, TG_ISA);
extern "C" const tg::cpu::GemmTable TG_JOIN(gemm_table_, TG_ISA) = TG_ISA::kGemmTable;

#else
#include "../cpu/gemm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <vector>

extern "C" {
#if defined(__x86_64__)
extern const tg::cpu::GemmTable gemm_table_baseline, gemm_table_avx2, gemm_table_avx512;
#else
extern const tg::cpu::GemmTable gemm_table_neon;
#endif
}

namespace {

using tg::cpu::GemmArgs;
using tg::cpu::GemmBatch;
using tg::cpu::GemmTable;

int64_t passed = 0;
int64_t failed = 0;
const char* isa = "";

uint64_t state = 1;
uint64_t bits() {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return state >> 33;
}
int64_t below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(n)); }
template <class T>
T uniform() {
  return static_cast<T>(static_cast<double>(bits()) / 1073741824.0 - 1);
}

// A region between two unmapped pages; place() returns room for n elements at its very end or
// start.
class Region {
 public:
  static constexpr size_t kBytes = size_t{24} << 20;
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
    if (bytes > kBytes) {
      printf("a test operand is too big\n");
      _exit(3);
    }
    return reinterpret_cast<T*>(at_end ? base_ + kBytes - bytes : base_);
  }

 private:
  size_t page_;
  char* base_;
};

struct Regions {
  Region a, b, c, bias, scratch;
};
Regions* regions;
tg::ThreadPool* pools[3];
int64_t thinning = 1;
bool all_small = false;

enum Layout { kRowMajor, kColumnMajor, kGeneral };
const char* layout_name[] = {"N", "T", "G"};

struct Shape {
  int64_t m, n, k;
  Layout a, b;
  int64_t pad;  // extra elements in every leading dimension
  bool accumulate, bias, at_end;
  int64_t batch;  // 0: gemm(); else gemm_batched()
  bool finish;    // once more, with a function that sees every finished element
};

struct Matrix {
  int64_t rows, cols, row, col;
  Matrix(int64_t r, int64_t c, Layout layout, int64_t pad) : rows(r), cols(c) {
    row = layout == kRowMajor ? c + pad : layout == kColumnMajor ? 1 : 2 * c + pad;
    col = layout == kRowMajor ? 1 : layout == kColumnMajor ? r + pad : 2;
  }
  int64_t extent() const {
    return rows == 0 || cols == 0 ? 0 : (rows - 1) * row + (cols - 1) * col + 1;
  }
};

template <class T>
struct Wider {
  using type = double;
};
template <>
struct Wider<double> {
  using type = long double;
};

template <class T>
void report(const Shape& s, const char* what) {
  ++failed;
  if (failed < 40)
    printf(
        "FAILED: %s %s m=%lld n=%lld k=%lld %s%s pad=%lld accumulate=%d bias=%d batch=%lld: %s\n",
        isa, sizeof(T) == 4 ? "f32" : "f64", (long long)s.m, (long long)s.n, (long long)s.k,
        layout_name[s.a], layout_name[s.b], (long long)s.pad, s.accumulate, s.bias,
        (long long)s.batch, what);
}

template <class T>
bool same(const std::vector<T>& x, const T* y) {
  return x.empty() || memcmp(x.data(), y, x.size() * sizeof(T)) == 0;
}

// A finish function that counts its visits and makes of each element something that depends on its
// value and place; bit by bit the same as finished() makes afterwards.
template <class T>
struct Visits {
  const T* c;
  int64_t m, c_row, product_step;
  std::vector<unsigned char> seen;
  bool pieces_lie_right = true;
};
template <class T>
T finished(T x, int64_t row, int64_t col) {
  return x * T(0.5) + static_cast<T>(row % 64 + 3 * (col % 32));
}
template <class T>
void visit(const void* arg, T* c, int64_t row, int64_t col, int64_t n) {
  Visits<T>& v = *static_cast<Visits<T>*>(const_cast<void*>(arg));
  const int64_t at = row / v.m * v.product_step + row % v.m * v.c_row + col;
  if (c != v.c + at || n < 1) v.pieces_lie_right = false;
  for (int64_t j = 0; j < n; ++j) {
    ++v.seen[static_cast<size_t>(at + j)];
    c[j] = finished(c[j], row, col + j);
  }
}

// One shape with random operands: error bound, gaps and inputs untouched, equal bits for all pools.
template <class T>
void check_shape(const GemmTable& table, const Shape& s, int pool_count) {
  using W = typename Wider<T>::type;
  const int64_t count = std::max<int64_t>(1, s.batch);
  const Matrix a(s.m, s.k, s.a, s.pad), b(s.k, s.n, s.b, s.pad), c(s.m, s.n, kRowMajor, s.pad);
  // Products share B if batched (a broadcast operand); A and C lie one after the other.
  const int64_t a_size = a.extent() * count, b_size = b.extent(), c_size = c.extent() * count;
  const T nan = std::numeric_limits<T>::quiet_NaN(), gap = static_cast<T>(-12345);

  auto filled = [&](const Matrix& x, int64_t size, T between) {
    std::vector<T> v(static_cast<size_t>(size), between);
    for (int64_t first = 0; x.extent() > 0 && first < size; first += x.extent())
      for (int64_t i = 0; i < x.rows; ++i)
        for (int64_t j = 0; j < x.cols; ++j)
          v[static_cast<size_t>(first + i * x.row + j * x.col)] = uniform<T>();
    return v;
  };
  const std::vector<T> va = filled(a, a_size, nan), vb = filled(b, b_size, nan);
  const std::vector<T> vc = filled(c, c_size, gap);
  std::vector<T> vbias(static_cast<size_t>(s.n));
  for (T& x : vbias) x = uniform<T>();

  T* pa = regions->a.place<T>(a_size, s.at_end);
  T* pb = regions->b.place<T>(b_size, s.at_end);
  T* pc = regions->c.place<T>(c_size, s.at_end);
  T* pbias = regions->bias.place<T>(s.n, s.at_end);
  std::copy(va.begin(), va.end(), pa);
  std::copy(vb.begin(), vb.end(), pb);
  std::copy(vbias.begin(), vbias.end(), pbias);

  std::vector<int64_t> a_offsets, c_offsets;
  for (int64_t i = 0; i < count; ++i) {
    a_offsets.push_back(i * a.extent());
    c_offsets.push_back(i * c.extent());
  }
  GemmArgs<T> args{s.m, s.n, s.k, pa, a.row, a.col, pb, b.row, b.col, pc, c.row};
  args.accumulate = s.accumulate;
  args.epilogue.bias = s.bias ? pbias : nullptr;

  auto multiply = [&](const GemmArgs<T>& g, void* scratch, tg::ThreadPool& pool) {
    const GemmBatch batch{count, a_offsets.data(), nullptr, c_offsets.data()};
    if (s.batch == 0)
      tg::cpu::gemm(table, g, scratch, pool);
    else
      tg::cpu::gemm_batched(table, g, batch, scratch, pool);
  };
  std::vector<T> first;
  for (int which = 0; which < pool_count; ++which) {
    tg::ThreadPool& pool = *pools[which];
    std::copy(vc.begin(), vc.end(), pc);
    if (!s.accumulate)  // what C held must not matter
      for (int64_t x = 0; x < c_size; ++x)
        if (pc[x] != gap) pc[x] = nan;
    const size_t bytes = tg::cpu::gemm_scratch_bytes(table, args, pool.size(), count);
    if (bytes % 64 != 0) report<T>(s, "scratch size");
    char* scratch = regions->scratch.place<char>(static_cast<int64_t>(bytes), true);
    memset(scratch, 0xFF, bytes);
    multiply(args, scratch, pool);
    if (!same(va, pa) || !same(vb, pb) || !same(vbias, pbias)) return report<T>(s, "input changed");
    if (which == 0)
      first.assign(pc, pc + c_size);
    else if (!same(first, pc))
      return report<T>(s, "other bits with more threads");
    if (!s.finish) continue;

    std::copy(vc.begin(), vc.end(), pc);
    Visits<T> visits{pc, s.m, c.row, c.extent(), {}};
    visits.seen.resize(static_cast<size_t>(c_size));
    args.finish = {visit<T>, &visits};
    multiply(args, scratch, pool);
    args.finish = {};
    if (!visits.pieces_lie_right) return report<T>(s, "finish: wrong place");
    std::vector<T> want = first;
    for (int64_t product = 0; product < count; ++product)
      for (int64_t i = 0; i < s.m; ++i)
        for (int64_t j = 0; j < s.n; ++j) {
          const size_t at = static_cast<size_t>(product * c.extent() + i * c.row + j);
          if (visits.seen[at] != 1) return report<T>(s, "finish: not once");
          want[at] = finished(want[at], product * s.m + i, j);
        }
    if (!same(want, pc)) return report<T>(s, "finish: other result");
  }

  const W unit = std::numeric_limits<T>::epsilon() / 2;
  std::vector<W> sum(static_cast<size_t>(s.n)), size(static_cast<size_t>(s.n));
  std::vector<bool> written(static_cast<size_t>(c_size), false);
  // Large products are compared in every 7th row and the last, which meets all rows of all tiles.
  const int64_t stride = s.m * s.n * s.k > 1000000 ? 7 : 1;
  for (int64_t product = 0; product < count; ++product) {
    const T* xa = va.data() + product * a.extent();
    for (int64_t i = 0; i < s.m; ++i) {
      if (i % stride != 0 && i != s.m - 1) {
        for (int64_t j = 0; j < s.n; ++j)
          written[static_cast<size_t>(product * c.extent() + i * c.row + j)] = true;
        continue;
      }
      std::fill(sum.begin(), sum.end(), W(0));
      std::fill(size.begin(), size.end(), W(0));
      for (int64_t p = 0; p < s.k; ++p) {
        const W x = xa[i * a.row + p * a.col];
        for (int64_t j = 0; j < s.n; ++j) {
          const W y = x * W(vb[static_cast<size_t>(p * b.row + j * b.col)]);
          sum[static_cast<size_t>(j)] += y;
          size[static_cast<size_t>(j)] += y < 0 ? -y : y;
        }
      }
      for (int64_t j = 0; j < s.n; ++j) {
        const size_t at = static_cast<size_t>(product * c.extent() + i * c.row + j);
        const size_t col = static_cast<size_t>(j);
        const W old = s.accumulate ? W(vc[at]) : W(0), bias = s.bias ? W(vbias[col]) : W(0);
        const W want = sum[col] + old + bias;
        const W bound = W(s.k + 2) * unit * (size[col] + fabsl(old) + fabsl(bias));
        if (!(fabsl(W(first[at]) - want) <= bound)) return report<T>(s, "error bound");
        written[at] = true;
      }
    }
  }
  for (size_t at = 0; at < written.size(); ++at)
    if (!written[at] && first[at] != gap) return report<T>(s, "wrote between rows");
  ++passed;
}

Shape random_options(int64_t m, int64_t n, int64_t k, Layout a, Layout b) {
  return {m,
          n,
          k,
          a,
          b,
          below(2) * below(6),
          below(3) == 0,
          below(3) == 0,
          below(2) == 0,
          0,
          below(2) == 0};
}

template <class T>
void check_small(const GemmTable& table) {
  const int64_t last = all_small ? 67 : 20;
  for (int64_t m = 0; m <= last; ++m)
    for (int64_t n = 0; n <= last; ++n)
      for (int64_t k = 0; k <= last; ++k)
        for (int layouts = 0; layouts < 4; ++layouts)
          if (below(thinning) == 0)
            check_shape<T>(table,
                           random_options(m, n, k, Layout(layouts & 1), Layout(layouts >> 1)), 1);
  for (int i = 0; i < 6000 / thinning; ++i) {
    Shape s = random_options(below(68), below(68), below(68), Layout(below(3)), Layout(below(3)));
    if (i % 4 == 0) s.batch = 1 + below(5);
    check_shape<T>(table, s, 1);
  }
  for (int i = 0; i < 1500 / thinning; ++i) {  // matrix-vector products and their neighbours
    Shape s = random_options(1 + below(5), 1 + below(68), 60 + below(200), Layout(below(3)),
                             Layout(below(3)));
    if (i % 2 == 0) std::swap(s.m, s.n);
    check_shape<T>(table, s, 1);
  }
}

// Large enough for several threads, blocks of k and of rows, and both ways of packing.
template <class T>
void check_large(const GemmTable& table) {
  const int64_t shapes[][3] = {{128, 128, 128}, {129, 257, 65},  {64, 1024, 520}, {1, 2000, 700},
                               {2, 1500, 800},  {3, 999, 1111},  {2000, 1, 700},  {2000, 3, 600},
                               {9, 333, 1025},  {520, 260, 513}, {300, 1000, 17}, {1000, 40, 90},
                               {257, 512, 300}, {1, 1, 300000},  {40, 1100, 64},  {700, 700, 3}};
  for (const auto& shape : shapes)
    for (int layouts = 0; layouts < 4; ++layouts)
      if (below(thinning) == 0)
        check_shape<T>(
            table,
            random_options(shape[0], shape[1], shape[2], Layout(layouts & 1), Layout(layouts >> 1)),
            3);
  for (int i = 0; i < 200; i += static_cast<int>(thinning)) {
    Shape s = random_options(1 + below(300), 1 + below(400), 1 + below(1100), Layout(below(3)),
                             Layout(below(3)));
    if (i % 10 == 0) s.batch = 1 + below(3);
    check_shape<T>(table, s, 3);
  }
  for (int i = 0; i < 10; ++i) {
    Shape s = random_options(1 + below(60), 1 + below(60), 1 + below(200), Layout(below(3)),
                             Layout(below(3)));
    s.batch = 20 + below(80);
    check_shape<T>(table, s, 3);
  }
}

// A NaN or infinity in one operand reaches exactly its row or column, even against zeros.
template <class T>
void check_special(const GemmTable& table) {
  const int64_t shapes[][3] = {{1, 50, 30},  {50, 1, 30},  {3, 50, 30},  {1, 50, 100},
                               {3, 50, 100}, {20, 50, 30}, {5, 300, 600}};
  for (const auto& shape : shapes)
    for (int layouts = 0; layouts < 4; ++layouts)
      for (const bool in_a : {true, false})
        for (const bool infinite : {true, false}) {
          Shape s{shape[0],
                  shape[1],
                  shape[2],
                  Layout(layouts & 1),
                  Layout(layouts >> 1),
                  0,
                  false,
                  false,
                  true,
                  0,
                  false};
          const Matrix a(s.m, s.k, s.a, 0), b(s.k, s.n, s.b, 0);
          std::vector<T> va(static_cast<size_t>(a.extent()), T(0)),
              vb(static_cast<size_t>(b.extent()), T(0)), vc(static_cast<size_t>(s.m * s.n), T(7));
          const T bad =
              infinite ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::quiet_NaN();
          const int64_t i = below(s.m), j = below(s.n), p = below(s.k);
          (in_a ? va[static_cast<size_t>(i * a.row + p * a.col)]
                : vb[static_cast<size_t>(p * b.row + j * b.col)]) = bad;
          GemmArgs<T> args{s.m,       s.n,   s.k,   va.data(), a.row, a.col,
                           vb.data(), b.row, b.col, vc.data(), s.n};
          char* scratch = regions->scratch.place<char>(
              static_cast<int64_t>(tg::cpu::gemm_scratch_bytes(table, args, 1)), true);
          tg::cpu::gemm(table, args, scratch, *pools[0]);
          bool ok = true;
          for (int64_t r = 0; r < s.m; ++r)
            for (int64_t q = 0; q < s.n; ++q) {
              const T x = vc[static_cast<size_t>(r * s.n + q)];
              ok = ok && ((in_a ? r == i : q == j) ? x != x : x == 0);
            }
          if (ok)
            ++passed;
          else
            report<T>(s, "special values");
        }
}

void check_table(const char* name, const GemmTable& table) {
  isa = name;
  const int64_t before = failed;
  check_small<float>(table);
  check_small<double>(table);
  check_large<float>(table);
  check_large<double>(table);
  check_special<float>(table);
  check_special<double>(table);
  printf("%s: %s\n", name, failed == before ? "ok" : "FAILED");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) thinning = std::max(1, atoi(argv[1]));
  all_small = argc > 1 && strcmp(argv[1], "long") == 0;
  tg::ThreadPool one(1), two(2), five(5);
  pools[0] = &one;
  pools[1] = &two;
  pools[2] = &five;
  Regions mapped;
  regions = &mapped;
#if defined(__x86_64__)
  check_table("baseline", gemm_table_baseline);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    check_table("avx2", gemm_table_avx2);
  else
    printf("avx2: skipped, this CPU lacks it\n");
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    check_table("avx512", gemm_table_avx512);
  else
    printf("avx512: skipped, this CPU lacks it\n");
#else
  check_table("neon", gemm_table_neon);
#endif
  printf("%lld passed, %lld failed\n", static_cast<long long>(passed),
         static_cast<long long>(failed));
  return failed != 0;
}
#endif
