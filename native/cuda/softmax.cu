// Softmax and its relatives: finds rows or columns in tensors of any strides. The kernels are in
// softmax_rows.cu, softmax_pairs.cu and softmax_columns.cu.
#include "softmax.h"

#include "softmax_job.h"

namespace tg::cuda {

namespace {

int64_t misalignment(const void* p) {
  return static_cast<int64_t>(reinterpret_cast<uintptr_t>(p) % 16);
}

// Whether every row of operand k of `job.lanes`, from `data` on, begins as far from a multiple of
// 16 bytes as that of x.
template <class T>
bool like_x(const SoftmaxJob<T>& job, int k, const void* data) {
  if (misalignment(data) != misalignment(job.x)) return false;
  for (int i = 0; i < job.lanes.n; ++i) {
    const int64_t* stride = job.lanes.axis[i].stride;
    if ((stride[k] - stride[0]) % kLanes<T>) return false;
  }
  return true;
}

// Elements that a row spans, with those that the vectors of a skewed row add; sets job.vectors.
template <class T>
int64_t span_of(SoftmaxJob<T>& job) {
  const bool single = job.n == 1, to_rows = job.op != op_crossEntropy;
  job.vectors = (single || job.step_x == 1) &&
                (!job.other || ((single || job.step_other == 1) && like_x(job, 1, job.other))) &&
                (!to_rows || ((single || job.step_out == 1) && like_x(job, 2, job.out)));
  bool skewed = misalignment(job.x) != 0;
  for (int i = 0; i < job.lanes.n; ++i) skewed |= job.lanes.axis[i].stride[0] % kLanes<T> != 0;
  return job.vectors && skewed ? job.n + kLanes<T> - 1 : job.n;
}

template <class T>
Status softmax(ExecContext* ctx, const OpCall& call) {
  const bool loss = call.op == op_crossEntropy, loss_dx = call.op == op_crossEntropyBackward;
  const TensorView& x = call.in[loss_dx ? 1 : 0];
  const TensorView* second = loss_dx ? &call.in[2] : call.n_in > 1 ? &call.in[1] : nullptr;
  const bool indexed = (loss || loss_dx) && second->dtype == DType::int32;
  const int axis = loss || loss_dx ? 1 : call.attrs.axis;
  if (x.shape.count() == 0) return Status::ok;
  const bool scalar = x.shape.ndim == 0;  // it has one axis for this purpose
  SoftmaxJob<T> job{};
  job.op = call.op;
  job.n = scalar ? 1 : x.shape[axis];
  job.rows = x.shape.count() / job.n;
  job.x = static_cast<const T*>(x.data);
  job.out = static_cast<T*>(call.out.data);
  if (second && !indexed) job.other = static_cast<const T*>(second->data);
  int64_t out_strides[kMaxDims];
  contiguous_strides(call.out.shape, out_strides);
  for (int i = 0; i < x.shape.ndim; ++i)
    if (i != axis)
      job.lanes.push(x.shape[i], x.strides[i], job.other ? second->strides[i] : 0, out_strides[i]);
  job.lanes.merge();  // in their order: rows are numbered as crossEntropy's targets are
  job.step_x = scalar ? 1 : x.strides[axis];
  if (job.other) job.step_other = scalar ? 1 : second->strides[axis];
  if (!loss) job.step_out = scalar ? 1 : out_strides[axis];
  if (indexed) {
    job.classes = static_cast<const int32_t*>(second->data);
    job.class_stride = second->strides[0];
  }
  if (loss_dx) {
    job.g = static_cast<const T*>(call.in[0].data);
    job.g_stride = call.in[0].strides[0];
  }
  const Axis& lane = job.lanes.inner();
  const bool columns = !loss && !loss_dx && job.n > 1 && lane.size >= 8 && lane.stride[0] == 1 &&
                       lane.stride[2] == 1 && (!job.other || lane.stride[1] == 1);
  if (columns) return launch_columns(ctx, job);
  job.check = Check(ctx);
  const int64_t span = span_of(job);
  return job.other ? launch_pairs(ctx, job, span) : launch_rows(ctx, job, span);
}

}  // namespace

Status run_softmax(ExecContext* ctx, const OpCall& call) {
  switch (call.out.dtype) {
    case DType::float32:
      return softmax<float>(ctx, call);
    case DType::float64:
      return softmax<double>(ctx, call);
    case DType::bfloat16:
      return softmax<bf16>(ctx, call);
    default:
      return ctx->error->set(Status::internal, "%s: no kernel for %s", name_of(call.op),
                             name_of(call.out.dtype));
  }
}

}  // namespace tg::cuda
