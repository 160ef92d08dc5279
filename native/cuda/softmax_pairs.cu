// Softmax kernels on rows of two operands at once.
#include "softmax_job.h"

namespace tg::cuda {

namespace {

// Σ eˣ⁻ᵐᵃˣ; of two operands also Σ t and Σ t (max - x); of the others' gradients Σ alone.
template <class S>
struct RowSums {
  S sum, weight, total;
  __device__ __forceinline__ RowSums operator+(const RowSums& b) const {
    return {sum + b.sum, weight + b.weight, total + b.total};
  }
  // What was taken relative to `before`, relative to a larger maximum.
  template <class C>
  __device__ __forceinline__ void rebase(C before, C most) {
    sum *= exponential(before - most);
    if (weight != 0) total += weight * (most - shift_of(before));
  }
};

// The part of the sums that one round of a row gives.
template <class T, int kEach>
__device__ __forceinline__ RowSums<Compute<T>> sums_of(Op op, const Compute<T> (&x)[kEach],
                                                       const Compute<T> (&other)[kEach],
                                                       Compute<T> shift) {
  RowSums<Compute<T>> s = {};
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    if (op == op_softmaxBackward) {
      s.sum += x[e] * other[e];
    } else if (op == op_logSoftmaxBackward) {
      s.sum += x[e];
    } else {
      s.sum += exponential(x[e] - shift);
      s.weight += other[e];
      // Where t is 0 it counts 0, even if x is -Infinity.
      s.total += other[e] == 0 ? other[e] : other[e] * (shift - x[e]);
    }
  }
  return s;
}

// Of a thread's share of a row. Apart from the kernel, whose registers are all in use.
template <class T>
__device__ __attribute__((noinline)) void note_negatives(const SoftmaxJob<T>& job, int64_t number,
                                                         int member) {
  const T* const target = job.other + offsets_of(job.lanes, number).at[1];
  for (int64_t i = member; i < job.n; i += job.group) {
    const Compute<T> value = widen(target[i * job.step_other]);
    if (value < 0) job.check.fail(number * job.n + i, static_cast<float>(value));
  }
}

// Gradients of softmax and logSoftmax, and crossEntropy with its gradient for probabilities.
template <class T, int kEach, bool kWhole>
__global__ void __launch_bounds__(kMostThreads)
    softmax_pairs(const __grid_constant__ SoftmaxJob<T> job) {
  using C = Compute<T>;
  using Sum = std::conditional_t<kWhole, C, double>;
  using Index = std::conditional_t<kWhole, int, int64_t>;
  __shared__ C most_room[32];
  __shared__ RowSums<Sum> sum_room[32];
  const int group = job.group, rows_here = static_cast<int>(blockDim.x) / group;
  const bool loss = job.op == op_crossEntropy;
  const bool exps = loss || job.op == op_crossEntropyBackward;
  const C none = exps ? -infinity<C>() : C(0);
  for (int64_t base = static_cast<int64_t>(blockIdx.x) * rows_here; base < job.rows;
       base += static_cast<int64_t>(gridDim.x) * rows_here) {
    const int64_t number = base + static_cast<int>(threadIdx.x) / group;
    const Index n = number < job.rows ? static_cast<Index>(job.n) : 0;
    const Offsets at = offsets_of(job.lanes, number < job.rows ? number : base);
    const T *const row = job.x + at.at[0], *const second = job.other + at.at[1];
    const Slots<T, kEach, Index> slots(static_cast<int>(threadIdx.x) % group, group, job.vectors,
                                       row);

    C x[kEach], other[kEach], most = -infinity<C>(), before = most;
    RowSums<Sum> sums = {};
    for (Index first = 0; first < slots.end(n) || first == 0; first += slots.step()) {
      slots.read(row, job.step_x, n, first, none, x);
      slots.read(second, job.step_other, n, first, C(0), other);
      if (exps) most = Larger()(most, largest(x));
      if (kWhole && exps) most = fold_group(most, group, most_room, Larger());
      RowSums<C> part = sums_of<T>(job.op, x, other, shift_of(most));
      if (loss) {
#pragma unroll
        for (int e = 0; e < kEach; ++e)
          if (other[e] < 0) part.sum = not_a_number<C>();
      }
      if (!kWhole && exps && most != before) {
        sums.rebase(before, most);
        before = most;
      }
      sums = sums + RowSums<Sum>{part.sum, part.weight, part.total};
      if (kWhole) break;
    }
    if (!kWhole && exps) {
      const C mine = most;
      most = fold_group(most, group, most_room, Larger());
      if (mine != most) sums.rebase(mine, most);
    }
    sums = fold_group(sums, group, sum_room, Plus());
    const C shift = shift_of(most), sum = static_cast<C>(sums.sum);

    if (loss) {
      // A row of nothing but -Infinity is no distribution.
      const C value = most == -infinity<C>()
                          ? not_a_number<C>()
                          : static_cast<C>(sums.weight * logarithm(sums.sum) + sums.total);
      if (slots.member == 0 && n > 0) job.out[at.at[2]] = narrow<T>(value);
      if (sum != sum && n > 0) note_negatives(job, number, slots.member);
      continue;
    }
    const C factor = job.g && n > 0 ? widen(job.g[number * job.g_stride]) : C(1);
    const C scale = exps ? static_cast<C>(factor * sums.weight / sums.sum) : C(0);
    T* const to = job.out + at.at[2];
    for (Index first = 0; first < slots.end(n); first += slots.step()) {
      if (!kWhole) {
        slots.read(row, job.step_x, n, first, none, x);
        slots.read(second, job.step_other, n, first, C(0), other);
      }
#pragma unroll
      for (int e = 0; e < kEach; ++e) {
        if (exps)
          x[e] = exponential(x[e] - shift) * scale - other[e] * factor;
        else if (job.op == op_softmaxBackward)
          x[e] = other[e] * (x[e] - sum);
        else
          x[e] = x[e] - exponential(other[e]) * sum;
      }
      slots.write(to, job.step_out, n, first, x);
      if (kWhole) break;
    }
  }
}

}  // namespace

template <class T>
Status launch_pairs(ExecContext* ctx, SoftmaxJob<T>& job, int64_t span) {
  return launch_by_length<T, kMany<T>>(ctx, job, span, softmax_pairs<T, kFew, true>,
                                       softmax_pairs<T, kMany<T>, true>,
                                       softmax_pairs<T, kStreamed<T>, false>);
}
template Status launch_pairs<float>(ExecContext*, SoftmaxJob<float>&, int64_t);
template Status launch_pairs<double>(ExecContext*, SoftmaxJob<double>&, int64_t);
template Status launch_pairs<bf16>(ExecContext*, SoftmaxJob<bf16>&, int64_t);

}  // namespace tg::cuda
