// Feeds rows to the softmax kernels: finds them in tensors of any strides, copies those that do not
// lie contiguously, and shares them among threads. No kernels, no N-API.
#include "softmax.h"

#include "../core/thread_pool.h"
#include "softmax_columns.h"
#include "walk.h"

namespace tg::cpu {
namespace {

constexpr int64_t kUnitWork = 8192;     // elements of a unit, about
constexpr int64_t kThreadWork = 32768;  // below this, threads cost more than they give
constexpr int64_t kGatherWidth = 16;    // rows copied together: a cache line of float32
constexpr int64_t kGatherBytes =
    1 << 20;  // of one operand's copies, if a row is not longer by itself

int64_t limit(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }
int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }
int64_t magnitude(int64_t stride) { return stride < 0 ? -stride : stride; }

// Rows of one operand: neighbours `lane` elements apart, elements of a row `step` apart.
template <class T>
struct Rows {
  T* data;
  int64_t lane, step;
  T* operator[](int64_t j) const { return data + j * lane; }
};

template <class T>
void copy_rows(Rows<const T> from, Rows<T> to, int64_t width, int64_t n) {
  if (magnitude(from.lane) + magnitude(to.lane) < magnitude(from.step) + magnitude(to.step) ||
      magnitude(from.lane) == 1 || to.lane == 1) {
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < width; ++j)
        to.data[i * to.step + j * to.lane] = from.data[i * from.step + j * from.lane];
  } else {
    for (int64_t j = 0; j < width; ++j)
      for (int64_t i = 0; i < n; ++i)
        to.data[j * to.lane + i * to.step] = from.data[j * from.lane + i * from.step];
  }
}

// What the six ops have in common: rows of n elements of up to two inputs and, except in
// crossEntropy, the output; `lanes` are the axes over rows, on which Axis::in, other and out are
// the operands' strides.
template <class T>
struct Softmax {
  const SoftmaxKernels<T>& kernels;
  const OpCall& call;
  Axes lanes;
  int64_t rows, n;
  const T *x, *other;  // other: y or a float target, else null
  int64_t step_x = 1, step_other = 1, step_out = 1;
  bool copied = false;               // whether rows pass through scratch
  bool columns = false;              // whether neighbouring rows are columns of a matrix
  const int32_t* classes = nullptr;  // int32 target
  int64_t class_stride = 0;
  const T* g = nullptr;  // of crossEntropyBackward: one number per row
  int64_t g_stride = 0;

  // One row. y may be where a is.
  void row(const T* a, const T* b, T* y, int64_t number) const {
    switch (call.op) {
      case op_softmax:
        return kernels.softmax(a, y, n);
      case op_logSoftmax:
        return kernels.log_softmax(a, y, n);
      case op_softmaxBackward:
        return kernels.softmax_dx(a, b, y, n);
      case op_logSoftmaxBackward:
        return kernels.log_softmax_dx(a, b, y, n);
      case op_crossEntropy:
        *y = classes ? kernels.cross_entropy(a, classes[number * class_stride], n)
                     : kernels.cross_entropy_soft(a, b, n);
        return;
      default:
        if (classes)
          kernels.cross_entropy_dx(a, classes[number * class_stride], g[number * g_stride], y, n);
        else
          kernels.cross_entropy_soft_dx(a, b, g[number * g_stride], y, n);
    }
  }

  // `width` neighbouring rows, from row `number` on.
  void tile(int64_t number, int64_t width, T* buffer, int64_t pitch) const {
    const Walk walk(lanes, number);
    const Axis& lane = lanes.inner();
    const Rows<const T> from{x + walk.in(), lane.in, step_x};
    const Rows<const T> second{other ? other + walk.other() : nullptr, other ? lane.other : 0,
                               step_other};
    const Rows<T> to{static_cast<T*>(call.out.data) + walk.out(), lane.out, step_out};
    if (columns)
      return softmax_columns(kernels, call.op,
                             {from.data, second.data, to.data, step_x, step_other, step_out, n,
                              width, nullptr, nullptr, nullptr});
    if (!copied) {
      for (int64_t j = 0; j < width; ++j) row(from[j], second[j], to[j], number + j);
      return;
    }
    const Rows<T> a{buffer, pitch, 1}, b{buffer + width * pitch, pitch, 1};
    const bool direct = step_out == 1 || n == 1;
    copy_rows(from, a, width, n);
    if (other) copy_rows(second, b, width, n);
    for (int64_t j = 0; j < width; ++j) row(a[j], b[j], direct ? to[j] : a[j], number + j);
    if (!direct) copy_rows({buffer, pitch, 1}, to, width, n);
  }

