// How a matrix product is computed: the method, what is packed, blocks, and parts for threads. Pure
// arithmetic on shapes and strides, for gemm.cpp alone. Includes no kernel headers.
#pragma once

#include "gemm.h"
#include "spread.h"

namespace tg::cpu::blocking {

constexpr int64_t kRowBlock = 192;      // rows of A that stay in L2 while panels of B pass
constexpr int64_t kPanelBlock = 1920;   // columns of B packed at a time
constexpr double kParallelFlops = 5e5;  // below, joining threads that are awake costs more
constexpr double kWakeFlops = 2e6;      // below, waking threads that sleep costs more
constexpr int64_t kPartsPerThread = 2;  // of packed columns: a late thread's second is taken over
constexpr int64_t kPage = 4096;         // rows at this stride fall into the same few cache sets

enum class Method {
  kTiles,
  kDotColumns,  // few rows of A, each dotted with B's columns, contiguous in memory
  kDotRows,     // B is one column, A's rows are contiguous
  kAxpyRow,     // A is one row, B's rows are contiguous
  kAxpyColumn,  // B is one column, A's columns are contiguous
};

// How one shape is computed. Everything that decides about bits follows from the shape alone.
struct Plan {
  Method method;
  bool pack_a, pack_b;
  bool share_a;                       // A is packed once, whole, before the parts begin
  bool keep_b;                        // packed panels serve several blocks of rows, not just one
  int64_t kc, mc, nc;                 // blocks: terms, rows, columns
  int64_t row_parts, col_parts;       // of one product
  int64_t batch_parts;                // ranges of products
  int64_t shared_elements;            // scratch for the shared A, before that of the tasks
  int64_t a_elements, slot_elements;  // scratch per task; its own A's part of it comes first
  ThreadPool::Wake wake;
  int64_t tasks() const { return row_parts * col_parts * batch_parts; }
};

template <class T>
Method choose_method(const GemmArgs<T>& g) {
  if (g.n == 1 && g.a_col == 1) return Method::kDotRows;
  // So few rows do not pay for transposing B; short columns are not worth a dot product's sum.
  if (g.m <= 4 && g.k >= 64 && g.b_row == 1 && (g.b_col != 1 || g.n == 1))
    return Method::kDotColumns;
  if (g.m == 1 && g.b_col == 1) return Method::kAxpyRow;
  if (g.n == 1 && g.a_row == 1 && g.c_row == 1 && g.epilogue.bias == nullptr)
    return Method::kAxpyColumn;
  return Method::kTiles;
}

// Parts of a product for `threads`: columns as long as each part keeps two panels, so that a core's
// L2 owns its share of B, several per thread if B is packed (in place, short rows cost more); or
// rows.
template <class T>
void split(const GemmKernels<T>& kernel, const GemmArgs<T>& g, int64_t threads, Plan& plan) {
  const int64_t vectors = ceil_div(g.n, kernel.lanes), tiles = ceil_div(g.m, kernel.mr);
  const int64_t wide = max(1, vectors / (2 * kernel.nr / kernel.lanes));
  plan.row_parts = plan.col_parts = 1;
  if (plan.method == Method::kTiles) {
    const int64_t each = threads > 1 && plan.pack_b ? kPartsPerThread : 1;
    plan.col_parts = min(threads, wide) * max(1, min(each, wide / threads));
    plan.row_parts = min(ceil_div(threads, plan.col_parts), tiles);
    if (plan.row_parts * plan.col_parts < threads) plan.col_parts = min(threads, vectors);
  } else if (g.n == 1) {
    plan.row_parts = min(threads, ceil_div(g.m, kernel.lanes));
  } else {
    plan.col_parts = min(threads, vectors);
  }
}

// What decides whether threads pay: operations, those of narrow products weighted.
template <class T>
double work(const GemmArgs<T>& g, int64_t batch) {
  const double flops = 2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) *
                       static_cast<double>(g.k) * static_cast<double>(batch);
  // Narrow products are bound by memory: their time per operation is that of eight rows.
  const double weight = min(g.m, g.n) < 8 ? 8.0 / static_cast<double>(min(g.m, g.n)) : 1.0;
  return flops * weight;
}

