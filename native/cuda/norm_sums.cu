// The sums that normalisations and their gradients by weight and bias are made of.
#include "folds.h"
#include "norm_job.h"

namespace tg::cuda {

template <class T>
Status channel_moments(ExecContext* ctx, const ReducePlan& plan, const T* x, T* out, void* room) {
  static_assert(sizeof(typename MomentsFold<T>::State) <= kPartBytes, "parts");
  return reduce<T>(ctx, plan, MomentsFold<T>{true, 0}, x, nullptr, out, room);
}

template <class T>
Status channel_sums(ExecContext* ctx, const ReducePlan& plan, const T* g, const T* x,
                    const TensorView& moments, double eps, T* out, void* room) {
  static_assert(sizeof(TwoSums) <= kPartBytes, "parts");
  ChannelSumsFold<T> fold{};
  fold.mean = static_cast<const T*>(moments.data);
  fold.variance = fold.mean + moments.strides[0];
  fold.stride = moments.strides[1];
  fold.eps = eps;
  return reduce<T>(ctx, plan, fold, g, x, out, room);
}

template <class T>
Status layer_sums(ExecContext* ctx, const ReducePlan& plan, const T* g, const T* x,
                  const Compute<T>* statistics, T* out, void* room) {
  LayerSumsFold<T> fold{};
  fold.statistics = statistics;
  return reduce<T>(ctx, plan, fold, g, x, out, room);
}

#define TG_SUMS(T)                                                                       \
  template Status channel_moments(ExecContext*, const ReducePlan&, const T*, T*, void*); \
  template Status channel_sums(ExecContext*, const ReducePlan&, const T*, const T*,      \
                               const TensorView&, double, T*, void*);                    \
  template Status layer_sums(ExecContext*, const ReducePlan&, const T*, const T*,        \
                             const Compute<T>*, T*, void*);
TG_SUMS(float)
TG_SUMS(double)
TG_SUMS(bf16)
#undef TG_SUMS

}  // namespace tg::cuda
