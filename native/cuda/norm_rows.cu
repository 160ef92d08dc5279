// Layer normalisation and its gradient by x: one pass over memory where a row fits into registers.
#include <type_traits>

#include "norm_job.h"

namespace tg::cuda {

namespace {

// Σ (x - centre), Σ (x - centre)², and in the gradient Σ g w and Σ g w (x - centre).
template <class S>
struct LayerSums {
  S off, squares, sum, dot;
  __device__ __forceinline__ LayerSums operator+(const LayerSums& b) const {
    return {off + b.off, squares + b.squares, sum + b.sum, dot + b.dot};
  }
};

// Of two operands with all that is known of a row, registers hold half of what they do in softmax.
template <class T>
constexpr int kHeld = kMany<T> / 2;

// y[e] = f(y[e], what weight or bias p has at slot e's element), a few at a time to spare
// registers.
template <class T, int kEach, class Index, class F>
__device__ __forceinline__ void with_parameter(const Slots<T, kEach, Index>& slots, const T* p,
                                               bool aligned, Index n, Index first,
                                               Compute<T> (&y)[kEach], F f) {
  constexpr int kWide = Slots<T, kEach, Index>::kWide;
  const bool vectors = aligned && slots.vectors && slots.skew == 0;
#pragma unroll
  for (int v = 0; v < kEach / kWide; ++v) {
    const Index begin = slots.element(first, v * kWide);
    Vector<T, kWide> some = {};
    if (vectors && begin + kWide <= n) {
      some = load<kWide>(p + begin);
    } else {
#pragma unroll
      for (int k = 0; k < kWide; ++k) {
        const Index at = slots.element(first, v * kWide + k);
        if (at >= 0 && at < n) some.at[k] = p[at];
      }
    }
#pragma unroll
    for (int k = 0; k < kWide; ++k) y[v * kWide + k] = f(y[v * kWide + k], widen(some.at[k]));
  }
}

template <class T, int kEach, bool kWhole, bool kBackward>
__global__ void __launch_bounds__(kMostThreads, 1)
    layer_rows(const __grid_constant__ LayerJob<T> job) {
  using C = Compute<T>;
  using Sum = std::conditional_t<kWhole, C, double>;
  using Index = std::conditional_t<kWhole, int, int64_t>;
  __shared__ Sum mean_room[32];
  __shared__ LayerSums<Sum> sum_room[32];
  const int group = job.group, rows_here = static_cast<int>(blockDim.x) / group;
  const Sum many = static_cast<Sum>(job.n);
  for (int64_t base = static_cast<int64_t>(blockIdx.x) * rows_here; base < job.rows;
       base += static_cast<int64_t>(gridDim.x) * rows_here) {
    const int64_t row = base + static_cast<int>(threadIdx.x) / group;
    const Index n = row < job.rows ? static_cast<Index>(job.n) : 0;  // none: only keeps step
    const int64_t at = row < job.rows ? row * job.n : 0;
    const Slots<T, kEach, Index> slots(static_cast<int>(threadIdx.x) % group, group, job.vectors,
                                       job.x + at);
    C x[kEach], g[kEach];
    const auto times = [](C a, C b) { return a * b; };

    Sum mean = 0;
    for (Index first = 0; kWhole || first < slots.end(n); first += slots.step()) {
      slots.read(job.x + at, 1, n, first, 0, x);
      C part = 0;
#pragma unroll
      for (int e = 0; e < kEach; ++e) part += x[e];
      mean += part;
      if (kWhole) break;
    }
    const C centre = static_cast<C>(fold_group(mean, group, mean_room, Plus()) / many);

    LayerSums<Sum> sums = {};
    for (Index first = 0; kWhole || first < slots.end(n); first += slots.step()) {
      if (!kWhole) slots.read(job.x + at, 1, n, first, 0, x);
      if (kBackward) {
        slots.read(job.g + at, 1, n, first, 0, g);
        with_parameter(slots, job.weight, job.parameters, n, first, g, times);
      }
      LayerSums<C> part = {};
#pragma unroll
      for (int e = 0; e < kEach; ++e) {
        const Index i = slots.element(first, e);
        const C off = i >= 0 && i < n ? x[e] - centre : C(0);
        part.off += off;
        part.squares += off * off;
        if (kBackward) {
          part.sum += g[e];
          part.dot += g[e] * off;
        }
      }
      sums = sums + LayerSums<Sum>{part.off, part.squares, part.sum, part.dot};
      if (kWhole) break;
    }
    sums = fold_group(sums, group, sum_room, Plus());
    // The centre is the mean but for rounding, which the squares must not see.
    const Sum rest = sums.off / many, variance = sums.squares / many - rest * rest;
    const double inverse = 1 / sqrt((variance < 0 ? 0 : static_cast<double>(variance)) + job.eps);
    const C scale = static_cast<C>(inverse);
    if (job.statistics) {
      if (slots.member == 0 && n > 0)
        store<2>(job.statistics + 2 * row, Vector<C, 2>{{centre, scale}});
      continue;
    }
    const double cubed = inverse * inverse * inverse / static_cast<double>(many);
    const C slope = kBackward ? static_cast<C>(-cubed * static_cast<double>(sums.dot)) : C(0);
    const C constant =
        kBackward ? static_cast<C>(-inverse * static_cast<double>(sums.sum / many)) : C(0);
    for (Index first = 0; kWhole || first < slots.end(n); first += slots.step()) {
      if (!kWhole) slots.read(job.x + at, 1, n, first, 0, x);
      if (kBackward) {
        if (!kWhole) {
          slots.read(job.g + at, 1, n, first, 0, g);
          with_parameter(slots, job.weight, job.parameters, n, first, g, times);
        }
#pragma unroll
        for (int e = 0; e < kEach; ++e) x[e] = scale * g[e] + (slope * (x[e] - centre) + constant);
      } else {
#pragma unroll
        for (int e = 0; e < kEach; ++e) x[e] = (x[e] - centre) * scale;
        with_parameter(slots, job.weight, job.parameters, n, first, x, times);
        with_parameter(slots, job.bias, job.parameters, n, first, x, Plus());
      }
      slots.write(job.out + at, 1, n, first, x);
      if (kWhole) break;
    }
  }
}

template <class T, bool kBackward>
Status launch_direction(ExecContext* ctx, LayerJob<T>& job, int64_t span) {
  return launch_by_length<T, kHeld<T>>(ctx, job, span, layer_rows<T, kFew, true, kBackward>,
                                       layer_rows<T, kHeld<T>, true, kBackward>,
                                       layer_rows<T, kStreamed<T>, false, kBackward>);
}

}  // namespace

template <class T>
Status launch_layer(ExecContext* ctx, LayerJob<T>& job) {
  const auto place = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16; };
  job.vectors = (job.statistics || place(job.out) == place(job.x)) &&
                (!job.g || place(job.g) == place(job.x));
  job.parameters = aligned16(job.weight) && aligned16(job.bias);
  const bool skewed = job.vectors && (place(job.x) || job.n % kLanes<T>);
  const int64_t span = skewed ? job.n + kLanes<T> - 1 : job.n;
  return job.g ? launch_direction<T, true>(ctx, job, span)
               : launch_direction<T, false>(ctx, job, span);
}
template Status launch_layer<float>(ExecContext*, LayerJob<float>&);
template Status launch_layer<double>(ExecContext*, LayerJob<double>&);
template Status launch_layer<bf16>(ExecContext*, LayerJob<bf16>&);

}  // namespace tg::cuda
