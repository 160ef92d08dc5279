#include "matmul.h"

#include "copy.h"
#include "gemm.h"
#include "launch.h"

namespace tg::cuda {

namespace {

struct BatchAxis {
  int64_t size, a, b, c;  // strides
};

// A product, but for its pointers: `call` without batches, and the axes of those, inner ones last.
struct Product {
  GemmCall call = {};
  BatchAxis axes[kMaxDims];
  int count = 0;
};

// A vector is one row on the left and one column on the right, as in NumPy.
void describe(const OpCall& op, Product* product) {
  const TensorView &a = op.in[0], &b = op.in[1];
  GemmCall& call = product->call;
  const int da = a.shape.ndim, db = b.shape.ndim;
  call.m = da > 1 ? a.shape[da - 2] : 1;
  call.a_row = da > 1 ? a.strides[da - 2] : 0;
  call.k = a.shape[da - 1];
  call.a_column = a.strides[da - 1];
  if (op.op == op_linear) {  // the weight is [n, k]
    call.n = b.shape[0];
    call.b_column = b.strides[0];
    call.b_row = b.strides[1];
  } else {
    call.n = db > 1 ? b.shape[db - 1] : 1;
    call.b_column = db > 1 ? b.strides[db - 1] : 0;
    call.b_row = b.strides[db > 1 ? db - 2 : 0];
  }
  call.in = a.dtype;
  call.out = op.out.dtype;
  call.c_row = call.n;

  const int batch_a = da > 2 ? da - 2 : 0, batch_b = db > 2 ? db - 2 : 0;
  product->count = batch_a > batch_b ? batch_a : batch_b;
  int64_t stride = call.m * call.n;
  for (int i = product->count; i-- > 0;) {
    const int ia = i - (product->count - batch_a), ib = i - (product->count - batch_b);
    const int64_t in_a = ia >= 0 ? a.shape[ia] : 1, in_b = ib >= 0 ? b.shape[ib] : 1;
    const int64_t size = in_a == 1 ? in_b : in_a;
    product->axes[i] = {size, in_a == 1 ? 0 : a.strides[ia], in_b == 1 ? 0 : b.strides[ib], stride};
    stride *= size;
  }
}

// Drops axes of size 1, turns inner ones along which B stays the same and A goes on by its rows
// into rows, and joins neighbours that are one axis in memory.
void fold(Product* product) {
  GemmCall& call = product->call;
  BatchAxis* const axes = product->axes;
  int kept = 0;
  for (int i = 0; i < product->count; ++i)
    if (axes[i].size != 1) axes[kept++] = axes[i];
  while (kept > 0) {
    const BatchAxis& inner = axes[kept - 1];
    if (inner.b != 0 || (call.m != 1 && inner.a != call.a_row * call.m)) break;
    if (call.m == 1) call.a_row = inner.a;
    call.m *= inner.size;
    --kept;
  }
  int joined = 0;
  for (int i = 0; i < kept; ++i) {
    BatchAxis& last = axes[joined - (joined > 0)];
    const BatchAxis& next = axes[i];
    if (joined > 0 && last.a == next.a * next.size && last.b == next.b * next.size &&
        last.c == next.c * next.size)
      last = {last.size * next.size, next.a, next.b, next.c};
    else
      axes[joined++] = next;
  }
  product->count = joined;
}

// Makes the two largest axes the call's batches; the others stay.
void take_batches(Product* product) {
  GemmCall& call = product->call;
  call.batch = 1;
  for (int round = 0; round < 2 && product->count > 0; ++round) {
    int largest = 0;
    for (int i = 1; i < product->count; ++i)
      if (product->axes[i].size >= product->axes[largest].size) largest = i;
    const BatchAxis axis = product->axes[largest];
    --product->count;
    for (int i = largest; i < product->count; ++i) product->axes[i] = product->axes[i + 1];
    if (round == 0) {
      call.batch = axis.size;
      call.a_batch = axis.a, call.b_batch = axis.b, call.c_batch = axis.c;
    } else {
      call.outer = axis.size;
      call.a_outer = axis.a, call.b_outer = axis.b, call.c_outer = axis.c;
    }
  }
}

const void* moved(const void* data, int64_t elements, DType dtype) {
  return static_cast<const char*>(data) + elements * static_cast<int64_t>(size_of(dtype));
}

// f(call) for each place along the axes that are not the call's own.
template <class F>
Status for_each_call(const Product& product, const OpCall& op, F&& f) {
  int64_t count = 1;
  for (int i = 0; i < product.count; ++i) count *= product.axes[i].size;
  for (int64_t at = 0; at < count; ++at) {
    int64_t a = 0, b = 0, c = 0, rest = at;
    for (int i = product.count; i-- > 0; rest /= product.axes[i].size) {
      const int64_t index = rest % product.axes[i].size;
      a += index * product.axes[i].a;
      b += index * product.axes[i].b;
      c += index * product.axes[i].c;
    }
    GemmCall call = product.call;
    const auto in_result = [&](const void* data) -> void* {
      return data ? const_cast<void*>(moved(data, c, call.out)) : nullptr;
    };
    call.a = moved(op.in[0].data, a, call.in);
    call.b = moved(op.in[1].data, b, call.in);
    call.c = in_result(call.c);
    call.epilogue.kept = in_result(call.epilogue.kept);
    call.epilogue.before = in_result(call.epilogue.before);
    TG_TRY(f(call));
  }
  return Status::ok;
}

constexpr size_t whole_blocks(size_t bytes) { return (bytes + 255) / 256 * 256; }

void set_end(const OpCall& op, const ProductEnd& end, GemmCall* call) {
  call->c = op.out.data;
  if (!end.stage) return;
  GemmEpilogue& epilogue = call->epilogue;
  epilogue.activated = true;
  epilogue.activation = end.stage->op;
  for (int i = 0; i < 2; ++i) epilogue.p[i] = end.stage->p[i];
  epilogue.kept = end.kept;
  if (end.stage->out == op.out.data) return;
  call->c = end.stage->out;
  epilogue.before = op.out.data;
}

}  // namespace

Status run_product(ExecContext* ctx, const OpCall& op, const ProductEnd& end, bool* summed) {
  *summed = false;
  if (op.out.shape.count() == 0) return Status::ok;
  Product product;
  describe(op, &product);
  fold(&product);
  take_batches(&product);
  product.call.tf32 = ctx->tf32 && product.call.in == DType::float32;
  set_end(op, end, &product.call);

  // The epilogue reads the bias in order; a strided one is short, and gathered first.
  const TensorView* const bias = op.op == op_linear ? &op.in[2] : nullptr;
  const bool gathers = bias && !bias->contiguous();
  const size_t gathered = gathers ? whole_blocks(bias->bytes()) : 0;
  if (bias) product.call.epilogue.bias = gathers ? nullptr : bias->data;
  const Shape& shape = op.out.shape;
  if (end.column_sums && product.count == 0 && product.call.n == shape[shape.ndim - 1]) {
    // One product, or none of gemm's; its columns are those of the result.
    TG_TRY(for_each_call(product, op, [&](const GemmCall& call) {
      *summed = gemm_sums_columns(*ctx->device, call);
      return Status::ok;
    }));
    if (*summed) product.call.epilogue.column_sums = end.column_sums;
  }
  size_t most = 0;
  TG_TRY(for_each_call(product, op, [&](const GemmCall& call) {
    const size_t bytes = gemm_scratch_bytes(*ctx->device, call);
    most = bytes > most ? bytes : most;
    return Status::ok;
  }));
  char* memory = nullptr;
  if (gathered + most > 0) {
    memory = static_cast<char*>(scratch(ctx, gathered + most));
    if (!memory) return Status::out_of_memory;
  }
  if (gathers) {
    OpCall copy = {op_clone, bias, 1, *bias, {}};
    copy.out.data = memory;
    contiguous_strides(copy.out.shape, copy.out.strides);
    TG_TRY(run_copy(ctx, copy));
    product.call.epilogue.bias = memory;
  }
  return for_each_call(product, op, [&](GemmCall call) {
    call.scratch = most > 0 ? memory + gathered : nullptr;
    return gemm(ctx, call);
  });
}

}  // namespace tg::cuda
