// Softmax kernels on rows of one operand.
#include "softmax_job.h"

namespace tg::cuda {

namespace {

// Blocks to make room for in a multiprocessor's registers: while one loads, the other stores. More
// numbers than so do not fit.
template <class T, int kEach, bool kWhole>
constexpr int kBlocks = kWhole && (sizeof(T) == 4 || (sizeof(T) == 2 && kEach < 32)) ? 2 : 1;

// softmax, logSoftmax, and crossEntropy with its gradient for classes.
template <class T, int kEach, bool kWhole>
__global__ void __launch_bounds__(kMostThreads, kBlocks<T, kEach, kWhole>)
    softmax_rows(const __grid_constant__ SoftmaxJob<T> job) {
  using C = Compute<T>;
  using Sum = std::conditional_t<kWhole, C, double>;
  using Index = std::conditional_t<kWhole, int, int64_t>;
  __shared__ C most_room[32];
  __shared__ Sum sum_room[32];
  const int group = job.group, rows_here = static_cast<int>(blockDim.x) / group;
  const bool exps = job.op == op_softmax || job.op == op_crossEntropyBackward;
  for (int64_t base = static_cast<int64_t>(blockIdx.x) * rows_here; base < job.rows;
       base += static_cast<int64_t>(gridDim.x) * rows_here) {
    const int64_t number = base + static_cast<int>(threadIdx.x) / group;
    const Index n = number < job.rows ? static_cast<Index>(job.n) : 0;  // none: only keeps step
    const Offsets at = offsets_of(job.lanes, number < job.rows ? number : base);
    const T* const row = job.x + at.at[0];
    const Slots<T, kEach, Index> slots(static_cast<int>(threadIdx.x) % group, group, job.vectors,
                                       row);

    C x[kEach], most = -infinity<C>();
    Sum sum = 0;
    if (kWhole) {
      slots.read(row, job.step_x, n, 0, -infinity<C>(), x);
      most = fold_group(largest(x), group, most_room, Larger());
      const C shift = shift_of(most);
#pragma unroll
      for (int e = 0; e < kEach; ++e) {
        const C power = exponential(x[e] - shift);
        sum += power;
        if (exps) x[e] = power;
      }
    } else {
      for (Index first = 0; first < slots.end(n); first += slots.step()) {
        slots.read(row, job.step_x, n, first, -infinity<C>(), x);
        const C before = most;
        most = Larger()(most, largest(x));
        const C shift = shift_of(most);
        C part = 0;
#pragma unroll
        for (int e = 0; e < kEach; ++e) part += exponential(x[e] - shift);
        if (most != before) sum *= exponential(before - most);
        sum += part;
      }
      const C mine = most;
      most = fold_group(most, group, most_room, Larger());
      if (mine != most) sum *= exponential(mine - most);
    }
    sum = fold_group(sum, group, sum_room, Plus());
    const C shift = shift_of(most), log_sum = logarithm(static_cast<C>(sum));

    Index chosen = -1;
    C factor = 1;
    if (job.classes && n > 0) {
      chosen = static_cast<Index>(job.classes[number * job.class_stride]);
      if (job.g) factor = widen(job.g[number * job.g_stride]);
      if (chosen < 0 || chosen >= n) {
        if (slots.member == 0) job.check.fail(number, static_cast<int32_t>(chosen));
        factor = not_a_number<C>();
        chosen = 0;
      }
    }
    if (job.op == op_crossEntropy) {
      if (slots.member == 0 && n > 0)
        job.out[at.at[2]] =
            narrow<T>(factor * (log_sum + (most - widen(row[chosen * job.step_x]))));
      continue;
    }
    const C scale = factor / static_cast<C>(sum);
    T* const to = job.out + at.at[2];
    for (Index first = 0; first < slots.end(n); first += slots.step()) {
      if (!kWhole) slots.read(row, job.step_x, n, first, -infinity<C>(), x);
#pragma unroll
      for (int e = 0; e < kEach; ++e) {
        if (exps) {
          x[e] = (kWhole ? x[e] : exponential(x[e] - shift)) * scale;
          if (chosen >= 0 && slots.element(first, e) == chosen) x[e] -= factor;
        } else {
          x[e] = (x[e] - most) - log_sum;
        }
      }
      slots.write(to, job.step_out, n, first, x);
      if (kWhole) break;
    }
  }
}

}  // namespace

template <class T>
Status launch_rows(ExecContext* ctx, SoftmaxJob<T>& job, int64_t span) {
  return launch_by_length<T, kMany<T>>(ctx, job, span, softmax_rows<T, kFew, true>,
                                       softmax_rows<T, kMany<T>, true>,
                                       softmax_rows<T, kStreamed<T>, false>);
}
template Status launch_rows<float>(ExecContext*, SoftmaxJob<float>&, int64_t);
template Status launch_rows<double>(ExecContext*, SoftmaxJob<double>&, int64_t);
template Status launch_rows<bf16>(ExecContext*, SoftmaxJob<bf16>&, int64_t);

}  // namespace tg::cuda
