// Blocking, packing decisions and threading of the matrix product; built for the baseline, it calls
// the ISA's kernels through the table. Includes no kernel headers.
#include "gemm.h"

namespace tg::cpu {
namespace {

constexpr int64_t kRowBlock = 192;          // rows of A that stay in L2 while panels of B pass
constexpr int64_t kPanelBlock = 1920;       // columns of B packed at a time
constexpr double kParallelFlops = 5e5;      // below, waking and joining threads costs more
constexpr int64_t kFinishBytes = 32 << 10;  // of C that become finished before finish sees them
constexpr int64_t kPage = 4096;             // rows at this stride fall into the same few cache sets

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

// Where part `index` of `parts` begins when `count` things are spread evenly.
int64_t spread(int64_t count, int64_t parts, int64_t index) {
  return count / parts * index + min(index, count % parts);
}

template <class T>
const GemmKernels<T>& kernels(const GemmTable& table);
template <>
const GemmKernels<float>& kernels(const GemmTable& table) {
  return table.f32;
}
template <>
const GemmKernels<double>& kernels(const GemmTable& table) {
  return table.f64;
}

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
  int64_t kc, mc, nc;                 // blocks: terms, rows, columns
  int64_t row_parts, col_parts;       // of one product
  int64_t batch_parts;                // ranges of products
  int64_t a_elements, slot_elements;  // scratch per task; A's part of it comes first
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
// L2 owns its share of B; then rows.
template <class T>
void split(const GemmKernels<T>& kernel, const GemmArgs<T>& g, int64_t threads, Plan& plan) {
  const int64_t vectors = ceil_div(g.n, kernel.lanes), tiles = ceil_div(g.m, kernel.mr);
  const int64_t wide = max(1, vectors / (2 * kernel.nr / kernel.lanes));
  plan.row_parts = plan.col_parts = 1;
  if (plan.method == Method::kTiles) {
    plan.col_parts = min(threads, wide);
    plan.row_parts = min(ceil_div(threads, plan.col_parts), tiles);
    if (plan.row_parts * plan.col_parts < threads) plan.col_parts = min(threads, vectors);
  } else if (g.n == 1) {
    plan.row_parts = min(threads, ceil_div(g.m, kernel.lanes));
  } else {
    plan.col_parts = min(threads, vectors);
  }
}

// Threads that a product pays for, of those there are.
template <class T>
int64_t worthwhile(const GemmArgs<T>& g, int threads, int64_t batch) {
  const double flops = 2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) *
                       static_cast<double>(g.k) * static_cast<double>(batch);
  // Narrow products are bound by memory: their time per operation is that of eight rows.
  const double weight = min(g.m, g.n) < 8 ? 8.0 / static_cast<double>(min(g.m, g.n)) : 1.0;
  return threads <= 1 || flops * weight < kParallelFlops ? 1 : threads;
}

template <class T>
Plan make_plan(const GemmKernels<T>& kernel, const GemmArgs<T>& g, int pool_size, int64_t batch) {
  Plan plan;
  plan.method = choose_method(g);
  const int64_t threads = worthwhile(g, pool_size, batch);
  plan.batch_parts = min(batch, threads == 1 ? 1 : 4 * threads);
  split(kernel, g, ceil_div(threads, plan.batch_parts), plan);

  plan.pack_a = plan.pack_b = false;
  plan.kc = plan.mc = plan.nc = 0;
  plan.a_elements = plan.slot_elements = 0;
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
  const auto page_stride = [&](int64_t stride) {
    return stride * static_cast<int64_t>(sizeof(T)) % kPage == 0;
  };
  // Panels of B are read once per tile of rows: copying them pays for many rows, and earlier where
  // rows a page apart fall into few cache sets.
  plan.pack_b = g.b_col != 1 || (g.k >= 64 && g.m >= 256) ||
                (g.k >= 256 && g.m > 128 && page_stride(g.b_row));
  // Unpacked, such a panel stays in L2 only for a short pass.
  if (!plan.pack_b && page_stride(g.b_row)) kc = min(kc, kernel.kc / 2);
  plan.kc = g.k == 0 ? 0 : ceil_div(g.k, ceil_div(g.k, kc));
  // A is broadcast from where it lies, unless its tiles spread over many lines or few cache sets.
  plan.pack_a = cols >= 256 && g.k >= 64 && (g.a_col != 1 || page_stride(g.a_row));
  if (plan.pack_a) plan.a_elements = plan.mc * plan.kc;
  plan.slot_elements =
      round_up(plan.a_elements, line) + (plan.pack_b ? round_up(plan.nc * plan.kc, line) : 0);
  plan.a_elements = round_up(plan.a_elements, line);
  return plan;
}

struct Block {
  int64_t row_begin, row_end, col_begin, col_end;
};

// Hands the rows of a block over; first_row: the number of the product's first row in the batch.
template <class T>
void finish(const GemmArgs<T>& g, int64_t first_row, const Block& block) {
  if (g.finish.fn == nullptr || block.col_begin == block.col_end) return;
  for (int64_t i = block.row_begin; i < block.row_end; ++i)
    g.finish.fn(g.finish.arg, g.c + i * g.c_row + block.col_begin, first_row + i, block.col_begin,
                block.col_end - block.col_begin);
}

// C = 0 (or stays), plus the bias: what a product over no terms is.
template <class T>
void empty_product(const GemmArgs<T>& g) {
  for (int64_t i = 0; i < g.m; ++i) {
    T* row = g.c + i * g.c_row;
    for (int64_t j = 0; j < g.n; ++j) {
      if (!g.accumulate) row[j] = 0;
      if (g.epilogue.bias != nullptr) row[j] += g.epilogue.bias[j];
    }
  }
}

template <class T>
void run_vectors(const GemmKernels<T>& kernel, const GemmArgs<T>& g, Method method,
                 const Block& block, T* scratch) {
  GemmVector<T> v;
  v.k = g.k;
  v.accumulate = g.accumulate;
  v.bias = g.epilogue.bias;
  if (method == Method::kDotRows || method == Method::kAxpyColumn) {
    v.n = block.row_end - block.row_begin;
    v.matrix = g.a + block.row_begin * g.a_row;
    v.out_step = g.a_row;
    v.term_step = g.a_col;
    v.x = g.b;
    v.x_step = g.b_row;
    v.y = g.c + block.row_begin * g.c_row;
    v.y_step = g.c_row;
    v.bias_step = 0;
  } else {
    v.n = block.col_end - block.col_begin;
    v.matrix = g.b + block.col_begin * g.b_col;
    v.out_step = g.b_col;
    v.term_step = g.b_row;
    v.x = g.a;
    v.x_step = g.a_col;
    v.y = g.c + block.col_begin;
    v.y_step = 1;
    v.bias_step = 1;
    if (v.bias != nullptr) v.bias += block.col_begin;
  }
  if (method == Method::kAxpyRow || method == Method::kAxpyColumn) return kernel.axpy(v);
  const int64_t x_step = v.x_step;
  const int64_t rows = method == Method::kDotColumns ? g.m : 1;
  for (int64_t i = 0; i < rows; ++i) {
    if (x_step != 1) {
      const T* x = method == Method::kDotRows ? g.b : g.a + i * g.a_row;
      kernel.pack(scratch, 1, x, x_step, 1, g.k, 1);
      v.x = scratch;
      v.x_step = 1;
    }
    kernel.dot(v);
    v.x += g.a_row;
    v.y += g.c_row;
  }
}

// One block of C by register tiles. Packed panels lie one after the other, each kc rows of its
// width rounded up to whole registers; packed tiles of A lie likewise, kc columns of mr.
template <class T>
void run_tiles(const GemmKernels<T>& kernel, const GemmArgs<T>& g, const Plan& plan,
               const Block& block, int64_t first_row, T* scratch) {
  T* const packed_a = scratch;
  T* const packed_b = scratch + plan.a_elements;
  for (int64_t j0 = block.col_begin; j0 < block.col_end; j0 += plan.nc) {
    const int64_t cols = min(plan.nc, block.col_end - j0);
    const int64_t vectors = ceil_div(cols, kernel.lanes);
    const int64_t panels = ceil_div(cols, kernel.nr);
    for (int64_t p0 = 0; p0 < g.k; p0 += plan.kc) {
      GemmStrip<T> s;
      s.k = min(plan.kc, g.k - p0);
      s.c_row = g.c_row;
      s.accumulate = g.accumulate || p0 > 0;
      s.epilogue = {};
      for (int64_t i0 = block.row_begin; i0 < block.row_end; i0 += plan.mc) {
        s.m = min(plan.mc, block.row_end - i0);
        s.a = g.a + i0 * g.a_row + p0 * g.a_col;
        s.a_row = g.a_row;
        s.a_col = g.a_col;
        s.a_tile = 0;
        if (plan.pack_a) {
          const int64_t tiles = ceil_div(s.m, kernel.mr);
          for (int64_t t = 0; t < tiles; ++t) {
            const int64_t first = spread(s.m, tiles, t), rows = spread(s.m, tiles, t + 1) - first;
            kernel.pack(packed_a + t * kernel.mr * s.k, kernel.mr, s.a + first * g.a_row, g.a_col,
                        g.a_row, s.k, rows);
          }
          s.a = packed_a;
          s.a_row = 1;
          s.a_col = kernel.mr;
          s.a_tile = kernel.mr * s.k;
        }
        int64_t unfinished = j0;
        for (int64_t panel = 0; panel < panels; ++panel) {
          const int64_t first = spread(vectors, panels, panel) * kernel.lanes;
          const int64_t width = spread(vectors, panels, panel + 1) * kernel.lanes - first;
          const int64_t j = j0 + first;
          s.n = min(width, cols - first);
          s.b = g.b + p0 * g.b_row + j * g.b_col;
          s.b_row = g.b_row;
          if (plan.pack_b) {
            T* const to = packed_b + first * s.k;
            if (i0 == block.row_begin) kernel.pack(to, width, s.b, g.b_row, g.b_col, s.k, s.n);
            s.b = to;
            s.b_row = width;
          }
          // While this panel is computed, fetch what is read from B next.
          s.next = s.b;
          s.next_row = 0;
          if (g.b_col == 1 && panel + 1 < panels && i0 == block.row_begin) {
            s.next = g.b + p0 * g.b_row + j + width;
            s.next_row = g.b_row;
          } else if (g.b_col == 1 && p0 + s.k < g.k && i0 + s.m == block.row_end) {
            s.next = g.b + (p0 + s.k) * g.b_row + j0;
            s.next_row = g.b_row;
          }
          s.c = g.c + i0 * g.c_row + j;
          if (g.epilogue.bias != nullptr && p0 + s.k == g.k) s.epilogue.bias = g.epilogue.bias + j;
          kernel.strip(s);
          const int64_t bytes = (j + s.n - unfinished) * s.m * static_cast<int64_t>(sizeof(T));
          if (p0 + s.k == g.k && (bytes >= kFinishBytes || panel + 1 == panels)) {
            finish(g, first_row, {i0, i0 + s.m, unfinished, j + s.n});
            unfinished = j + s.n;
          }
        }
      }
    }
  }
}

template <class T>
struct Job {
  const GemmKernels<T>* kernel;
  const GemmArgs<T>* args;
  const GemmBatch* batch;
  const Plan* plan;
  T* scratch;
};

template <class T>
void run_task(void* arg, int64_t task) {
  const Job<T>& job = *static_cast<const Job<T>*>(arg);
  const GemmKernels<T>& kernel = *job.kernel;
  const Plan& plan = *job.plan;
  GemmArgs<T> g = *job.args;
  T* scratch = job.scratch + (plan.slot_elements > 0 ? task * plan.slot_elements : 0);
  const int64_t col_part = task % plan.col_parts;
  const int64_t row_part = task / plan.col_parts % plan.row_parts;
  const int64_t batch_part = task / (plan.col_parts * plan.row_parts);
  const int64_t row_unit = plan.method == Method::kTiles ? kernel.mr : kernel.lanes;
  const int64_t row_units = ceil_div(g.m, row_unit), col_units = ceil_div(g.n, kernel.lanes);
  const Block block = {spread(row_units, plan.row_parts, row_part) * row_unit,
                       min(g.m, spread(row_units, plan.row_parts, row_part + 1) * row_unit),
                       spread(col_units, plan.col_parts, col_part) * kernel.lanes,
                       min(g.n, spread(col_units, plan.col_parts, col_part + 1) * kernel.lanes)};
  const int64_t end = spread(job.batch->count, plan.batch_parts, batch_part + 1);
  for (int64_t i = spread(job.batch->count, plan.batch_parts, batch_part); i < end; ++i) {
    g.a = job.args->a + (job.batch->a != nullptr ? job.batch->a[i] : 0);
    g.b = job.args->b + (job.batch->b != nullptr ? job.batch->b[i] : 0);
    g.c = job.args->c + (job.batch->c != nullptr ? job.batch->c[i] : 0);
    if (plan.method == Method::kTiles) {
      run_tiles(kernel, g, plan, block, i * g.m, scratch);
    } else {
      run_vectors(kernel, g, plan.method, block, scratch);
      finish(g, i * g.m, block);
    }
  }
}

template <class T>
void run_batch(const GemmTable& table, const GemmArgs<T>& g, const GemmBatch& batch, void* scratch,
               ThreadPool& pool) {
  if (g.m <= 0 || g.n <= 0 || batch.count <= 0) return;
  if (g.k <= 0) {
    for (int64_t i = 0; i < batch.count; ++i) {
      GemmArgs<T> one = g;
      if (batch.c != nullptr) one.c += batch.c[i];
      empty_product(one);
      finish(one, i * g.m, {0, g.m, 0, g.n});
    }
    return;
  }
  const GemmKernels<T>& kernel = kernels<T>(table);
  const Plan plan = make_plan(kernel, g, pool.size(), batch.count);
  Job<T> job = {&kernel, &g, &batch, &plan, static_cast<T*>(scratch)};
  pool.run(plan.tasks(), run_task<T>, &job);
}

template <class T>
void run_single(const GemmTable& table, const GemmArgs<T>& g, void* scratch, ThreadPool& pool) {
  // Small products read in place: straight to the kernel, with the same bits as the long way.
  const GemmKernels<T>& kernel = kernels<T>(table);
  if (g.b_col == 1 && g.m > 1 && g.n > 1 && g.k > 0 && g.m <= 64 && g.n <= 256 && g.k <= 64 &&
      worthwhile(g, pool.size(), 1) == 1) {
    GemmStrip<T> s = {g.m,     g.n, g.k,     g.a,          g.a_row,    g.a_col, 0, g.b,
                      g.b_row, g.c, g.c_row, g.accumulate, g.epilogue, g.b,     0};
    for (int64_t j = 0; j < g.n; j += kernel.nr) {
      s.n = min(kernel.nr, g.n - j);
      s.b = s.next = g.b + j;
      s.c = g.c + j;
      if (g.epilogue.bias != nullptr) s.epilogue.bias = g.epilogue.bias + j;
      kernel.strip(s);
    }
    finish(g, 0, {0, g.m, 0, g.n});
    return;
  }
  run_batch(table, g, GemmBatch{}, scratch, pool);
}

template <class T>
size_t scratch_bytes(const GemmTable& table, const GemmArgs<T>& g, int threads, int64_t batch) {
  if (g.m <= 0 || g.n <= 0 || g.k <= 0 || batch <= 0) return 0;
  const Plan plan = make_plan(kernels<T>(table), g, threads, batch);
  return static_cast<size_t>(plan.slot_elements) * static_cast<size_t>(plan.tasks()) * sizeof(T);
}

}  // namespace

size_t gemm_scratch_bytes(const GemmTable& table, const GemmArgs<float>& args, int threads,
                          int64_t batch) {
  return scratch_bytes(table, args, threads, batch);
}
size_t gemm_scratch_bytes(const GemmTable& table, const GemmArgs<double>& args, int threads,
                          int64_t batch) {
  return scratch_bytes(table, args, threads, batch);
}

void gemm(const GemmTable& table, const GemmArgs<float>& args, void* scratch, ThreadPool& pool) {
  run_single(table, args, scratch, pool);
}
void gemm(const GemmTable& table, const GemmArgs<double>& args, void* scratch, ThreadPool& pool) {
  run_single(table, args, scratch, pool);
}

void gemm_batched(const GemmTable& table, const GemmArgs<float>& args, const GemmBatch& batch,
                  void* scratch, ThreadPool& pool) {
  run_batch(table, args, batch, scratch, pool);
}
void gemm_batched(const GemmTable& table, const GemmArgs<double>& args, const GemmBatch& batch,
                  void* scratch, ThreadPool& pool) {
  run_batch(table, args, batch, scratch, pool);
}

}  // namespace tg::cpu
