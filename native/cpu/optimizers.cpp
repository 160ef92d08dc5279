// Cuts lists of parameters into even parts for the threads and calls the ISA's kernels; see
// optimizers.h. No instruction set beyond the baseline.
#include "optimizers.h"

#include <cmath>

#include "../core/thread_pool.h"
#include "copy.h"

namespace tg::cpu {
namespace {

constexpr int64_t kGrain = 4096;    // elements of a part at least: 16 KiB of float32 parameters
constexpr int64_t kSerial = 16384;  // fewer elements than this are not worth waking a thread
constexpr int64_t kLine = 64;       // parts start at multiples of this many elements of an item

// The items laid end to end: item i has the elements start[i] … start[i + 1] - 1.
struct Spans {
  int64_t* start;
  int n;
  int64_t total() const { return start[n]; }
};

// f(item, begin, end) for ranges that together cover all items; begin is a multiple of `unit`, end
// too or the item's end.
template <class F>
void for_ranges(ThreadPool& threads, const Spans& spans, int64_t unit, F&& f) {
  const int64_t total = spans.total();
  if (total == 0) return;
  int64_t step = total;
  if (total >= kSerial && threads.size() > 1) {
    step = total / (16 * threads.size());
    if (step < kGrain) step = kGrain;
  }
  parallel(threads, (total + step - 1) / step, [&](int64_t task) {
    const int64_t low = task * step, high = low + step < total ? low + step : total;
    int first = 0;
    for (int last = spans.n; last - first > 1;) {
      const int middle = first + (last - first) / 2;
      (spans.start[middle] <= low ? first : last) = middle;
    }
    for (int i = first; i < spans.n && spans.start[i] < high; ++i) {
      const int64_t start = spans.start[i], count = spans.start[i + 1] - start;
      // Both neighbours of a cut round it up alike.
      const auto cut = [&](int64_t at) {
        const int64_t inside = at <= start ? 0 : (at - start + unit - 1) / unit * unit;
        return inside < count ? inside : count;
      };
      const int64_t begin = cut(low), end = cut(high);
      if (begin < end) f(i, begin, end);
    }
  });
}

// Σ counts in scratch, with `extra` more words behind; null data if memory is short.
template <class Count>
Spans make_spans(ExecContext* ctx, int n, Count&& count, size_t extra) {
  Spans spans{static_cast<int64_t*>(
                  ctx->scratch(ctx->owner, (static_cast<size_t>(n) + 1 + extra) * sizeof(int64_t))),
              n};
  if (!spans.start) return spans;
  spans.start[0] = 0;
  for (int i = 0; i < n; ++i) spans.start[i + 1] = spans.start[i] + count(i);
  return spans;
}

Status no_memory(ExecContext* ctx, const char* name, int n) {
  return ctx->error->set(Status::out_of_memory, "%s: no scratch for a list of %d", name, n);
}

Status need_float(ExecContext* ctx, const char* name, DType dtype) {
  if (is_float(dtype)) return Status::ok;
  return ctx->error->set(Status::type_error, "%s: needs float32 or float64, got %s", name,
                         name_of(dtype));
}

inline int row(DType dtype) { return dtype == DType::float64; }

inline char* at(const void* data, DType dtype, int64_t element) {
  return static_cast<char*>(const_cast<void*>(data)) +
         element * static_cast<int64_t>(size_of(dtype));
}

void trace(ExecContext* ctx, const char* kernel, const DType* dtype) {
  ++ctx->counters.kernels;
  ctx->trace.kernel = kernel;
  ctx->trace.dtype = dtype ? name_of(*dtype) : "";
  ctx->trace.variant = "fused";
}

// kernel(data, count, number) on every tensor.
Status apply(ExecContext* ctx, const char* name, void (*const kernel[2])(void*, int64_t, double),
             const TensorView* tensors, int n, double number) {
  for (int i = 0; i < n; ++i) TG_TRY(need_float(ctx, name, tensors[i].dtype));
  const Spans spans = make_spans(
      ctx, n, [&](int i) { return tensors[i].shape.count(); }, 0);
  if (!spans.start) return no_memory(ctx, name, n);
  trace(ctx, name, n > 0 ? &tensors[0].dtype : nullptr);
  for_ranges(*ctx->threads, spans, kLine, [&](int i, int64_t begin, int64_t end) {
    const TensorView& x = tensors[i];
    kernel[row(x.dtype)](at(x.data, x.dtype, begin), end - begin, number);
  });
  return Status::ok;
}

}  // namespace

Status optimize(const OptimizersTable& table, ExecContext* ctx, int rule, const double* numbers,
                const OptimizerItem* items, int n) {
  if (rule < 0 || rule >= kOptimizers)
    return ctx->error->set(Status::range_error, "optimize: there is no rule %d", rule);
  for (int i = 0; i < n; ++i) TG_TRY(need_float(ctx, kOptimizerInfo[rule].name, items[i].dtype));
  const Spans spans = make_spans(
      ctx, n, [&](int i) { return items[i].count; }, 0);
  if (!spans.start) return no_memory(ctx, kOptimizerInfo[rule].name, n);
  trace(ctx, kOptimizerInfo[rule].name, n > 0 ? &items[0].dtype : nullptr);
  for_ranges(*ctx->threads, spans, kLine, [&](int i, int64_t begin, int64_t end) {
    const OptimizerItem& item = items[i];
    void* state[kMaxOptimizerStates] = {};
    for (int k = 0; k < kOptimizerInfo[rule].states; ++k)
      state[k] = at(item.state[k], item.dtype, begin);
    table.update[rule][row(item.dtype)](numbers, at(item.parameter, item.dtype, begin),
                                        at(item.gradient, item.dtype, begin), state, end - begin);
  });
  return Status::ok;
}

Status gradient_norm(const OptimizersTable& table, ExecContext* ctx, const OptimizerItem* items,
                     int n, double* norm) {
  size_t blocks = 0;
  for (int i = 0; i < n; ++i) {
    TG_TRY(need_float(ctx, "gradientNorm", items[i].dtype));
    blocks += static_cast<size_t>((items[i].count + kNormBlock - 1) / kNormBlock);
  }
  const Spans spans = make_spans(
      ctx, n, [&](int i) { return items[i].count; }, static_cast<size_t>(n) + blocks);
  if (!spans.start) return no_memory(ctx, "gradientNorm", n);
  trace(ctx, "gradientNorm", n > 0 ? &items[0].dtype : nullptr);
  int64_t* first_block = spans.start + n + 1;
  double* sums = reinterpret_cast<double*>(first_block + n);
  for (int64_t i = 0, block = 0; i < n; ++i) {
    first_block[i] = block;
    block += (items[i].count + kNormBlock - 1) / kNormBlock;
  }
  for_ranges(*ctx->threads, spans, kNormBlock, [&](int i, int64_t begin, int64_t end) {
    const OptimizerItem& item = items[i];
    for (int64_t k = begin; k < end; k += kNormBlock)
      sums[first_block[i] + k / kNormBlock] = table.sum_squares[row(item.dtype)](
          at(item.gradient, item.dtype, k), end - k < kNormBlock ? end - k : kNormBlock);
  });
  double sum = 0;
  for (size_t k = 0; k < blocks; ++k) sum += sums[k];
  *norm = std::sqrt(sum);
  return Status::ok;
}

Status scale(const OptimizersTable& table, ExecContext* ctx, const TensorView* tensors, int n,
             double factor) {
  return apply(ctx, "scale", table.scale, tensors, n, factor);
}

Status clip(const OptimizersTable& table, ExecContext* ctx, const TensorView* tensors, int n,
            double limit) {
  return apply(ctx, "clip", table.clip, tensors, n, limit);
}

Status accumulate(const OptimizersTable& table, ExecContext* ctx, const TensorView* y,
                  const TensorView* x) {
  TG_TRY(need_float(ctx, "accumulate", y->dtype));
  if (x->dtype != y->dtype || x->shape != y->shape)
    return ctx->error->set(Status::internal, "accumulate: operands differ in dtype or shape");
  trace(ctx, "accumulate", &y->dtype);
  int64_t start[2] = {0, y->shape.count()};
  for_ranges(*ctx->threads, Spans{start, 1}, kLine, [&](int, int64_t begin, int64_t end) {
    table.accumulate[row(y->dtype)](at(y->data, y->dtype, begin), at(x->data, x->dtype, begin),
                                    end - begin);
  });
  return Status::ok;
}

}  // namespace tg::cpu
