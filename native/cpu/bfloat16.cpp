#include "bfloat16.h"

#include "../core/philox.h"
#include "copy.h"

namespace tg::cpu {

namespace {

constexpr int kMaxOperands = 6;
constexpr int64_t kChunk = 1024;  // elements gathered at a time

// f(begin, end) for parts of [0, count), in proportion to the bytes moved.
template <class F>
void split(ThreadPool& threads, int64_t count, F&& f) {
  const int64_t pieces = parts(threads, count * static_cast<int64_t>(sizeof(float) + 2));
  const int64_t step = (count + pieces - 1) / pieces;
  parallel(threads, pieces, [&](int64_t t) {
    const int64_t begin = t * step < count ? t * step : count;
    f(begin, begin + step < count ? begin + step : count);
  });
}

size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

bool has_bfloat16(const OpCall& call) {
  for (int i = 0; i < call.n_in; ++i)
    if (call.in[i].dtype == DType::bfloat16) return true;
  return call.out.dtype == DType::bfloat16;
}

void widen(const Bfloat16Table& table, ThreadPool& threads, const TensorView& x, float* out) {
  const GatherPlan plan(x);
  split(threads, x.shape.count(), [&](int64_t begin, int64_t end) {
    alignas(64) uint16_t gathered[kChunk];
    for (int64_t i = begin; i < end; i += kChunk) {
      const int64_t n = end - i < kChunk ? end - i : kChunk;
      const void* from = plan.direct(i);
      if (!from) plan.gather(i, n, gathered), from = gathered;
      table.widen(out + i, static_cast<const uint16_t*>(from), n);
    }
  });
}

void narrow(const Bfloat16Table& table, ThreadPool& threads, const float* x, int64_t count,
            void* out) {
  split(threads, count, [&](int64_t begin, int64_t end) {
    table.narrow(static_cast<uint16_t*>(out) + begin, x + begin, end - begin);
  });
}

Status run_widened(const Bfloat16Table& table, ExecContext* ctx, const OpCall& call,
                   Status (*float32_op)(const void* kernels, ExecContext*, const OpCall&),
                   const void* kernels) {
  if (call.n_in > kMaxOperands)
    return ctx->error->set(Status::internal, "%s: %d inputs", name_of(call.op), call.n_in);
  const auto bytes_of = [](const TensorView& x) {
    return aligned(static_cast<size_t>(x.shape.count()) * sizeof(float));
  };
  size_t total = 0;
  for (int i = 0; i < call.n_in; ++i)
    if (call.in[i].dtype == DType::bfloat16) total += bytes_of(call.in[i]);
  const bool narrows = call.out.dtype == DType::bfloat16;
  if (narrows) total += bytes_of(call.out);
  char* room = static_cast<char*>(ctx->operands(ctx->owner, total));
  if (!room)
    return ctx->error->set(Status::out_of_memory, "%s: no memory for %zu bytes of float32 copies",
                           name_of(call.op), total);
  TensorView in[kMaxOperands];
  for (int i = 0; i < call.n_in; ++i) {
    in[i] = call.in[i];
    if (in[i].dtype != DType::bfloat16) continue;
    widen(table, *ctx->threads, call.in[i], reinterpret_cast<float*>(room));
    in[i].dtype = DType::float32;
    in[i].data = room;
    contiguous_strides(in[i].shape, in[i].strides);
    room += bytes_of(in[i]);
  }
  OpCall wide = call;
  wide.in = in;
  if (narrows) {
    wide.out.dtype = wide.attrs.dtype = DType::float32;
    wide.out.data = room;
  }
  TG_TRY(float32_op(kernels, ctx, wide));
  ctx->trace.dtype = name_of(DType::bfloat16);
  if (!narrows) return Status::ok;
  float* result = reinterpret_cast<float*>(room);
  const int64_t count = call.out.shape.count();
  if (call.op == op_uniform || call.op == op_randint) {
    const float top = random::largest_bfloat16_below(call.attrs.p[0], call.attrs.p[1]);
    for (int64_t i = 0; i < count; ++i) result[i] = result[i] < top ? result[i] : top;
  }
  narrow(table, *ctx->threads, result, count, call.out.data);
  return Status::ok;
}

}  // namespace tg::cpu
