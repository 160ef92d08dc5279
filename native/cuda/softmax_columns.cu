// Softmax kernels on columns: the axis is not the innermost.
#include "softmax_job.h"

namespace tg::cuda {

namespace {

// Softmax, logSoftmax and their gradients along an axis that is not the innermost: a thread has
// kWide neighbouring columns and every down-th element of them. A tile's second reading finds it in
// cache.
template <class T, int kWide>
__global__ void __launch_bounds__(256) softmax_columns(const __grid_constant__ SoftmaxJob<T> job) {
  using C = Compute<T>;
  constexpr int kRows = sizeof(T) == 8 ? 2 : 4;  // in flight
  __shared__ C room[kWide][256];
  const int across = job.group, down = static_cast<int>(blockDim.x) / across;
  const int column = static_cast<int>(threadIdx.x) % across;
  const int line = static_cast<int>(threadIdx.x) / across;
  const bool backward = job.op == op_softmaxBackward || job.op == op_logSoftmaxBackward;

  // join over the threads of a column.
  const auto fold = [&](C(&value)[kWide], auto join) {
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kWide; ++k) room[k][threadIdx.x] = value[k];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kWide; ++k) {
      C all = room[k][column];
      for (int i = 1; i < down; ++i) all = join(all, room[k][i * across + column]);
      value[k] = all;
    }
  };

  const int64_t tile = static_cast<int64_t>(across) * kWide;
  for (int64_t base = static_cast<int64_t>(blockIdx.x) * tile; base < job.rows;
       base += static_cast<int64_t>(gridDim.x) * tile) {
    const int64_t number = base + column * kWide;
    const int64_t n = number < job.rows ? job.n : 0;
    const Offsets at = offsets_of(job.lanes, number < job.rows ? number : base);
    const T* const from = job.x + at.at[0];
    const T* const second = backward ? job.other + at.at[1] : nullptr;

    C most[kWide], sum[kWide];
#pragma unroll
    for (int k = 0; k < kWide; ++k) most[k] = -infinity<C>(), sum[k] = 0;
    // body(row, x, other) for this thread's elements of its columns, kRows loads at a time.
    const auto each_row = [&](auto body) {
      for (int64_t first = line; first < n; first += static_cast<int64_t>(down) * kRows) {
        Vector<T, kWide> x[kRows] = {}, other[kRows] = {};
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          const int64_t row = first + static_cast<int64_t>(r) * down;
          if (row >= n) continue;
          x[r] = load<kWide>(from + row * job.step_x);
          if (backward) other[r] = load<kWide>(second + row * job.step_other);
        }
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          const int64_t row = first + static_cast<int64_t>(r) * down;
          if (row < n) body(row, x[r], other[r]);
        }
      }
    };
    each_row([&](int64_t, const Vector<T, kWide>& x, const Vector<T, kWide>& other) {
#pragma unroll
      for (int k = 0; k < kWide; ++k) {
        const C v = widen(x.at[k]);
        if (job.op == op_softmaxBackward) {
          sum[k] += v * widen(other.at[k]);
        } else if (backward) {
          sum[k] += v;
        } else {
          // One exponential per element: of v, or of what went before relative to v. v - v
          // is NaN for +Infinity.
          const bool grows = v > most[k];
          const C power = exponential(grows ? most[k] - v : v - shift_of(most[k]));
          sum[k] = grows ? sum[k] * power + (v - v + 1) : sum[k] + power;
          if (grows) most[k] = v;
        }
      }
    });
    if (!backward) {
      C mine[kWide];
#pragma unroll
      for (int k = 0; k < kWide; ++k) mine[k] = most[k];
      fold(most, Larger());
#pragma unroll
      for (int k = 0; k < kWide; ++k)
        if (mine[k] != most[k]) sum[k] *= exponential(mine[k] - most[k]);
    }
    fold(sum, Plus());
#pragma unroll
    for (int k = 0; k < kWide; ++k) {
      if (job.op == op_softmax) sum[k] = 1 / sum[k];
      if (job.op == op_logSoftmax) sum[k] = logarithm(sum[k]);
    }
    T* const to = job.out + at.at[2];
    each_row([&](int64_t row, const Vector<T, kWide>& x, const Vector<T, kWide>& other) {
      Vector<T, kWide> y;
#pragma unroll
      for (int k = 0; k < kWide; ++k) {
        const C v = widen(x.at[k]);
        C result;
        if (job.op == op_softmax)
          result = exponential(v - shift_of(most[k])) * sum[k];
        else if (job.op == op_logSoftmax)
          result = (v - most[k]) - sum[k];
        else if (job.op == op_softmaxBackward)
          result = widen(other.at[k]) * (v - sum[k]);
        else
          result = v - exponential(widen(other.at[k])) * sum[k];
        y.at[k] = narrow<T>(result);
      }
      store<kWide>(to + row * job.step_out, y);
    });
  }
}

}  // namespace

template <class T>
Status launch_columns(ExecContext* ctx, SoftmaxJob<T>& job) {
  constexpr int kWide = kLanes<T>;
  bool vectors = true;
  const void* const data[kOperands] = {job.x, job.other, job.out};
  const int64_t steps[kOperands] = {job.step_x, job.step_other, job.step_out};
  for (int k = 0; k < kOperands; ++k)
    if (data[k])
      vectors &= aligned16(data[k]) && steps[k] % kWide == 0 && job.lanes.grouped(k, kWide);
  // At least a cache line across, and no more threads down than there are rows for.
  int down = 1;
  while (down < (vectors ? 32 : 8) && down * 4 < job.n) down *= 2;
  job.group = 256 / down;
  const int64_t tile = static_cast<int64_t>(job.group) * (vectors ? kWide : 1);
  const int64_t tiles = (job.rows + tile - 1) / tile,
                most = int64_t{32} * ctx->device->multiprocessors;
  const Grid grid{dim3(static_cast<unsigned>(tiles < most ? tiles : most)), dim3(256)};
  ctx->trace.variant = "columns";
  return launch(ctx, vectors ? softmax_columns<T, kWide> : softmax_columns<T, 1>, grid, job);
}
template Status launch_columns<float>(ExecContext*, SoftmaxJob<float>&);
template Status launch_columns<double>(ExecContext*, SoftmaxJob<double>&);
template Status launch_columns<bf16>(ExecContext*, SoftmaxJob<bf16>&);

}  // namespace tg::cuda
