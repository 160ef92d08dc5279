// Folds for reduce_kernels.h, which says what a Fold is. Sums are taken in the compute type over
// the few elements that a thread reads at once, and in double beyond.
#pragma once

#include "reduce_kernels.h"

namespace tg::cuda {

// x[kFirst] + … , n of them, in pairs; n is a power of two.
template <int n, int kFirst = 0, int kAll, class C>
__device__ __forceinline__ C pairwise(const C (&x)[kAll]) {
  if constexpr (n == 1)
    return x[kFirst];
  else
    return pairwise<n / 2, kFirst>(x) + pairwise<n / 2, kFirst + n / 2>(x);
}

template <class T>
struct SumFold {
  using State = double;
  static constexpr int kOperandCount = 1;
  bool mean;

  __device__ Compute<T> none() const { return 0; }
  __device__ State start() const { return 0; }
  template <int n, class Element>
  __device__ __forceinline__ void add(State& state, const Compute<T> (&x)[n],
                                      const Compute<T> (&)[n], unsigned, int64_t, Element) const {
    state += static_cast<double>(pairwise<n>(x));
  }
  __device__ State join(State a, State b) const { return a + b; }
  __device__ void store(State state, const ReducePlan& plan, void* out, int64_t, int64_t at) const {
    if (mean) state /= static_cast<double>(plan.n);
    static_cast<T*>(out)[at] = narrow<T>(static_cast<Compute<T>>(state));
  }
};
// Of int32, modulo 2³².
template <>
struct SumFold<int32_t> {
  using State = unsigned;
  static constexpr int kOperandCount = 1;
  bool mean;

  __device__ int32_t none() const { return 0; }
  __device__ State start() const { return 0; }
  template <int n, class Element>
  __device__ __forceinline__ void add(State& state, const int32_t (&x)[n], const int32_t (&)[n],
                                      unsigned, int64_t, Element) const {
#pragma unroll
    for (int e = 0; e < n; ++e) state += static_cast<unsigned>(x[e]);
  }
  __device__ State join(State a, State b) const { return a + b; }
  __device__ void store(State state, const ReducePlan&, void* out, int64_t, int64_t at) const {
    static_cast<int32_t*>(out)[at] = static_cast<int32_t>(state);
  }
};

// Numbers in the order that a maximum asks for, or in the opposite one for a minimum.
template <class C>
struct Order {
  bool opposite;

  __device__ __forceinline__ C operator()(C x) const {
    if constexpr (static_cast<C>(0.5) == 0)
      return opposite ? ~x : x;  // -INT32_MIN would be none
    else
      return opposite ? -x : x;
  }
  // Below all others; back is what comes first in memory.
  __device__ __forceinline__ C least() const {
    if constexpr (static_cast<C>(0.5) == 0)
      return INT32_MIN;
    else
      return -static_cast<C>(HUGE_VAL);
  }
};

// The largest or the smallest; NaN if there is one.
template <class T>
struct ExtremeFold {
  using C = Compute<T>;
  using State = C;
  static constexpr int kOperandCount = 1;
  Order<C> order;

  __device__ C none() const { return order(order.least()); }
  __device__ State start() const { return order.least(); }
  template <int n, class Element>
  __device__ __forceinline__ void add(State& state, const C (&x)[n], const C (&)[n], unsigned,
                                      int64_t, Element) const {
#pragma unroll
    for (int e = 0; e < n; ++e) state = join(state, order(x[e]));
  }
  __device__ __forceinline__ State join(State a, State b) const { return b > a || b != b ? b : a; }
  __device__ void store(State state, const ReducePlan&, void* out, int64_t, int64_t at) const {
    static_cast<T*>(out)[at] = narrow<T>(order(state));
  }
};

// Where the first of the largest or smallest is; NaN counts as more extreme than any number.
template <class T>
struct PlaceFold {
  using C = Compute<T>;
  struct State {
    int64_t element;  // INT64_MAX: none yet
    C value;
  };
  static constexpr int kOperandCount = 1;
  Order<C> order;