// Threads that a product pays for, of those there are.
template <class T>
int64_t worthwhile(const GemmArgs<T>& g, int threads, int64_t batch) {
  return threads <= 1 || work(g, batch) < kParallelFlops ? 1 : threads;
}

template <class T>
Plan make_plan(const GemmKernels<T>& kernel, const GemmArgs<T>& g, int pool_size, int64_t batch) {
  Plan plan;
  plan.method = choose_method(g);
  const int64_t threads = worthwhile(g, pool_size, batch);
  plan.wake =
      work(g, batch) < kWakeFlops ? ThreadPool::Wake::kIfFrequent : ThreadPool::Wake::kAlways;
  plan.batch_parts = min(batch, threads == 1 ? 1 : 4 * threads);
  const auto page_stride = [&](int64_t stride) {
    return stride * static_cast<int64_t>(sizeof(T)) % kPage == 0;
  };
  // Panels of B are read once per tile of rows: copying them pays for many rows, and earlier where
  // rows a page apart fall into few cache sets.
  plan.pack_a = false;
  plan.pack_b =
      plan.method == Method::kTiles && (g.b_col != 1 || (g.k >= 64 && g.m >= 256) ||
                                        (g.k >= 256 && g.m > 128 && page_stride(g.b_row)));
  split(kernel, g, ceil_div(threads, plan.batch_parts), plan);

  plan.kc = plan.mc = plan.nc = 0;
  plan.share_a = plan.keep_b = false;
  plan.shared_elements = plan.a_elements = plan.slot_elements = 0;
  const int64_t line = static_cast<int64_t>(kGemmScratchAlign / sizeof(T));
  if (plan.method != Method::kTiles) {
    const bool contiguous = plan.method == Method::kDotColumns ? g.a_col == 1 : g.b_row == 1;
    const bool dots = plan.method == Method::kDotColumns || plan.method == Method::kDotRows;
    if (dots && !contiguous) plan.slot_elements = round_up(g.k, line);
    return plan;
  }
  const int64_t rows = ceil_div(ceil_div(g.m, kernel.mr), plan.row_parts) * kernel.mr;
  const int64_t cols = ceil_div(ceil_div(g.n, kernel.lanes), plan.col_parts) * kernel.lanes;
  int64_t kc = kernel.kc;
  plan.mc = round_up(ceil_div(rows, ceil_div(rows, kRowBlock)), kernel.mr);
  plan.nc = round_up(ceil_div(cols, ceil_div(cols, kPanelBlock)), kernel.lanes);
  // In place, a panel whose rows lie a page apart stays in L2 only for a short pass.
  if (!plan.pack_b && page_stride(g.b_row)) kc = min(kc, kernel.kc / 2);
  plan.kc = g.k == 0 ? 0 : ceil_div(g.k, ceil_div(g.k, kc));
  // A is broadcast from where it lies, unless its tiles spread over many lines or few cache sets.
  const bool spread_out = g.a_col == 1   ? page_stride(g.a_row)
                          : g.a_row == 1 ? g.k > 128 || page_stride(g.a_col)
                                         : true;
  plan.pack_a = g.n >= 256 && g.k >= 64 && spread_out;
  plan.share_a = plan.pack_a && batch == 1 && plan.tasks() > 1;
  if (plan.share_a)
    plan.shared_elements = round_up(round_up(g.m, kernel.mr) * g.k, line);
  else if (plan.pack_a)
    plan.a_elements = plan.mc * plan.kc;
  plan.a_elements = round_up(plan.a_elements, line);
  plan.slot_elements = plan.a_elements;
  // A panel for one block of rows is done with at once: the next takes its place, which stays in
  // L2.
  plan.keep_b = rows > plan.mc;
  if (plan.pack_b)
    plan.slot_elements +=
        round_up((plan.keep_b ? plan.nc : min(plan.nc, kernel.nr)) * plan.kc, line);
  return plan;
}

}  // namespace tg::cpu::blocking
