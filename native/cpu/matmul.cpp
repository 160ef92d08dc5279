#include "matmul.h"

#include "bfloat16.h"
#include "copy.h"
#include "gemm_bf16.h"

namespace tg::cpu {

namespace {

// One operand as a stack of matrices [batch…, rows, columns].
struct Matrices {
  Shape batch;
  int64_t batch_strides[kMaxDims] = {};
  int64_t rows, columns, row_stride, column_stride;
};

// A vector is one row on the left and one column on the right, as in NumPy.
Matrices matrices(const TensorView& x, bool left) {
  Matrices m;
  const int n = x.shape.ndim;
  for (int i = 0; i < n - 2; ++i) {
    m.batch_strides[i] = x.strides[i];
    m.batch.push(x.shape[i]);
  }
  if (n == 1) {
    m.rows = left ? 1 : x.shape[0];
    m.columns = left ? x.shape[0] : 1;
    m.row_stride = left ? 0 : x.strides[0];
    m.column_stride = left ? x.strides[0] : 0;
  } else {
    m.rows = x.shape[n - 2];
    m.columns = x.shape[n - 1];
    m.row_stride = x.strides[n - 2];
    m.column_stride = x.strides[n - 1];
  }
  return m;
}

// The weight [out, in] of linear as the right operand.
Matrices transposed(const Matrices& x) {
  Matrices t = x;
  t.rows = x.columns;
  t.row_stride = x.column_stride;
  t.columns = x.rows;
  t.column_stride = x.row_stride;
  return t;
}

// Leading axes that continue the row axis in memory become rows: [b, m, k] x [k, n] is one product.
bool fold_batch(Matrices* a) {
  int64_t step = a->row_stride * a->rows;
  int64_t rows = a->rows;
  if (a->rows == 1 && a->batch.ndim > 0) {  // a single row has no stride of its own
    a->row_stride = step = a->batch_strides[a->batch.ndim - 1];
  }
  for (int i = a->batch.ndim; i-- > 0;) {
    if (a->batch[i] != 1 && a->batch_strides[i] != step) return false;
    step *= a->batch[i];
    rows *= a->batch[i];
  }
  a->rows = rows;
  a->batch.ndim = 0;
  return true;
}

// Element offsets of every matrix of the result's batch in an operand that may broadcast.
void offsets(const Matrices& x, const Shape& batch, int64_t* out) {
  const int lead = batch.ndim - x.batch.ndim;
  const int64_t count = batch.count();
  int64_t index[kMaxDims] = {};
  for (int64_t i = 0; i < count; ++i) {
    int64_t at = 0;
    for (int d = lead; d < batch.ndim; ++d)
      if (x.batch[d - lead] != 1) at += index[d] * x.batch_strides[d - lead];
    out[i] = at;
    for (int d = batch.ndim; d-- > 0;) {
      if (++index[d] < batch[d]) break;
      index[d] = 0;
    }
  }
}

Status short_of_memory(ExecContext* ctx, const OpCall& call, size_t bytes) {
  return ctx->error->set(Status::out_of_memory, "%s: no memory for %zu bytes of scratch",
                         name_of(call.op), bytes);
}

template <class T>
Status run(const GemmTable& table, ExecContext* ctx, const OpCall& call, Matrices a,
           const Matrices& b, const TensorView* bias, const GemmFinish<T>& finish) {
  Shape batch;
  if (b.batch.ndim == 0 && a.batch.ndim > 0) {
    Matrices folded = a;
    if (fold_batch(&folded)) a = folded;
  }
  broadcast(a.batch, b.batch, &batch);
  GemmArgs<T> args;
  args.m = a.rows;
  args.n = b.columns;
  args.k = a.columns;
  args.a = static_cast<const T*>(call.in[0].data);
  args.a_row = a.row_stride;
  args.a_col = a.column_stride;
  args.b = static_cast<const T*>(call.in[1].data);
  args.b_row = b.row_stride;
  args.b_col = b.column_stride;
  args.c = static_cast<T*>(call.out.data);
  args.c_row = b.columns;
  args.finish = finish;
  const int64_t count = batch.count();
  if (count == 0) return Status::ok;

  if (bias) args.epilogue.bias = static_cast<const T*>(bias->data);  // what is packed depends on it
  const size_t packed = gemm_scratch_bytes(table, args, ctx->threads->size(), count);
  const size_t listed = batch.ndim ? static_cast<size_t>(count) * 3 * sizeof(int64_t) : 0;
  const size_t aligned = (packed + 63) / 64 * 64;
  // The epilogue reads the bias in order; a strided one is short, and gathered first.
  const bool gather_bias = bias && !bias->contiguous();
  const size_t gathered = gather_bias ? static_cast<size_t>(args.n) * sizeof(T) : 0;
  const size_t total = aligned + listed + gathered;
  char* scratch = nullptr;
  if (total) {
    scratch = static_cast<char*>(ctx->scratch(ctx->owner, total));
    if (!scratch) return short_of_memory(ctx, call, total);
  }
  if (gather_bias) gather(*bias, 0, args.n, scratch + aligned + listed);
  if (gather_bias)
    args.epilogue.bias =
        static_cast<const T*>(static_cast<const void*>(scratch + aligned + listed));
  if (!listed) {
    ctx->trace.variant = "gemm";
    gemm(table, args, scratch, *ctx->threads);
    return Status::ok;
  }
  ctx->trace.variant = "batched gemm";
  int64_t* at = reinterpret_cast<int64_t*>(scratch + aligned);
  offsets(a, batch, at);
  offsets(b, batch, at + count);
  for (int64_t i = 0; i < count; ++i) at[2 * count + i] = i * args.m * args.n;
  gemm_batched(table, args, {count, at, at + count, at + 2 * count}, scratch, *ctx->threads);
  return Status::ok;
}

}  // namespace

Status run_product_bf16(const GemmBf16Table& table, const Bfloat16Table& bfloat16, ExecContext* ctx,
                        const OpCall& call) {
  Matrices a = matrices(call.in[0], true), b = matrices(call.in[1], false);
  if (call.op == op_linear) b = transposed(b);
  Matrices folded = a;
  if (b.batch.ndim == 0 && fold_batch(&folded)) a = folded;
  Shape batch;
  broadcast(a.batch, b.batch, &batch);
  GemmBf16Args args;
  args.m = a.rows;
  args.n = b.columns;
  args.k = a.columns;
  args.a = static_cast<const uint16_t*>(call.in[0].data);
  args.a_row = a.row_stride;
  args.a_col = a.column_stride;
  args.b = static_cast<const uint16_t*>(call.in[1].data);
  args.b_row = b.row_stride;
  args.b_col = b.column_stride;
  args.c = static_cast<uint16_t*>(call.out.data);
  args.c_row = b.columns;
  const int64_t count = batch.count();

  // Scratch: what gemm_bf16 packs, then the offsets of a batch, then the bias in float32.
  const auto whole_lines = [](size_t bytes) { return (bytes + 63) / 64 * 64; };
  const size_t packed =
      whole_lines(gemm_bf16_scratch_bytes(table, args, ctx->threads->size(), count));
  const size_t listed =
      batch.ndim ? whole_lines(static_cast<size_t>(count) * 3 * sizeof(int64_t)) : 0;
  const size_t biased = call.op == op_linear ? static_cast<size_t>(args.n) * sizeof(float) : 0;
  char* scratch = nullptr;
  if (packed + listed + biased) {
    scratch = static_cast<char*>(ctx->scratch(ctx->owner, packed + listed + biased));
    if (!scratch) return short_of_memory(ctx, call, packed + listed + biased);
  }
  if (biased) {
    float* const bias = reinterpret_cast<float*>(scratch + packed + listed);
    widen(bfloat16, *ctx->threads, call.in[2], bias);
    args.bias = bias;
  }
  GemmBatch products;
  if (listed) {
    int64_t* const at = reinterpret_cast<int64_t*>(scratch + packed);
    offsets(a, batch, at);
    offsets(b, batch, at + count);
    for (int64_t i = 0; i < count; ++i) at[2 * count + i] = i * args.m * args.n;
    products = {count, at, at + count, at + 2 * count};
  }
  ctx->trace.variant = listed ? "batched bf16 gemm" : "bf16 gemm";
  gemm_bf16(table, args, products, scratch, *ctx->threads);
  return Status::ok;
}

Status run_matmul(const GemmTable& table, ExecContext* ctx, const OpCall& call,
                  const GemmFinish<float>& f32, const GemmFinish<double>& f64) {
  const Matrices a = matrices(call.in[0], true), b = matrices(call.in[1], false);
  return call.out.dtype == DType::float32 ? run<float>(table, ctx, call, a, b, nullptr, f32)
                                          : run<double>(table, ctx, call, a, b, nullptr, f64);
}

Status run_linear(const GemmTable& table, ExecContext* ctx, const OpCall& call,
                  const GemmFinish<float>& f32, const GemmFinish<double>& f64) {
  const Matrices x = matrices(call.in[0], true), w = transposed(matrices(call.in[1], false));
  return call.out.dtype == DType::float32 ? run<float>(table, ctx, call, x, w, &call.in[2], f32)
                                          : run<double>(table, ctx, call, x, w, &call.in[2], f64);
}

}  // namespace tg::cpu