  Status run(ExecContext* context) const {
    const int64_t size = sizeof(T), run = lanes.inner().size;
    const int64_t pitch = n + 64 / size;
    int64_t width = limit(kUnitWork / n, 1, 512);
    if (copied)
      width = limit(kGatherBytes / (pitch * size), 1, width > kGatherWidth ? width : kGatherWidth);
    if (columns) width = column_width(n, size);
    if (width > run) width = run;
    const int64_t per_run = (run + width - 1) / width, units = per_run * (rows / run);
    const bool alone = units == 1 || rows * n < kThreadWork;
    const int64_t tasks = alone ? 1 : limit(4 * context->threads->size(), 1, units);
    const int64_t bytes = copied ? aligned(width * pitch * size * (other ? 2 : 1)) : 0;
    char* scratch = nullptr;
    if (copied) {
      scratch =
          static_cast<char*>(context->scratch(context->owner, static_cast<size_t>(tasks * bytes)));
      if (!scratch)
        return context->error->set(Status::out_of_memory, "%s: no memory for %lld bytes of scratch",
                                   name_of(call.op), static_cast<long long>(tasks * bytes));
    }
    parallel(*context->threads, tasks, [&](int64_t task) {
      const int64_t end = units * (task + 1) / tasks;
      for (int64_t unit = units * task / tasks; unit < end; ++unit) {
        const int64_t start = unit % per_run * width;
        tile(unit / per_run * run + start, run - start < width ? run - start : width,
             reinterpret_cast<T*>(scratch + task * bytes), pitch);
      }
    });
    return Status::ok;
  }
};

// int32 targets must name a class.
Status check_classes(ExecContext* context, const TensorView& target, int64_t classes) {
  const int32_t* t = static_cast<const int32_t*>(target.data);
  for (int64_t i = 0; i < target.shape[0]; ++i) {
    const int32_t c = t[i * target.strides[0]];
    if (c < 0 || c >= classes)
      return context->error->set(Status::range_error,
                                 "crossEntropy: target[%lld] is %d, but there are %lld classes",
                                 static_cast<long long>(i), c, static_cast<long long>(classes));
  }
  return Status::ok;
}

// Float targets are probabilities; NaN is let through to show in the result.
template <class T>
Status check_probabilities(ExecContext* context, const TensorView& target) {
  const T* t = static_cast<const T*>(target.data);
  const int64_t rows = target.shape[0], n = target.shape[1], step = target.strides[1];
  for (int64_t i = 0; i < rows; ++i) {
    const T* row = t + i * target.strides[0];
    int negative = 0;  // no early end, so that the loop is made of vectors
    if (step == 1)
      for (int64_t j = 0; j < n; ++j) negative |= row[j] < 0;
    else
      for (int64_t j = 0; j < n; ++j) negative |= row[j * step] < 0;
    if (!negative) continue;
    for (int64_t j = 0; j < n; ++j)
      if (row[j * step] < 0)
        return context->error->set(Status::range_error,
                                   "crossEntropy: target[%lld, %lld] is %.6g, no probability",
                                   static_cast<long long>(i), static_cast<long long>(j),
                                   static_cast<double>(row[j * step]));
  }
  return Status::ok;
}

template <class T>
Status softmax(const SoftmaxKernels<T>& kernels, ExecContext* context, const OpCall& call) {
  const bool loss = call.op == op_crossEntropy, loss_dx = call.op == op_crossEntropyBackward;
  const TensorView& x = call.in[loss_dx ? 1 : 0];
  const TensorView* second = loss_dx ? &call.in[2] : call.n_in > 1 ? &call.in[1] : nullptr;
  const bool indexed = (loss || loss_dx) && second->dtype == DType::int32;
  const int axis = loss || loss_dx ? 1 : call.attrs.axis;
  // A number without dimensions is a row of one.
  const int64_t n = x.shape.ndim > 0 ? x.shape[axis] : 1, rows = n ? x.shape.count() / n : 0;
  context->trace.variant = "rows";
  if (indexed) TG_TRY(check_classes(context, *second, n));
  if (loss && !indexed) TG_TRY(check_probabilities<T>(context, *second));
  if (n == 0 || rows == 0) return Status::ok;
  Softmax<T> job{kernels,
                 call,
                 {},
                 rows,
                 n,
                 static_cast<const T*>(x.data),
                 second && !indexed ? static_cast<const T*>(second->data) : nullptr};
  int64_t out_strides[kMaxDims] = {1};
  contiguous_strides(call.out.shape, out_strides);
  for (int i = 0; i < x.shape.ndim; ++i)
    if (i != axis)
      job.lanes.push(
          {x.shape[i], x.strides[i], out_strides[i], job.other ? second->strides[i] : 0});
  // Rows are numbered as crossEntropy's targets are, so their order stays.
  job.lanes.coalesce();
  job.step_x = x.strides[axis];
  if (job.other) job.step_other = second->strides[axis];
  if (!loss) job.step_out = out_strides[axis];
  job.copied = n > 1 && (job.step_x != 1 || job.step_other != 1 || job.step_out != 1);
  if (indexed) {
    job.classes = static_cast<const int32_t*>(second->data);
    job.class_stride = second->strides[0];
  }
  if (loss_dx) {
    job.g = static_cast<const T*>(call.in[0].data);
    job.g_stride = call.in[0].strides[0];
  }
  const Axis& lane = job.lanes.inner();
  job.columns = job.copied && !loss && !loss_dx && lane.size >= 8 && lane.in == 1 &&
                lane.out == 1 && (!job.other || lane.other == 1);
  if (job.columns) {
    job.copied = false;
    context->trace.variant = "columns";
  }
  if (job.copied) context->trace.variant = "gathered rows";
  return job.run(context);
}

}  // namespace

Status run_softmax(const SoftmaxTable& table, ExecContext* context, const OpCall& call) {
  switch (call.out.dtype) {
    case DType::float32:
      return softmax(table.f32, context, call);
    case DType::float64:
      return softmax(table.f64, context, call);
    default:
      return context->error->set(Status::internal, "%s: no kernel for %s", name_of(call.op),
                                 name_of(call.out.dtype));
  }
}

}  // namespace tg::cpu
