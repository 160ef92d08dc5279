// Reductions over any axes and strides: cuts the work into units as planned and lets the kernels
// fold them. No kernels, no N-API.
#include "reduce.h"

#include <math.h>

#include "../core/thread_pool.h"
#include "reduce_plan.h"

namespace tg::cpu {
namespace {

// What a tile of outputs has come to.
struct Totals {
  double* value;
  int64_t* index;
};

template <class T>
struct Reduction {
  const Plan& plan;
  const Reducers<T>& kernels;
  const T* x;
  void* out;

  static constexpr bool kInteger = static_cast<T>(0.5) == 0;
  static constexpr int64_t kPad =
      64 / sizeof(T);  // keeps gathered rows off each other's cache sets

  int64_t gather_bytes() const {
    const int64_t size = sizeof(T);
    if (plan.path == Path::gathered_rows)
      return plan.width * ((plan.n < kRowBlock ? plan.n : kRowBlock) + kPad) * size;
    return plan.path == Path::gathered_columns ? kGatherRows * (plan.width + kPad) * size : 0;
  }

  void clear(Fold fold, int64_t width, int64_t first, Totals t) const {
    const double start = fold == kFoldMax ? -HUGE_VAL : fold == kFoldMin ? HUGE_VAL : 0;
    for (int64_t j = 0; j < width; ++j) t.value[j] = start;
    if (plan.arg)
      for (int64_t j = 0; j < width; ++j) t.index[j] = first;
  }

  // value joined with what comes later in memory.
  static double join(Fold fold, double a, double b) {
    if (fold == kFoldMax) return b > a || b != b ? b : a;
    if (fold == kFoldMin) return b < a || b != b ? b : a;
    if constexpr (kInteger)
      return static_cast<uint32_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
    return a + b;
  }
  bool better(double b, double a) const {
    return (plan.largest ? b > a : b < a) || (b != b && a == a);
  }

  void join_arg(Totals t, int64_t j, double value, int64_t index) const {
    if (!better(value, t.value[j])) return;
    t.value[j] = value;
    t.index[j] = index;
  }

  // Folds `count` contiguous elements, the first of them being element `at`, into output j.
  void row(Fold fold, const T* p, int64_t at, int64_t count, const T* shift, int64_t j,
           Totals t) const {
    if (!plan.arg) {
      t.value[j] = join(fold, t.value[j], kernels.rows[fold](p, count, shift ? shift[j] : T(0)));
      return;
    }
    for (int64_t b = 0; b < count; b += kRowBlock) {  // found while the block is in cache
      const int64_t some = count - b < kRowBlock ? count - b : kRowBlock;
      const double best = kernels.rows[fold](p + b, some, T(0));
      if (better(best, t.value[j])) {
        t.index[j] = at + b + kernels.find(p + b, some, static_cast<T>(best));
        t.value[j] = best;
      }
    }
  }

  // Folds `rows` rows of `width` neighbouring columns.
  void columns(Fold fold, const T* p, int64_t stride, int64_t at, int64_t rows, int64_t width,
               const T* shift, Totals t) const {
    T best[kTile], index[kTile];
    if (plan.arg) {
      kernels.arg_columns[plan.largest ? 0 : 1](p, stride, rows, width, best, index);
      for (int64_t j = 0; j < width; ++j)
        join_arg(t, j, static_cast<double>(best[j]), at + static_cast<int64_t>(index[j]));
      return;
    }
    kernels.columns[fold](p, stride, rows, width, shift, best);
    join_columns(fold, best, width, t);
  }

  void join_columns(Fold fold, const T* best, int64_t width, Totals t) const {
    const auto number = [](T v, bool sum) {
      return kInteger && sum ? static_cast<double>(static_cast<uint32_t>(v))
                             : static_cast<double>(v);
    };
    if (fold == kFoldMax || fold == kFoldMin)
      for (int64_t j = 0; j < width; ++j)
        t.value[j] = join(fold, t.value[j], number(best[j], false));
    else
      for (int64_t j = 0; j < width; ++j)
        t.value[j] = join(kFoldSum, t.value[j], number(best[j], true));
  }