  __device__ C none() const { return order(order.least()); }
  __device__ State start() const { return {INT64_MAX, order.least()}; }
  static __device__ __forceinline__ bool better(C b, C a) { return b > a || (b != b && a == a); }
  template <int n, class Element>
  __device__ __forceinline__ void add(State& state, const C (&x)[n], const C (&)[n], unsigned valid,
                                      int64_t, Element element) const {
    int best = -1;
    C value = order.least();
#pragma unroll
    for (int e = 0; e < n; ++e)
      if ((valid >> e & 1) && (best < 0 || better(order(x[e]), value))) {
        best = e;
        value = order(x[e]);
      }
    if (best >= 0) state = join(state, {element(best), value});
  }
  __device__ __forceinline__ State join(State a, State b) const {
    if (better(b.value, a.value)) return b;
    return better(a.value, b.value) || a.element <= b.element ? a : b;
  }
  __device__ void store(State state, const ReducePlan&, void* out, int64_t, int64_t at) const {
    static_cast<int32_t*>(out)[at] = static_cast<int32_t>(state.element);
  }
};

// log Σ eˣ = shift(most) + log sum, where sum = Σ eˣ⁻ˢʰⁱᶠᵗ.
template <class T>
struct LogSumExpFold {
  using C = Compute<T>;
  struct State {
    double sum;
    C most;  // never NaN, which shows in the sum
  };
  static constexpr int kOperandCount = 1;

  // The maximum where it is finite: ∞ - ∞ would be NaN.
  static __device__ __forceinline__ C shift(C most) { return most - most == 0 ? most : C(0); }
  // What a sum relative to `from` is multiplied by to be relative to a larger or equal maximum.
  static __device__ __forceinline__ double factor(C from, C to) {
    return from == to || from == -HUGE_VAL ? 1 : exponential(from - shift(to));
  }

  __device__ C none() const { return -static_cast<C>(HUGE_VAL); }
  __device__ State start() const { return {0, none()}; }
  template <int n, class Element>
  __device__ __forceinline__ void add(State& state, const C (&x)[n], const C (&)[n], unsigned,
                                      int64_t, Element) const {
    C most = state.most;
#pragma unroll
    for (int e = 0; e < n; ++e) most = Larger()(most, x[e]);
    const C by = shift(most);
    C power[n];
#pragma unroll
    for (int e = 0; e < n; ++e) power[e] = exponential(x[e] - by);
    state.sum = state.sum * factor(state.most, most) + static_cast<double>(pairwise<n>(power));
    state.most = most;
  }
  __device__ __forceinline__ State join(State a, State b) const {
    const C most = Larger()(a.most, b.most);
    return {a.sum * factor(a.most, most) + b.sum * factor(b.most, most), most};
  }
  __device__ void store(State state, const ReducePlan&, void* out, int64_t, int64_t at) const {
    static_cast<T*>(out)[at] =
        narrow<T>(static_cast<C>(static_cast<double>(shift(state.most)) + log(state.sum)));
  }
};

// Mean and Σ (x - mean)², joined by Chan's rule; each few elements in two passes over registers.
template <class T>
struct MomentsFold {
  using C = Compute<T>;
  struct State {
    double count, mean, squares;
  };
  static constexpr int kOperandCount = 1;
  bool both;          // the mean, and the variance `outputs` places behind it
  double correction;  // else the variance alone

