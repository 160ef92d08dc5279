#include "infer.h"

#include "infer_rules.h"

namespace tg {

namespace {

constexpr int count_colons(const char* s) {
  int n = 0;
  for (; *s; ++s) n += *s == ':';
  return n;
}
enum { NONE = 0, X = 1, Y = 1, Z = 1, XY = 2, XYZ = 3 };  // how many tensors a rule keeps
enum { SAME = 0, INDEX = 1 };
constexpr int count_words(const char* s) {
  int n = 0;
  for (bool gap = true; *s; ++s) {
    if (gap && *s != ' ') ++n;
    gap = *s == ' ';
    if (static_cast<unsigned char>(*s) == 0xE2) return -1;  // "xs…"
  }
  return n;
}

constexpr OpInfo kInfo[kOps] = {
#define TG_UNARY(name, types, keeps, forward, dx, attrs, doc) \
  {Kind::unary, types, 1, count_colons(attrs), false, {"x"}},
#define TG_BINARY(name, types, keeps, forward, dx, dy, attrs, doc) \
  {Kind::binary, types, 2, count_colons(attrs), false, {"x", "y"}},
#define TG_LOSS(name, keeps, forward, dx, dy, attrs, doc) \
  {Kind::binary, FLOAT, 2, count_colons(attrs), false, {"prediction", "target"}},
#define TG_COMPARE(name, forward, doc) {Kind::compare, NUMBER, 2, 0, false, {"x", "y"}},
#define TG_REDUCE(name, types, result, attrs, doc) \
  {Kind::reduce, types, 1, 0, result == INDEX, {"x"}},
#define TG_OP(name, inputs, attrs, doc) {Kind::other, NUMBER, count_words(inputs), 0, false, {}},
#include "../schema/ops.h"
#define TG_UNARY(name, types, keeps, forward, dx, attrs, doc) \
  {Kind::unary_backward, FLOAT, 1 + keeps, count_colons(attrs), false, {"g", "x", "y"}},
#define TG_BINARY(name, types, keeps, forward, dx, dy, attrs, doc)                             \
  {Kind::binary_backward, FLOAT, 1 + keeps, count_colons(attrs), false, {"g", "x", "y", "z"}}, \
      {Kind::binary_backward, FLOAT, 1 + keeps, count_colons(attrs), false, {"g", "x", "y", "z"}},
#include "../schema/ops.h"
};

}  // namespace

Status Infer::elementwise(const OpInfo& info) {
  out().shape = in[0].shape;
  for (int i = 0; i < n_in; ++i) {
    if (in[i].dtype == DType::boolean || (info.types == FLOAT && !is_float(in[i].dtype)))
      return error->set(Status::type_error, "%s: %s must be %s, got %s", name(), info.names[i],
                        info.types == FLOAT ? "bfloat16, float32 or float64"
                                            : "bfloat16, float32, float64 or int32",
                        name_of(in[i].dtype));
    if (i == 0) continue;
    TG_TRY(need_same_dtype(0, i));
    const Shape before = out().shape;
    if (!broadcast(before, in[i].shape, &out().shape))
      return fail_shapes("shapes do not broadcast", before, in[i].shape);
  }
  DType dtype = in[0].dtype;
  for (int i = 1; i < n_in; ++i)
    if (in[i].dtype == DType::bfloat16) dtype = DType::bfloat16;
  out().dtype = info.kind == Kind::compare ? DType::boolean : dtype;
  for (int i = 0; i < info.numbers; ++i) TG_TRY(attrs.number("a number", &values().p[i]));
  return check_size();
}

Status Infer::reduce(const OpInfo& info) {
  const TensorView& x = in[0];
  if (x.dtype == DType::boolean || (info.types == FLOAT && !is_float(x.dtype)))
    return error->set(Status::type_error, "%s: x must be %s, got %s", name(),
                      info.types == FLOAT ? "bfloat16, float32 or float64"
                                          : "bfloat16, float32, float64 or int32",
                      name_of(x.dtype));
  TG_TRY(attrs.axes("axis", x.shape.ndim, &values().axes));
  if (op == op_variance) TG_TRY(attrs.number("correction", &values().p[0]));
  TG_TRY(attrs.flag("keepDims", &values().keep_dims));
  const uint32_t all = (1u << x.shape.ndim) - 1;
  if (info.index && values().axes != all &&
      (values().axes == 0 || (values().axes & (values().axes - 1))))
    return error->set(Status::range_error,
                      "%s: axis must be one axis, or null for the flattened tensor", name());
  int64_t reduced = 1;
  for (int i = 0; i < x.shape.ndim; ++i) {
    if (values().axes >> i & 1) {
      reduced *= x.shape[i];
      if (values().keep_dims) out().shape.push(1);
    } else {
      out().shape.push(x.shape[i]);
    }
  }
  const bool needs_one = info.index || op == op_max || op == op_min;
  if (needs_one && reduced == 0 && out().shape.count() != 0) {
    char s[kShapeText];
    return error->set(Status::range_error, "%s: nothing to choose from: x has shape %s", name(),
                      print(x.shape, s));
  }
  out().dtype = info.index ? DType::int32 : x.dtype;
  return Status::ok;
}

Status Infer::where() {
  TG_TRY(need_dtype(0, "condition", DType::boolean));
  if (in[1].dtype == DType::boolean)
    return error->set(Status::type_error, "%s: x must be a number, got bool", name());
  TG_TRY(need_same_dtype(1, 2));
  Shape joint;
  if (!broadcast(in[1].shape, in[2].shape, &joint))
    return fail_shapes("x and y do not broadcast", in[1].shape, in[2].shape);
  if (!broadcast(in[0].shape, joint, &out().shape))
    return fail_shapes("condition does not broadcast", in[0].shape, joint);
  out().dtype = in[2].dtype == DType::bfloat16 ? in[2].dtype : in[1].dtype;
  return check_size();
}

Status Infer::create() {
  Attrs& a = values();
  int64_t seed, stream;
  switch (op) {
    case op_arange: {
      int64_t count;
      TG_TRY(attrs.integer("count", 0, kMaxElements, &count));
      TG_TRY(attrs.dtype("dtype", &a.dtype));
      TG_TRY(attrs.number("start", &a.p[0]));
      TG_TRY(attrs.number("step", &a.p[1]));
      a.shape.push(count);
      break;
    }
    case op_eye: {
      int64_t rows, columns;
      TG_TRY(attrs.integer("rows", 0, kMaxElements, &rows));
      TG_TRY(attrs.integer("columns", 0, kMaxElements, &columns));
      TG_TRY(attrs.dtype("dtype", &a.dtype));
      a.shape.push(rows);
      a.shape.push(columns);
      break;
    }
    default:  // full, and the random ones
      TG_TRY(attrs.shape("shape", false, &a.shape));
      TG_TRY(attrs.dtype("dtype", &a.dtype));
      TG_TRY(attrs.number("value", &a.p[0]));
      if (op == op_full) break;
      TG_TRY(attrs.number("value", &a.p[1]));
      TG_TRY(attrs.integer("seed", 0, int64_t{1} << 53, &seed));
      TG_TRY(attrs.integer("stream", 0, int64_t{1} << 53, &stream));
      a.seed = static_cast<uint64_t>(seed);
      a.stream = static_cast<uint64_t>(stream);
      if (op != op_randint && !is_float(a.dtype))
        return error->set(Status::type_error,
                          "%s: dtype must be bfloat16, float32 or float64, got %s", name(),
                          name_of(a.dtype));
  }
  out().dtype = a.dtype;
  out().shape = a.shape;
  return check_size();
}

Status Infer::structured() {
  switch (op) {
    case op_softmax:
    case op_logSoftmax:
      return softmax(false);
    case op_softmaxBackward:
    case op_logSoftmaxBackward:
      return softmax(true);
    case op_matmul:
      return matmul();
    case op_linear:
      return linear();
    case op_crossEntropy:
    case op_crossEntropyBackward:
      return cross_entropy();
    case op_where:
      return where();
    case op_reshape:
      return reshape();
    case op_permute:
      return permute();
    case op_broadcastTo:
      return broadcast_to();
    case op_slice:
      return slice();
    case op_concat:
      return concat();
    case op_indexSelect:
      return index_select();
    case op_indexAdd:
      return index_add();
    case op_pad:
      return pad();
    case op_sumTo:
      return sum_to();
    case op_cast:
      TG_TRY(attrs.dtype("dtype", &values().dtype));
      like(0);
      out().dtype = values().dtype;
      return Status::ok;
    case op_clone:
      like(0);
      return Status::ok;
    case op_conv2d:
    case op_convolve2d:
    case op_conv2dInput:
    case op_conv2dWeight:
      return convolution();
    case op_maxPool2d:
    case op_avgPool2d:
    case op_maxPool2dBackward:
    case op_maxPool2dSelect:
    case op_avgPool2dBackward:
      return pool();
    case op_layerNorm:
    case op_layerNormBackward:
    case op_layerNormSums:
      return layer_norm();
    case op_channelMoments:
    case op_channelNorm:
    case op_channelNormSums:
    case op_channelNormBackward:
      return channel_norm();
    case op_drop:
      return drop();
    default:
      return create();
  }
}

Status infer(Op op, const TensorView* in, int n_in, const double* numbers, int n_numbers,
             Error* error, Inference* result) {
  if (op >= kOps)
    return error->set(Status::type_error, "there is no op with code %d", static_cast<int>(op));
  const OpInfo& info = kInfo[op];
  if (info.inputs >= 0 && n_in != info.inputs)
    return error->set(Status::type_error, "%s: takes %d tensor%s, got %d", name_of(op), info.inputs,
                      info.inputs == 1 ? "" : "s", n_in);
  *result = Inference{};
  result->call.op = op;
  result->call.in = in;
  result->call.n_in = n_in;
  Infer rule{op,
             in,
             n_in,
             AttrReader(op, numbers, n_numbers, error),
             error,
             result,
             info.kind != Kind::reduce && (info.kind != Kind::other || op == op_where)};
  const Status status = info.kind == Kind::reduce  ? rule.reduce(info)
                        : info.kind == Kind::other ? rule.structured()
                                                   : rule.elementwise(info);
  TG_TRY(status);
  if (!result->is_view) contiguous_strides(result->call.out.shape, result->call.out.strides);
  return Status::ok;
}

}  // namespace tg