  // Rows that adjoin one another, several taken as one that fills registers.
  void packed_columns(Fold fold, const T* p, int64_t at, int64_t rows, int64_t width,
                      const T* shift, Totals t) const {
    const int64_t repeats = kPackedWidth / width, wide = rows / repeats, rest = rows % repeats;
    if (wide > 0) {
      T best[kPackedWidth], shifts[kPackedWidth];
      for (int64_t j = 0; shift && j < repeats * width; ++j) shifts[j] = shift[j % width];
      kernels.columns[fold](p, repeats * width, wide, repeats * width, shift ? shifts : nullptr,
                            best);
      for (int64_t k = 0; k < repeats; ++k) join_columns(fold, best + k * width, width, t);
    }
    if (rest > 0)
      columns(fold, p + (rows - rest) * width, width, at + rows - rest, rest, width, shift, t);
  }

  // Copies elements first … first + count - 1 of `width` outputs to to[j * step_j + i * step_i].
  void gather(const T* base, int64_t first, int64_t count, int64_t width, T* to, int64_t step_j,
              int64_t step_i) const {
    const int64_t kept = plan.kept.inner().in, stride = plan.reduced.inner().in;
    Walk walk(plan.reduced, first);
    for (int64_t i = 0; i < count;) {
      const int64_t run = walk.run(count - i);
      const T* from = base + walk.in();
      T* dst = to + i * step_i;
      if (step_j == 1 || (step_i != 1 && magnitude(kept) < magnitude(stride))) {
        for (int64_t a = 0; a < run; ++a)
          for (int64_t j = 0; j < width; ++j)
            dst[a * step_i + j * step_j] = from[a * stride + j * kept];
      } else {
        for (int64_t j = 0; j < width; ++j)
          for (int64_t a = 0; a < run; ++a)
            dst[j * step_j + a * step_i] = from[j * kept + a * stride];
      }
      walk.advance(run);
      i += run;
    }
  }

  // Folds elements begin … end - 1 of the `width` outputs whose memory starts at base.
  void accumulate(Fold fold, const T* base, int64_t width, int64_t begin, int64_t end,
                  const T* shift, Totals t, T* buffer) const {
    clear(fold, width, begin, t);
    if (plan.path == Path::gathered_rows) {
      const int64_t pitch = (plan.n < kRowBlock ? plan.n : kRowBlock) + kPad;
      for (int64_t i = begin; i < end; i += kRowBlock) {
        const int64_t count = end - i < kRowBlock ? end - i : kRowBlock;
        gather(base, i, count, width, buffer, pitch, 1);
        for (int64_t j = 0; j < width; ++j) row(fold, buffer + j * pitch, i, count, shift, j, t);
      }
    } else if (plan.path == Path::gathered_columns) {
      const int64_t pitch = plan.width + kPad;
      for (int64_t i = begin; i < end; i += kGatherRows) {
        const int64_t count = end - i < kGatherRows ? end - i : kGatherRows;
        gather(base, i, count, width, buffer, 1, pitch);
        columns(fold, buffer, pitch, i, count, width, shift, t);
      }
    } else if (plan.path == Path::columns) {
      Walk walk(plan.reduced, begin);
      const int64_t block = plan.packed ? kPackedWidth / width * kColumnBlock : kColumnBlock;
      for (int64_t i = begin; i < end;) {
        const int64_t rows = walk.run(end - i < block ? end - i : block);
        const T* p = base + walk.in();
        if (plan.packed)
          packed_columns(fold, p, i, rows, width, shift, t);
        else
          columns(fold, p, plan.reduced.inner().in, i, rows, width, shift, t);
        walk.advance(rows);
        i += rows;
      }
    } else if (plan.short_rows) {  // never in segments; t needs no joining
      kernels.each_row[fold](base, plan.kept.inner().in, plan.n, width, shift, t.value);
    } else {
      const int64_t kept = plan.kept.inner().in;
      for (int64_t j = 0; j < width; ++j) {
        Walk walk(plan.reduced, begin);
        for (int64_t i = begin; i < end;) {
          const int64_t run = walk.run(end - i);
          row(fold, base + j * kept + walk.in(), i, run, shift, j, t);
          walk.advance(run);
          i += run;
        }
      }
    }
  }

  // What the second pass subtracts: the mean, or the maximum where it is finite.
  void set_shift(int64_t width, const double* value, T* shift) const {
    for (int64_t j = 0; j < width; ++j) {
      const double s = plan.op == op_variance ? value[j] / static_cast<double>(plan.n) : value[j];
      shift[j] = plan.op == op_variance || isfinite(s) ? static_cast<T>(s) : T(0);
    }
  }

