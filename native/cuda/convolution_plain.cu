// Convolutions with kernels of 1 × 1, stride 1 and no padding, and their adjoints in the input: a
// product of the weights with each image as it lies in memory.
#include "convolution_kernels.h"
#include "gemm.h"

namespace tg::cuda {
namespace {

template <class T>
__global__ void fill_channels(const T* bias, int64_t stride, int64_t channels, int64_t plane,
                              int64_t count, T* y) {
  for (int64_t i = first_item(); i < count; i += item_stride())
    y[i] = bias[i / plane % channels * stride];
}

template <class T>
int64_t plane_of(const Correlation<T, int>& s) {
  return static_cast<int64_t>(s.axis[0].result) * s.axis[1].result;
}

}  // namespace

template <class T>
bool is_plain(const Correlation<T, int>& s) {
  bool plain = s.axis[0].source == 1 || s.x.row == s.axis[1].source * s.x.column;
  for (const Axis<int>& axis : s.axis)
    plain = plain && axis.kernel == 1 && axis.stride == 1 && axis.padding == 0;
  return plain && s.channels > 0 && plane_of(s) >= kLeastPlane;
}

template <class T>
Status correlate_plainly(ExecContext* ctx, const Correlation<T, int>& s) {
  const int64_t plane = plane_of(s), channels = s.groups * s.rows;
  GemmCall call = {};
  call.m = s.rows, call.n = plane, call.k = s.channels;
  call.in = call.out = DTypeOf<T>::value;
  call.tf32 = ctx->tf32 && call.in == DType::float32;
  call.a = s.w.data, call.a_row = s.w.image, call.a_column = s.w.channel;
  call.b = s.x.data, call.b_row = s.x.channel, call.b_column = s.x.column;
  call.c = s.y, call.c_row = plane;
  call.batch = s.images, call.b_batch = s.x.image, call.c_batch = channels * plane;
  call.outer = s.groups, call.a_outer = s.group_stride;
  call.b_outer = s.channels * s.x.channel, call.c_outer = s.rows * plane;
  if (s.axis[1].source == 1) call.b_column = s.x.row;
  if (s.bias) {
    const int64_t count = s.images * channels * plane;
    TG_TRY(launch(ctx, fill_channels<T>, grid_for(ctx, count), s.bias, s.bias_stride, channels,
                  plane, count, s.y));
    call.epilogue.accumulate = true;
  }
  const size_t bytes = gemm_scratch_bytes(*ctx->device, call);
  if (bytes > 0 && !(call.scratch = scratch(ctx, bytes))) return Status::out_of_memory;
  return gemm(ctx, call);
}

template bool is_plain(const Correlation<float, int>&);
template bool is_plain(const Correlation<double, int>&);
template bool is_plain(const Correlation<bf16, int>&);
template Status correlate_plainly(ExecContext*, const Correlation<float, int>&);
template Status correlate_plainly(ExecContext*, const Correlation<double, int>&);
template Status correlate_plainly(ExecContext*, const Correlation<bf16, int>&);

}  // namespace tg::cuda
