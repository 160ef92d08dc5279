// Norms of gradients, scaling and clipping over lists of tensors: see optimizers.h.
#include <math.h>

#include "batch.h"
#include "optimizers.h"

namespace tg::cuda {
namespace {

// By `factor`, or if `norm` is given by what keeps that norm within the limit.
template <class T>
__global__ void __launch_bounds__(kThreads)
    scale_all(const __grid_constant__ Batch<1> batch, double factor, const double* norm,
              double limit, bool finite) {
  if (norm) factor = clip_factor(*norm, limit, finite);
  if (factor == 1) return;
  const Exact<T> f = static_cast<T>(factor);
  for_piece<T>(batch, [&](Exact<T>(&x)[1]) { x[0] = x[0] * f; });
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    clip_all(const __grid_constant__ Batch<1> batch, double limit) {
  const Exact<T> high = static_cast<T>(limit), low = static_cast<T>(-limit);
  for_piece<T>(batch, [&](Exact<T>(&x)[1]) {
    x[0] = select(x[0] > high, high, select(x[0] < low, low, x[0]));
  });
}

// The sum over the block's threads, in a fixed order; thread 0 has it.
__device__ double sum_of_block(double sum) {
  __shared__ double of_warp[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int half = 16; half > 0; half /= 2) sum += __shfl_down_sync(~0u, sum, half);
  if (lane == 0) of_warp[warp] = sum;
  __syncthreads();
  if (warp > 0) return 0;
  sum = lane < static_cast<int>(blockDim.x / 32) ? of_warp[lane] : 0;
  for (int half = 16; half > 0; half /= 2) sum += __shfl_down_sync(~0u, sum, half);
  return sum;
}

// Elements of a gradient that one block squares and sums: what fixes the order of a norm's sum.
constexpr int kNormPiece = 16384;

// sums[b] = Σ x² of piece b.
template <class T>
__global__ void __launch_bounds__(kThreads)
    sum_squares(const __grid_constant__ Batch<1> batch, double* sums) {
  constexpr int kN = kLanes<T>, kAhead = 4, kStep = kThreads * kN;
  const int item = batch.item();
  const int64_t begin = int64_t{static_cast<int>(blockIdx.x) - batch.first[item]} * kNormPiece;
  const int64_t rest = batch.count[item] - begin;
  const int count = rest < kNormPiece ? static_cast<int>(rest) : kNormPiece;
  const T* x = static_cast<const T*>(batch.array[0][item]) + begin;
  const bool aligned = reinterpret_cast<uintptr_t>(x) % 16 == 0;
  double sum[kN] = {};
  for (int first = static_cast<int>(threadIdx.x) * kN; first < count; first += kAhead * kStep) {
    const bool whole = aligned && first + (kAhead - 1) * kStep + kN <= count;
    Vector<T, kN> v[kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) v[a] = load_some<T>(x, first + a * kStep, count, whole);
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
#pragma unroll
      for (int lane = 0; lane < kN; ++lane)
        sum[lane] += static_cast<double>(v[a].at[lane]) * static_cast<double>(v[a].at[lane]);
  }
  for (int lane = 1; lane < kN; ++lane) sum[0] += sum[lane];
  const double total = sum_of_block(sum[0]);
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

constexpr int kFinishThreads = 1024;

// *norm = √Σ sums, by one block.
__global__ void __launch_bounds__(kFinishThreads)
    finish_norm(const double* sums, int n, double* norm) {
  double sum = 0;
#pragma unroll 4
  for (int i = threadIdx.x; i < n; i += kFinishThreads) sum += sums[i];
  const double total = sum_of_block(sum);
  if (threadIdx.x == 0) *norm = sqrt(total);
}

// f(batch, T{}) for lists of all tensors, float32 before float64.
template <class F>
Status for_tensors(ExecContext* ctx, const TensorView* tensors, int n, F&& f) {
  for (int i = 0; i < n; ++i) TG_TRY(need_wide_float(ctx, tensors[i].dtype));
  const auto arrays = [](const TensorView& x, void*(&a)[1]) {
    a[0] = x.data;
    return x.shape.count();
  };
  TG_TRY((for_batches<float, 1>(tensors, n, kPiece<float>, arrays,
                                [&](const Batch<1>& batch) { return f(batch, float{}); })));
  return for_batches<double, 1>(tensors, n, kPiece<double>, arrays,
                                [&](const Batch<1>& batch) { return f(batch, double{}); });
}

Status scale_tensors(ExecContext* ctx, const TensorView* tensors, int n, double factor,
                     const double* norm, double limit, bool finite) {
  ctx->trace.variant = "fused";
  return for_tensors(ctx, tensors, n, [&](const Batch<1>& batch, auto zero) {
    return launch(ctx, scale_all<decltype(zero)>, grid_of(batch), batch, factor, norm, limit,
                  finite);
  });
}

}  // namespace

Status gradient_norm(ExecContext* ctx, const OptimizerItem* items, int n, double* norm) {
  Error* const error = ctx->error;
  ctx->trace.variant = "fused";
  int64_t pieces = 0;
  for (int i = 0; i < n; ++i) {
    TG_TRY(need_wide_float(ctx, items[i].dtype));
    pieces += (items[i].count + kNormPiece - 1) / kNormPiece;
  }
  double* const sums =
      static_cast<double*>(scratch(ctx, static_cast<size_t>(pieces + 1) * sizeof(double)));
  if (!sums) return Status::out_of_memory;
  int done = 0;
  const auto arrays = [](const OptimizerItem& item, void*(&a)[1]) {
    a[0] = const_cast<void*>(item.gradient);
    return item.count;
  };
  const auto sum = [&](const Batch<1>& batch, void (*kernel)(Batch<1>, double*)) {
    double* const to = sums + done;
    done += batch.blocks();
    return launch(ctx, kernel, grid_of(batch), batch, to);
  };
  TG_TRY((for_batches<float, 1>(items, n, kNormPiece, arrays, [&](const Batch<1>& batch) {
    return sum(batch, sum_squares<float>);
  })));
  TG_TRY((for_batches<double, 1>(items, n, kNormPiece, arrays, [&](const Batch<1>& batch) {
    return sum(batch, sum_squares<double>);
  })));
  double* const result = ctx->step ? norm : sums + pieces;
  TG_TRY(launch(ctx, finish_norm, Grid{dim3(1), dim3(kFinishThreads)}, sums, done, result));
  if (ctx->step) return Status::ok;
  TG_CUDA("gradientNorm",
          cudaMemcpyAsync(norm, result, sizeof *norm, cudaMemcpyDeviceToHost, ctx->device->stream));
  TG_CUDA("gradientNorm", cudaStreamSynchronize(ctx->device->stream));
  return Status::ok;
}

Status scale(ExecContext* ctx, const TensorView* tensors, int n, double factor) {
  return scale_tensors(ctx, tensors, n, factor, nullptr, 0, false);
}

Status clip_norm(ExecContext* ctx, const TensorView* tensors, int n, double limit, bool finite,
                 const double* norm) {
  if (ctx->step) return scale_tensors(ctx, tensors, n, 1, norm, limit, finite);
  const double factor = clip_factor(*norm, limit, finite);
  return factor == 1 ? Status::ok : scale(ctx, tensors, n, factor);
}

Status clip(ExecContext* ctx, const TensorView* tensors, int n, double limit) {
  ctx->trace.variant = "fused";
  return for_tensors(ctx, tensors, n, [&](const Batch<1>& batch, auto zero) {
    return launch(ctx, clip_all<decltype(zero)>, grid_of(batch), batch, limit);
  });
}

}  // namespace tg::cuda
