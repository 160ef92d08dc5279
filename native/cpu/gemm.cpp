// The loops of the matrix product over blocks, packing and threads, as gemm_plan.h decides them;
// built for the baseline, it calls the ISA's kernels through the table. Includes no kernel headers.
#include "gemm.h"

#include "gemm_plan.h"

namespace tg::cpu {
namespace {

using namespace blocking;

constexpr int64_t kFinishBytes = 32 << 10;  // of C that become finished before finish sees them
constexpr int64_t kTilesPerPacking = 4;     // tiles of A in one task of packing them for all

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

// Tiles [begin, end) of the rows x terms that begin at `a`, one after the other: terms columns of
// mr.
template <class T>
void pack_tiles(const GemmKernels<T>& kernel, const GemmArgs<T>& g, const T* a, int64_t rows,
                int64_t terms, int64_t begin, int64_t end, T* to) {
  const int64_t tiles = ceil_div(rows, kernel.mr);
  for (int64_t t = begin; t < min(end, tiles); ++t) {
    const int64_t first = spread(rows, tiles, t), count = spread(rows, tiles, t + 1) - first;
    kernel.pack(to + t * kernel.mr * terms, kernel.mr, a + first * g.a_row, g.a_col, g.a_row, terms,
                count);
  }
}

// Where the shared A has the block of rows at i0, a multiple of mr, and of terms at p0.
template <class T>
T* shared_block(const GemmKernels<T>& kernel, const GemmArgs<T>& g, T* shared, int64_t i0,
                int64_t p0, int64_t terms) {
  return shared + round_up(g.m, kernel.mr) * p0 + i0 * terms;
}

// One block of C by register tiles. Packed panels lie one after the other, each kc rows of its
// width rounded up to whole registers; packed tiles of A lie likewise, kc columns of mr.
template <class T>
void run_tiles(const GemmKernels<T>& kernel, const GemmArgs<T>& g, const Plan& plan,
               const Block& block, int64_t first_row, T* shared, T* scratch) {
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
          T* const to = plan.share_a ? shared_block(kernel, g, shared, i0, p0, s.k) : packed_a;
          if (!plan.share_a) pack_tiles(kernel, g, s.a, s.m, s.k, 0, s.m, to);
          s.a = to;
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
            T* const to = packed_b + (plan.keep_b ? first * s.k : 0);
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

// The rows and columns of part number `task` of every product.
template <class T>
Block block_of(const GemmKernels<T>& kernel, const GemmArgs<T>& g, const Plan& plan, int64_t task) {
  const int64_t col_part = task % plan.col_parts;
  const int64_t row_part = task / plan.col_parts % plan.row_parts;
  const int64_t row_unit = plan.method == Method::kTiles ? kernel.mr : kernel.lanes;
  const int64_t row_units = ceil_div(g.m, row_unit), col_units = ceil_div(g.n, kernel.lanes);
  return {spread(row_units, plan.row_parts, row_part) * row_unit,
          min(g.m, spread(row_units, plan.row_parts, row_part + 1) * row_unit),
          spread(col_units, plan.col_parts, col_part) * kernel.lanes,
          min(g.n, spread(col_units, plan.col_parts, col_part + 1) * kernel.lanes)};
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
  T* shared = job.scratch;
  T* scratch =
      job.scratch + (plan.slot_elements > 0 ? plan.shared_elements + task * plan.slot_elements : 0);
  const Block block = block_of(kernel, g, plan, task);
  const int64_t batch_part = task / (plan.col_parts * plan.row_parts);
  const int64_t end = spread(job.batch->count, plan.batch_parts, batch_part + 1);
  for (int64_t i = spread(job.batch->count, plan.batch_parts, batch_part); i < end; ++i) {
    g.a = job.args->a + (job.batch->a != nullptr ? job.batch->a[i] : 0);
    g.b = job.args->b + (job.batch->b != nullptr ? job.batch->b[i] : 0);
    g.c = job.args->c + (job.batch->c != nullptr ? job.batch->c[i] : 0);
    if (plan.method == Method::kTiles) {
      run_tiles(kernel, g, plan, block, i * g.m, shared, scratch);
    } else {
      run_vectors(kernel, g, plan.method, block, scratch);
      finish(g, i * g.m, block);
    }
  }
}

// Packs A for all parts of a product: some tiles of one block of rows and terms.
template <class T>
struct SharedPacking {
  const Job<T>& job;
  int64_t groups, row_blocks, term_blocks;  // groups of tiles in a block of rows; those in a part

  explicit SharedPacking(const Job<T>& its_job)
      : job(its_job),
        groups(ceil_div(job.plan->mc, job.kernel->mr * kTilesPerPacking)),
        row_blocks(ceil_div(
            ceil_div(ceil_div(job.args->m, job.kernel->mr), job.plan->row_parts) * job.kernel->mr,
            job.plan->mc)),
        term_blocks(ceil_div(job.args->k, job.plan->kc)) {}

  int64_t tasks() const { return job.plan->row_parts * row_blocks * term_blocks * groups; }

  void operator()(int64_t task) const {
    const GemmKernels<T>& kernel = *job.kernel;
    const GemmArgs<T>& g = *job.args;
    const Plan& plan = *job.plan;
    const int64_t first = task % groups * kTilesPerPacking;
    const int64_t p0 = task / groups % term_blocks * plan.kc;
    const int64_t row_block = task / (groups * term_blocks);
    const Block part = block_of(kernel, g, plan, row_block / row_blocks * plan.col_parts);
    const int64_t i0 = part.row_begin + row_block % row_blocks * plan.mc;
    const int64_t rows = min(plan.mc, part.row_end - i0), terms = min(plan.kc, g.k - p0);
    const T* const a = g.a + i0 * g.a_row + p0 * g.a_col;
    if (rows > 0)
      pack_tiles(kernel, g, a, rows, terms, first, first + kTilesPerPacking,
                 shared_block(kernel, g, job.scratch, i0, p0, terms));
  }
};

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
  if (plan.share_a) {
    const SharedPacking<T> packing(job);
    parallel(pool, packing.tasks(), packing, plan.wake);
  }
  pool.run(plan.tasks(), run_task<T>, &job, plan.wake);
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
  return static_cast<size_t>(plan.shared_elements + plan.slot_elements * plan.tasks()) * sizeof(T);
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