  // Stores `width` results; `first` holds the totals of the first of two passes.
  void finish(int64_t width, Totals t, const double* first, int64_t at, int64_t stride) const {
    const double n = static_cast<double>(plan.n);
    if (plan.arg) {
      for (int64_t j = 0; j < width; ++j)
        static_cast<int32_t*>(out)[at + j * stride] = static_cast<int32_t>(t.index[j]);
      return;
    }
    T* to = static_cast<T*>(out) + at;
    if (plan.op == op_mean) {
      for (int64_t j = 0; j < width; ++j) to[j * stride] = static_cast<T>(t.value[j] / n);
    } else if (plan.op == op_logSumExp) {
      for (int64_t j = 0; j < width; ++j)
        to[j * stride] = static_cast<T>((isfinite(first[j]) ? first[j] : 0) + log(t.value[j]));
    } else if (plan.op == op_variance) {
      const double freedom = n - plan.correction;
      for (int64_t j = 0; j < width; ++j) {
        // The squares were taken around the mean as T has it, which is off by `error`.
        const double mean = first[j] / n, error = mean - static_cast<double>(static_cast<T>(mean));
        const double squares = t.value[j] - n * error * error;
        to[j * stride] = static_cast<T>((squares < 0 ? 0 : squares) / (freedom > 0 ? freedom : 0));
      }
    } else if (kInteger && plan.fold[0] == kFoldSum) {
      for (int64_t j = 0; j < width; ++j)
        to[j * stride] = static_cast<T>(static_cast<uint32_t>(static_cast<int64_t>(t.value[j])));
    } else {
      for (int64_t j = 0; j < width; ++j) to[j * stride] = static_cast<T>(t.value[j]);
    }
  }

  struct Tile {
    int64_t in, out, width;
  };
  Tile tile(int64_t number) const {
    const int64_t start = number % plan.tiles_per_run * plan.width, size = plan.kept.inner().size;
    const Walk walk(plan.kept, number / plan.tiles_per_run * size + start);
    return {walk.in(), walk.out(), size - start < plan.width ? size - start : plan.width};
  }

  // Whether a tile is one call of a kernel that can write the result itself: the gradient of a
  // bias.
  bool plain_columns() const {
    return plan.path == Path::columns && plan.n <= kColumnBlock && plan.reduced.n == 1 &&
           plan.passes == 1 && !plan.arg && plan.op != op_mean && plan.kept.inner().out == 1;
  }

  // A tile from start to end: both passes while its memory is near.
  void whole(int64_t number, T* buffer) const {
    if (plain_columns()) {
      const Tile s = tile(number);
      return kernels.columns[plan.fold[0]](x + s.in, plan.reduced.inner().in, plan.n, s.width,
                                           nullptr, static_cast<T*>(out) + s.out);
    }
    double value[kTile], first[kTile];
    int64_t index[kTile];
    T shift[kTile];
    const Tile s = tile(number);
    const Totals t{value, index};
    accumulate(plan.fold[0], x + s.in, s.width, 0, plan.n, nullptr, t, buffer);
    if (plan.passes == 2) {
      set_shift(s.width, value, shift);
      for (int64_t j = 0; j < s.width; ++j) first[j] = value[j];
      accumulate(plan.fold[1], x + s.in, s.width, 0, plan.n, shift, t, buffer);
    }
    finish(s.width, t, first, s.out, plan.kept.inner().out);
  }

  // One segment of a tile, in one pass; its totals lie at unit * plan.width of t.
  void part(int pass, int64_t unit, const T* shifts, Totals t, T* buffer) const {
    const int64_t number = unit / plan.segments, begin = unit % plan.segments * plan.segment;
    const Tile s = tile(number);
    const int64_t end = begin + plan.segment < plan.n ? begin + plan.segment : plan.n;
    accumulate(plan.fold[pass], x + s.in, s.width, begin, end,
               pass ? shifts + number * plan.width : nullptr,
               {t.value + unit * plan.width, t.index + unit * plan.width}, buffer);
  }

  // Joins the segments of a tile, in their order, into the first.
  void join_parts(int pass, int64_t number, Totals t) const {
    const int64_t width = plan.width, at = number * plan.segments * width,
                  valid = tile(number).width;
    const Totals to{t.value + at, t.index + at};
    for (int64_t s = 1; s < plan.segments; ++s)
      for (int64_t j = 0; j < valid; ++j) {
        if (plan.arg)
          join_arg(to, j, to.value[s * width + j], to.index[s * width + j]);
        else
          to.value[j] = join(plan.fold[pass], to.value[j], to.value[s * width + j]);
      }
  }

