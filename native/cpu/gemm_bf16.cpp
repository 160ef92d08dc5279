#include "gemm_bf16.h"

#include "spread.h"

namespace tg::cpu {

namespace {

// Below this many operations a second thread does not pay.
constexpr double kParallelFlops = 4e6;
constexpr int64_t kPage = 4096;

// Panels that are packed side by side where rows of A are few: long runs of B are read then.
constexpr int64_t kGroup = 4;
constexpr int64_t kGroupRows = 128;

// How one product is cut, and what a task needs: sizes in 4-byte words, multiples of a cache line.
struct Plan {
  int64_t batch_parts, row_parts, col_parts;
  bool pack_a;
  int64_t group;  // panels packed at a time
  int64_t a_words, b_words, sum_words;
  int64_t slot() const { return a_words + b_words + sum_words; }
  int64_t tasks() const { return batch_parts * row_parts * col_parts; }
};

int64_t lines(int64_t words) { return ceil_div(words, 16) * 16; }

Plan make_plan(const GemmBf16Table& table, const GemmBf16Args& g, int threads, int64_t batch) {
  Plan plan;
  const double flops = 2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) *
                       static_cast<double>(g.k) * static_cast<double>(batch);
  const int64_t wanted = flops < kParallelFlops ? 1 : threads;
  plan.batch_parts = min(batch, wanted == 1 ? 1 : 4 * wanted);
  const int64_t rest = ceil_div(wanted, plan.batch_parts);
  // Blocks of C that are about as wide as high need the least packing: each task does its own.
  const int64_t vectors = ceil_div(g.n, table.lanes), tiles = ceil_div(g.m, table.mr);
  plan.col_parts = 1;
  plan.row_parts = 1;
  while (plan.row_parts * plan.col_parts < rest) {
    const bool columns = g.n * plan.row_parts >= g.m * plan.col_parts;
    if (columns && 2 * plan.col_parts <= vectors)
      plan.col_parts *= 2;
    else if (2 * plan.row_parts <= tiles)
      plan.row_parts *= 2;
    else if (2 * plan.col_parts <= vectors)
      plan.col_parts *= 2;
    else
      break;
  }
  const int64_t rows = ceil_div(tiles, plan.row_parts) * table.mr;
  const int64_t cols = ceil_div(vectors, plan.col_parts) * table.lanes;
  // A is read where it lies unless its pairs do not adjoin, or its rows fall into few cache sets.
  plan.pack_a = g.a_col != 1 || (cols >= 256 && g.k >= 64 && g.a_row * 2 % kPage == 0);
  plan.a_words = plan.pack_a ? lines(rows * ceil_div(g.k, 2)) : 0;
  plan.group = g.b_col == 1 && min(g.m, rows) <= kGroupRows ? kGroup : 1;
  plan.b_words = plan.group * lines(ceil_div(min(g.k, table.kc), 2) * table.nr);
  plan.sum_words = g.k > table.kc ? plan.group * lines(rows * table.nr) : 0;
  return plan;
}

struct Block {
  int64_t row_begin, row_end, col_begin, col_end;
};

// A group of panels of equal width, `cols` columns from j on: passes over k, each packing its part
// of B.
void run_panels(const GemmBf16Table& table, const GemmBf16Args& g, const Plan& plan,
                GemmBf16Strip s, int64_t j, int64_t cols, uint32_t* packed_b, float* sums) {
  const uint16_t* const a = s.a;
  uint16_t* const c = s.c + j;
  for (int64_t p0 = 0; p0 < g.k; p0 += table.kc) {
    const int64_t terms = min(table.kc, g.k - p0);
    s.odd = !plan.pack_a && terms % 2 != 0;
    s.pairs = plan.pack_a ? ceil_div(terms, 2) : terms / 2;
    s.a = a + p0 / 2 * s.a_pair;
    const int64_t panel = s.b_row * ceil_div(terms, 2);
    table.pack(packed_b, s.b_row, panel, g.b + p0 * g.b_row + j * g.b_col, g.b_row, g.b_col, terms,
               cols);
    for (int64_t first = 0; first < cols; first += s.b_row) {
      float* const own = sums + first * s.m;
      s.n = min(s.b_row, cols - first);
      s.b = packed_b + first / s.b_row * panel;
      s.add = p0 > 0 ? own : nullptr;
      s.sum = p0 + terms < g.k ? own : nullptr;
      s.c = c + first;
      s.bias = g.bias != nullptr ? g.bias + j + first : nullptr;
      table.strip(s);
    }
  }
}

void run_block(const GemmBf16Table& table, const GemmBf16Args& g, const Plan& plan,
               const Block& block, uint32_t* scratch) {
  uint32_t* const packed_b = scratch + plan.a_words;
  float* const sums = reinterpret_cast<float*>(packed_b + plan.b_words);
  GemmBf16Strip s = {};
  s.m = block.row_end - block.row_begin;
  s.a = g.a + block.row_begin * g.a_row;
  s.a_row = g.a_row;
  s.a_pair = 2;
  s.c_row = g.c_row;
  if (plan.pack_a) {
    const int64_t tile = table.mr * ceil_div(g.k, 2);
    table.pack(scratch, table.mr, tile, s.a, g.a_col, g.a_row, g.k, s.m);
    s.a = reinterpret_cast<const uint16_t*>(scratch);
    s.a_row = 2;
    s.a_pair = 2 * table.mr;
    s.a_tile = 2 * tile;
  }
  const int64_t cols = block.col_end - block.col_begin;
  const int64_t vectors = ceil_div(cols, table.lanes), panels = ceil_div(cols, table.nr);
  const auto column = [&](int64_t panel) { return spread(vectors, panels, panel) * table.lanes; };
  s.c = g.c + block.row_begin * g.c_row;
  for (int64_t panel = 0; panel < panels;) {
    const int64_t begin = column(panel);
    s.b_row = column(panel + 1) - begin;
    int64_t end = panel + 1;
    while (end < panels && end - panel < plan.group && column(end + 1) - column(end) == s.b_row)
      ++end;
    run_panels(table, g, plan, s, block.col_begin + begin, min(cols, column(end)) - begin, packed_b,
               sums);
    panel = end;
  }
}

// Whether the product is a matrix by a vector, both adjoining along k.
bool is_vector(const GemmBf16Args& g) {
  return (g.m == 1 || g.n == 1) && g.a_col == 1 && g.b_row == 1;
}

void run_vector(const GemmBf16Table& table, const GemmBf16Args& g, const Block& block) {
  GemmBf16Vector v;
  v.k = g.k;
  v.bias = g.bias;
  if (g.m == 1) {
    v.n = block.col_end - block.col_begin;
    v.matrix = g.b + block.col_begin * g.b_col;
    v.step = g.b_col;
    v.x = g.a;
    v.y = g.c + block.col_begin;
    v.y_step = 1;
    v.bias_step = 1;
    if (v.bias != nullptr) v.bias += block.col_begin;
  } else {
    v.n = block.row_end - block.row_begin;
    v.matrix = g.a + block.row_begin * g.a_row;
    v.step = g.a_row;
    v.x = g.b;
    v.y = g.c + block.row_begin * g.c_row;
    v.y_step = g.c_row;
    v.bias_step = 0;
  }
  table.vector(v);
}

// A product over no terms: one pass over a pair of zeros, in the kernels' own rounding.
void empty_product(const GemmBf16Table& table, GemmBf16Args g, const GemmBatch& batch) {
  const uint16_t zeros[2] = {};
  alignas(64) uint32_t panel[64] = {};
  GemmBf16Strip s = {};
  s.a = zeros;
  s.pairs = 1;
  s.b = panel;
  s.b_row = table.nr;
  s.m = g.m;
  s.c_row = g.c_row;
  for (int64_t i = 0; i < batch.count; ++i)
    for (int64_t j = 0; j < g.n; j += table.nr) {
      s.n = min(table.nr, g.n - j);
      s.c = g.c + (batch.c != nullptr ? batch.c[i] : 0) + j;
      s.bias = g.bias != nullptr ? g.bias + j : nullptr;
      table.strip(s);
    }
}

}  // namespace