  __device__ C none() const { return 0; }
  __device__ State start() const { return {0, 0, 0}; }
  template <int n, class Element>
  __device__ __forceinline__ void add(State& state, const C (&x)[n], const C (&)[n], unsigned valid,
                                      int64_t, Element) const {
    const int count = __popc(valid);
    if (count == 0) return;
    const C centre = pairwise<n>(x) / static_cast<C>(count);
    C off[n], square[n];
#pragma unroll
    for (int e = 0; e < n; ++e) {
      off[e] = valid >> e & 1 ? x[e] - centre : C(0);
      square[e] = off[e] * off[e];
    }
    // The centre was rounded: by how much, and what of the squares is due to that.
    const double many = count, rest = static_cast<double>(pairwise<n>(off)) / many;
    state = join(state, {many, static_cast<double>(centre) + rest,
                         static_cast<double>(pairwise<n>(square)) - rest * rest * many});
  }
  __device__ __forceinline__ State join(State a, State b) const {
    if (a.count == 0) return b;
    if (b.count == 0) return a;
    const double count = a.count + b.count, apart = b.mean - a.mean, share = b.count / count;
    return {count, a.mean + apart * share, a.squares + b.squares + apart * apart * a.count * share};
  }
  __device__ void store(State state, const ReducePlan& plan, void* out, int64_t, int64_t at) const {
    T* const to = static_cast<T*>(out) + at;
    const double n = static_cast<double>(plan.n), squares = state.squares < 0 ? 0 : state.squares;
    const double freedom = both ? n : n - correction;
    const double variance = squares / (freedom > 0 ? freedom : 0);
    if (both) to[0] = narrow<T>(static_cast<C>(state.mean));
    to[both ? plan.outputs : 0] = narrow<T>(static_cast<C>(variance));
  }
};

// Σ g and Σ g x̂, `outputs` places apart, x̂ being x normalised. Pairs of sums:
struct TwoSums {
  double sum, dot;
};
template <class T>
struct TwoSumsFold {
  using C = Compute<T>;
  using State = TwoSums;
  static constexpr int kOperandCount = 2;

  __device__ C none() const { return 0; }
  __device__ State start() const { return {0, 0}; }
  __device__ __forceinline__ State join(State a, State b) const {
    return {a.sum + b.sum, a.dot + b.dot};
  }
};

// By mean and variance of each output.
template <class T>
struct ChannelSumsFold : TwoSumsFold<T> {
  using C = Compute<T>;
  const T* mean;
  const T* variance;
  int64_t stride;
  double eps;

  template <int n, class Element>
  __device__ __forceinline__ void add(TwoSums& state, const C (&g)[n], const C (&x)[n],
                                      unsigned valid, int64_t output, Element) const {
    const C centre = valid ? widen(mean[output * stride]) : C(0);
    C dot[n];
#pragma unroll
    for (int e = 0; e < n; ++e) dot[e] = valid >> e & 1 ? g[e] * (x[e] - centre) : C(0);
    state.sum += static_cast<double>(pairwise<n>(g));
    state.dot += static_cast<double>(pairwise<n>(dot));
  }
  __device__ void store(TwoSums state, const ReducePlan& plan, void* out, int64_t output,
                        int64_t at) const {
    T* const to = static_cast<T*>(out) + at;
    const double scale = 1 / sqrt(static_cast<double>(widen(variance[output * stride])) + eps);
    to[0] = narrow<T>(static_cast<C>(state.sum));
    to[plan.outputs] = narrow<T>(static_cast<C>(state.dot * scale));
  }
};

// By mean and 1 / deviation of each reduced element (a row of a layer norm): pairs of C.
template <class T>
struct LayerSumsFold : TwoSumsFold<T> {
  using C = Compute<T>;
  const C* statistics;

  template <int n, class Element>
  __device__ __forceinline__ void add(TwoSums& state, const C (&g)[n], const C (&x)[n],
                                      unsigned valid, int64_t, Element element) const {
    C dot[n];
#pragma unroll
    for (int e = 0; e < n; ++e) {
      dot[e] = 0;
      if (!(valid >> e & 1)) continue;
      const Vector<C, 2> row = load<2>(statistics + 2 * element(e));
      dot[e] = g[e] * ((x[e] - row.at[0]) * row.at[1]);
    }
    state.sum += static_cast<double>(pairwise<n>(g));
    state.dot += static_cast<double>(pairwise<n>(dot));
  }
  __device__ void store(TwoSums state, const ReducePlan& plan, void* out, int64_t,
                        int64_t at) const {
    T* const to = static_cast<T*>(out) + at;
    to[0] = narrow<T>(static_cast<C>(state.sum));
    to[plan.outputs] = narrow<T>(static_cast<C>(state.dot));
  }
};

}  // namespace tg::cuda