  // Outputs of nothing.
  void fill_empty() const {
    double value[1] = {0}, first[1] = {plan.op == op_logSumExp ? -HUGE_VAL : 0};
    int64_t index[1] = {0};
    for (int64_t i = 0; i < plan.outputs; ++i) finish(1, {value, index}, first, i, 1);
  }

  Status run(ExecContext* context) const;
};

int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

template <class T>
Status Reduction<T>::run(ExecContext* context) const {
  const int64_t units = plan.tiles * plan.segments;
  const bool alone = units == 1 || plan.outputs * plan.n < kThreadWork;
  const int64_t tasks = alone ? 1 : limit(4 * context->threads->size(), 1, units);
  // Scratch: a gather buffer per task; with segments, totals per unit, shifts and first totals per
  // tile.
  const int64_t gather = aligned(gather_bytes());
  const int64_t totals = plan.segments > 1 ? aligned(units * plan.width * 8) : 0;
  const int64_t tile_totals = plan.segments > 1 ? aligned(plan.tiles * plan.width * 8) : 0;
  const int64_t bytes = tasks * gather + 2 * totals + 2 * tile_totals;
  char* scratch = nullptr;
  if (bytes) {
    scratch = static_cast<char*>(context->scratch(context->owner, static_cast<size_t>(bytes)));
    if (!scratch)
      return context->error->set(Status::out_of_memory, "%s: no memory for %lld bytes of scratch",
                                 name_of(plan.op), static_cast<long long>(bytes));
  }
  const auto each = [&](auto&& body) {
    parallel(*context->threads, tasks, [&](int64_t task) {
      T* buffer = reinterpret_cast<T*>(scratch + task * gather);
      const int64_t end = units * (task + 1) / tasks;
      for (int64_t unit = units * task / tasks; unit < end; ++unit) body(unit, buffer);
    });
  };
  if (plan.segments == 1) {
    each([&](int64_t unit, T* buffer) { whole(unit, buffer); });
    return Status::ok;
  }
  char* rest = scratch + tasks * gather;
  const Totals t{reinterpret_cast<double*>(rest), reinterpret_cast<int64_t*>(rest + totals)};
  double* first = reinterpret_cast<double*>(rest + 2 * totals);
  T* shifts = reinterpret_cast<T*>(rest + 2 * totals + tile_totals);
  for (int pass = 0; pass < plan.passes; ++pass) {
    each([&](int64_t unit, T* buffer) { part(pass, unit, shifts, t, buffer); });
    for (int64_t number = 0; number < plan.tiles; ++number) {
      join_parts(pass, number, t);
      const int64_t at = number * plan.segments * plan.width, keep = number * plan.width;
      const Tile s = tile(number);
      if (pass + 1 < plan.passes) {
        set_shift(s.width, t.value + at, shifts + keep);
        for (int64_t j = 0; j < s.width; ++j) first[keep + j] = t.value[at + j];
      } else {
        finish(s.width, {t.value + at, t.index + at}, first + keep, s.out, plan.kept.inner().out);
      }
    }
  }
  return Status::ok;
}

template <class T>
Status reduce(const Reducers<T>& kernels, ExecContext* context, const OpCall& call, uint32_t mask) {
  Plan plan{};
  make_plan(call, mask, &plan);
  const Reduction<T> reduction{plan, kernels, static_cast<const T*>(call.in[0].data),
                               call.out.data};
  context->trace.variant = kPathNames[static_cast<int>(plan.path)];
  if (plan.outputs == 0) return Status::ok;
  if (plan.n == 0) {
    reduction.fill_empty();
    return Status::ok;
  }
  return reduction.run(context);
}

}  // namespace

Status run_reduce(const ReduceTable& table, ExecContext* context, const OpCall& call) {
  const TensorView& x = call.in[0];
  const uint32_t mask = reduced_axes(call);
  switch (x.dtype) {
    case DType::float32:
      return reduce(table.f32, context, call, mask);
    case DType::float64:
      return reduce(table.f64, context, call, mask);
    case DType::int32:
      return reduce(table.i32, context, call, mask);
    default:
      return context->error->set(Status::internal, "%s: no kernel for %s", name_of(call.op),
                                 name_of(x.dtype));
  }
}

}  // namespace tg::cpu