size_t gemm_bf16_scratch_bytes(const GemmBf16Table& table, const GemmBf16Args& g, int threads,
                               int64_t batch) {
  if (g.m <= 0 || g.n <= 0 || g.k <= 0 || batch <= 0) return 0;
  const Plan plan = make_plan(table, g, threads, batch);
  return static_cast<size_t>(plan.slot()) * static_cast<size_t>(plan.tasks()) * 4;
}

void gemm_bf16(const GemmBf16Table& table, const GemmBf16Args& g, const GemmBatch& batch,
               void* scratch, ThreadPool& pool) {
  if (g.m <= 0 || g.n <= 0 || batch.count <= 0) return;
  if (g.k <= 0) return empty_product(table, g, batch);
  const Plan plan = make_plan(table, g, pool.size(), batch.count);
  const int64_t vectors = ceil_div(g.n, table.lanes), tiles = ceil_div(g.m, table.mr);
  parallel(pool, plan.tasks(), [&](int64_t task) {
    const int64_t col = task % plan.col_parts, row = task / plan.col_parts % plan.row_parts;
    const int64_t part = task / (plan.col_parts * plan.row_parts);
    const Block block = {spread(tiles, plan.row_parts, row) * table.mr,
                         min(g.m, spread(tiles, plan.row_parts, row + 1) * table.mr),
                         spread(vectors, plan.col_parts, col) * table.lanes,
                         min(g.n, spread(vectors, plan.col_parts, col + 1) * table.lanes)};
    uint32_t* slot = static_cast<uint32_t*>(scratch) + task * plan.slot();
    const int64_t end = spread(batch.count, plan.batch_parts, part + 1);
    for (int64_t i = spread(batch.count, plan.batch_parts, part); i < end; ++i) {
      GemmBf16Args one = g;
      one.a += batch.a != nullptr ? batch.a[i] : 0;
      one.b += batch.b != nullptr ? batch.b[i] : 0;
      one.c += batch.c != nullptr ? batch.c[i] : 0;
      if (is_vector(g))
        run_vector(table, one, block);
      else
        run_block(table, one, plan, block, slot);
    }
  });
}

}  // namespace tg::cpu
