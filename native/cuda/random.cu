// Random ops: the distributions of core/philox.h, as many elements to a thread as 16 bytes hold.
// Arithmetic is rounded operation by operation (exact.h): bits are the CPU's.
#include "random.h"

#include "../core/philox.h"
#include "exact.h"
#include "launch.h"
#include "strided.h"
#include "vector.h"

namespace tg::cuda {
namespace {

using random::Integers;
using random::Normal;
using random::Uniform;

// Which words: those of the op's stream, or in a recording of one that is counted from the step's.
struct Source {
  uint64_t seed, stream;
  const StepState* step;

  explicit Source(const ExecContext* ctx, const Attrs& a)
      : seed(a.seed), stream(a.stream), step(ctx->step) {}
  __device__ __forceinline__ RandomStream get() const {
    return step ? RandomStream(step->seed, step->stream + stream) : RandomStream(seed, stream);
  }
};

// Numbers made as float, limited to what the narrower type may have.
template <class F>
struct Limited {
  static constexpr int kWords = F::kWords;
  F f;
  float top;
  __device__ __forceinline__ void operator()(const uint32_t* w, float* out, int64_t n,
                                             int64_t at) const {
    f(w, out, n, at);
    for (int64_t i = 0; i < n; ++i) out[i] = out[i] < top ? out[i] : top;
  }
};

// out[i] for all i < count, made by f as Compute<T>.
template <class T, class F>
__global__ void __launch_bounds__(kThreads) generate(T* out, int64_t count, F f, Source source) {
  constexpr int kN = kLanes<T>, kBlocks = kN * F::kWords / 4;
  const RandomStream stream = source.get();
  for (int64_t v = first_item(); v * kN < count; v += item_stride()) {
    uint32_t words[4 * kBlocks];
#pragma unroll
    for (int b = 0; b < kBlocks; ++b)
      random_words(stream, static_cast<uint64_t>(v) * kBlocks + b, words + 4 * b);
    Compute<T> made[kN];
    f(words, made, kN, v * kN);
    Vector<T, kN> result;
#pragma unroll
    for (int i = 0; i < kN; ++i) result.at[i] = narrow<T>(made[i]);
    if ((v + 1) * kN <= count) {
      store(out + v * kN, result);
    } else {
#pragma unroll
      for (int i = 0; i < kN; ++i)
        if (v * kN + i < count) out[v * kN + i] = result.at[i];
    }
  }
}

template <class T, class F>
Status run_generate(ExecContext* ctx, const OpCall& call, const F& f) {
  const int64_t count = call.out.shape.count();
  if (count == 0) return Status::ok;
  return launch(ctx, generate<T, F>, grid_for(ctx, (count + kLanes<T> - 1) / kLanes<T>),
                static_cast<T*>(call.out.data), count, f, Source(ctx, call.attrs));
}

Status run_uniform(ExecContext* ctx, const OpCall& call) {
  const double low = call.attrs.p[0], high = call.attrs.p[1];
  TG_TRY(random::check_uniform(ctx->error, low, high));
  const Uniform<float, Exact<double>> narrow_numbers(low, high);
  switch (call.out.dtype) {
    case DType::float32:
      return run_generate<float>(ctx, call, narrow_numbers);
    case DType::float64:
      return run_generate<double>(ctx, call, Uniform<double, Exact<double>>(low, high));
    default:
      return run_generate<bf16>(ctx, call,
                                Limited<Uniform<float, Exact<double>>>{
                                    narrow_numbers, random::largest_bfloat16_below(low, high)});
  }
}

Status run_normal(ExecContext* ctx, const OpCall& call) {
  const double mean = call.attrs.p[0], deviation = call.attrs.p[1];
  TG_TRY(random::check_normal(ctx->error, mean, deviation));
  switch (call.out.dtype) {
    case DType::float32:
      return run_generate<float>(ctx, call, Normal<float, Exact<double>>{mean, deviation});
    case DType::float64:
      return run_generate<double>(ctx, call, Normal<double, Exact<double>>{mean, deviation});
    default:
      return run_generate<bf16>(ctx, call, Normal<float, Exact<double>>{mean, deviation});
  }
}

Status run_randint(ExecContext* ctx, const OpCall& call) {
  double low = call.attrs.p[0], high = call.attrs.p[1];
  // bfloat16 is made from float32.
  const DType dtype = call.out.dtype == DType::bfloat16 ? DType::float32 : call.out.dtype;
  TG_TRY(random::check_integers(ctx->error, dtype, &low, &high));
  const int64_t first = static_cast<int64_t>(low);
  const uint64_t span = static_cast<uint64_t>(static_cast<int64_t>(high) - first);
  const Integers<float> floats{first, span, random::largest_below<float>(high)};
  switch (call.out.dtype) {
    case DType::float32:
      return run_generate<float>(ctx, call, floats);
    case DType::float64:
      return run_generate<double>(
          ctx, call, Integers<double>{first, span, random::largest_below<double>(high)});
    case DType::int32:
      return run_generate<int32_t>(ctx, call,
                                   Integers<int32_t>{first, span, static_cast<int32_t>(high - 1)});
    case DType::boolean:
      return run_generate<uint8_t>(ctx, call, Integers<uint8_t>{first, span, 1});
    default:
      return run_generate<bf16>(
          ctx, call,
          Limited<Integers<float>>{
              floats, random::largest_bfloat16_below(call.attrs.p[0], call.attrs.p[1])});
  }
}

// out = x scaled, or 0 where the element's word is below `limit`.
template <class T>
__global__ void __launch_bounds__(kThreads) drop(T* out, const T* x, Strided<1> layout, bool whole,
                                                 uint64_t limit, Compute<T> scale, Source source) {
  constexpr int kPer = kLanes<T>, kN = kPer < 4 ? 4 : kPer;  // an access, a thread
  const RandomStream stream = source.get();
  const int64_t count = layout.count;
  for (int64_t v = first_item(); v * kN < count; v += item_stride()) {
    uint32_t words[kN];
#pragma unroll
    for (int b = 0; b < kN / 4; ++b)
      random_words(stream, static_cast<uint64_t>(v) * (kN / 4) + b, words + 4 * b);
    if (whole && (v + 1) * kN <= count) {
#pragma unroll
      for (int p = 0; p < kN; p += kPer) {
        Vector<T, kPer> values = load<kPer>(x + v * kN + p);
#pragma unroll
        for (int i = 0; i < kPer; ++i)
          values.at[i] =
              narrow<T>(words[p + i] < limit ? Compute<T>(0) : widen(values.at[i]) * scale);
        store(out + v * kN + p, values);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kN; ++i) {
        const int64_t at = v * kN + i;
        if (at >= count) break;
        out[at] =
            narrow<T>(words[i] < limit ? Compute<T>(0) : widen(x[layout.offset(0, at)]) * scale);
      }
    }
  }
}

template <class T>
Status run_drop(ExecContext* ctx, const OpCall& call) {
  const TensorView& x = call.in[0];
  const double p = call.attrs.p[0];
  Strided<1> layout;
  layout.set(x.shape, &x, 1);
  if (layout.count == 0) return Status::ok;
  return launch(ctx, drop<T>, grid_for(ctx, (layout.count + 3) / 4), static_cast<T*>(call.out.data),
                static_cast<const T*>(x.data), layout, layout.in_order(0) && aligned16(x.data),
                random::drop_limit(p), static_cast<Compute<T>>(1 / (1 - p)),
                Source(ctx, call.attrs));
}

}  // namespace

Status run_random(ExecContext* ctx, const OpCall& call) {
  ctx->trace.variant = "philox";
  switch (call.op) {
    case op_uniform:
      return run_uniform(ctx, call);
    case op_normal:
      return run_normal(ctx, call);
    case op_randint:
      return run_randint(ctx, call);
    default:
      break;
  }
  switch (call.in[0].dtype) {
    case DType::float32:
      return run_drop<float>(ctx, call);
    case DType::float64:
      return run_drop<double>(ctx, call);
    default:
      return run_drop<bf16>(ctx, call);
  }
}

}  // namespace tg::cuda
