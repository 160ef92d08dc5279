// The drivers of random ops; see random.h. The numbers come from core/philox.h.
#include "random.h"

#include <cmath>
#include <cstring>

#include "../core/philox.h"
#include "contiguous.h"
#include "copy.h"

namespace tg::cpu {
namespace {

using random::Integers;
using random::Normal;
using random::Uniform;

constexpr int64_t kBlocks = 32;  // Philox blocks that are turned into numbers at a time

// Dropout: x scaled, or 0. One word per element; a piece of the result says by its place which
// elements of x it is made of.
template <class T>
struct Dropping {
  static constexpr int kWords = 1;
  uint64_t limit;
  T scale;
  const T* x;
  void operator()(const uint32_t* __restrict w, T* __restrict out, int64_t n, int64_t at) const {
    for (int64_t i = 0; i < n; ++i) out[i] = w[i] < limit ? T(0) : x[at + i] * scale;
  }
};

template <class T, class Distribution>
void generate(ThreadPool& threads, const OpCall& call, const Distribution& f) {
  constexpr int64_t kPerBlock = 4 / Distribution::kWords, kGroup = kBlocks * kPerBlock;
  const RandomStream stream(call.attrs.seed, call.attrs.stream);
  T* out = static_cast<T*>(call.out.data);
  const int64_t count = call.out.shape.count();
  // Work weighs more than its bytes: 8 times, by the pool's measure of when threads pay.
  const int64_t pieces = parts(threads, count * static_cast<int64_t>(sizeof(T)) * 8);
  int64_t step = (count + pieces - 1) / pieces;
  step = (step + kGroup - 1) / kGroup * kGroup;
  if (count == 0) return;
  parallel(threads, (count + step - 1) / step, [&](int64_t task) {
    const int64_t end = (task + 1) * step < count ? (task + 1) * step : count;
    for (int64_t i = task * step; i < end; i += kGroup) {
      const int64_t n = end - i < kGroup ? end - i : kGroup;
      uint32_t words[kBlocks * 4];
      const uint64_t first = static_cast<uint64_t>(i / kPerBlock);
      for (int64_t b = 0; b * kPerBlock < n; ++b)
        random_words(stream, first + static_cast<uint64_t>(b), words + 4 * b);
      if (n == kGroup) {
        f(words, out + i, n, i);
      } else {
        T last[kGroup + 1];
        f(words, last, n, i);
        std::memcpy(out + i, last, static_cast<size_t>(n) * sizeof(T));
      }
    }
  });
}

}  // namespace

Status run_uniform(ExecContext* ctx, const OpCall& call) {
  const double low = call.attrs.p[0], high = call.attrs.p[1];
  ctx->trace.variant = "philox";
  TG_TRY(random::check_uniform(ctx->error, low, high));
  if (call.out.dtype == DType::float32)
    generate<float>(*ctx->threads, call, Uniform<float, double>(low, high));
  else
    generate<double>(*ctx->threads, call, Uniform<double, double>(low, high));
  return Status::ok;
}

Status run_normal(ExecContext* ctx, const OpCall& call) {
  const double mean = call.attrs.p[0], deviation = call.attrs.p[1];
  ctx->trace.variant = "philox";
  TG_TRY(random::check_normal(ctx->error, mean, deviation));
  if (call.out.dtype == DType::float32)
    generate<float>(*ctx->threads, call, Normal<float, double>{mean, deviation});
  else
    generate<double>(*ctx->threads, call, Normal<double, double>{mean, deviation});
  return Status::ok;
}

Status run_randint(ExecContext* ctx, const OpCall& call) {
  double low = call.attrs.p[0], high = call.attrs.p[1];
  ctx->trace.variant = "philox";
  TG_TRY(random::check_integers(ctx->error, call.out.dtype, &low, &high));
  const int64_t first = static_cast<int64_t>(low);
  const uint64_t span = static_cast<uint64_t>(static_cast<int64_t>(high) - first);
  const auto run = [&](auto top) {
    generate<decltype(top)>(*ctx->threads, call, Integers<decltype(top)>{first, span, top});
  };
  switch (call.out.dtype) {
    case DType::float32:
      run(random::largest_below<float>(high));
      break;
    case DType::float64:
      run(random::largest_below<double>(high));
      break;
    case DType::int32:
      run(static_cast<int32_t>(high - 1));
      break;
    case DType::boolean:
      run(uint8_t{1});
      break;
    case DType::bfloat16:  // made from float32 (see bfloat16.h)
      return ctx->error->set(Status::internal, "randint: no kernel for bfloat16");
  }
  return Status::ok;
}

Status run_drop(ExecContext* ctx, const OpCall& call) {
  ctx->trace.variant = "philox";
  Contiguous in(ctx, call);
  TG_TRY(in.prepare(0));
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    const T* x = in.in<T>(0);
    const double p = call.attrs.p[0];
    const uint64_t limit = random::drop_limit(p);
    const T scale = static_cast<T>(1 / (1 - p));
    generate<T>(*ctx->threads, call, Dropping<T>{limit, scale, x});
  };
  call.out.dtype == DType::float32 ? run(float{}) : run(double{});
  return Status::ok;
}

}  // namespace tg::cpu
