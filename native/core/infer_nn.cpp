// Shape inference of convolutions, pooling, normalisation and dropout.
#include "infer_rules.h"

namespace tg {

namespace {

constexpr int64_t kMaxWindow = int64_t{1} << 31;  // so that kernel · dilation cannot overflow

// How often a window fits along an axis of `size` elements; 0 if it does not.
int64_t positions(int64_t size, const Attrs::Window& w, int axis) {
  const int64_t reach = w.dilation[axis] * (w.kernel[axis] - 1) + 1;
  const int64_t room = size + 2 * w.padding[axis] - reach;
  return room < 0 ? 0 : room / w.stride[axis] + 1;
}

}  // namespace

Status Infer::convolution() {
  const bool dx = op == op_conv2dInput, dw = op == op_conv2dWeight;
  const char *first = dx ? "g" : "x", *second = dw ? "g" : "weight";
  TG_TRY(need_float(0, first));
  TG_TRY(need_same_dtype(0, 1));
  TG_TRY(need_dims(0, first, 4));
  TG_TRY(need_dims(1, second, 4));
  Attrs::Window& w = values().window;
  TG_TRY(attrs.pair("stride", 1, kMaxWindow, w.stride));
  TG_TRY(attrs.pair("padding", 0, kMaxWindow, w.padding));
  TG_TRY(attrs.pair("dilation", 1, kMaxWindow, w.dilation));
  TG_TRY(attrs.integer("groups", 1, kMaxWindow, &w.groups));
  if (dx || dw) {
    TG_TRY(attrs.integer("height", 0, kMaxElements, &w.size[0]));
    TG_TRY(attrs.integer("width", 0, kMaxElements, &w.size[1]));
  }
  const Shape &a = in[0].shape, &b = in[1].shape;
  for (int i = 0; i < 2; ++i) {
    w.kernel[i] = dw ? w.size[i] : b[2 + i];
    if (w.kernel[i] < 1 || w.kernel[i] > kMaxWindow)
      return fail_shapes("the kernel must have 1 … 2^31 rows and columns", a, b);
  }
  const int64_t out_channels = dw ? b[1] : b[0];
  if (out_channels % w.groups || (!dx && a[1] % w.groups))
    return error->set(Status::range_error,
                      "%s: groups %lld must divide the channels of x and those of the result (%lld "
                      "and %lld)",
                      name(), static_cast<long long>(w.groups),
                      static_cast<long long>(dx ? b[1] * w.groups : a[1]),
                      static_cast<long long>(out_channels));
  Shape& y = out().shape;
  out().dtype = in[0].dtype;
  if (dx) {
    if (a[1] != b[0]) return fail_shapes("g [n, out, …] does not fit weight [out, …]", a, b);
    if (b[1] > kMaxElements / w.groups) return fail_shapes("too many channels", a, b);
    y.push(a[0]);
    y.push(b[1] * w.groups);
    y.push(w.size[0]);
    y.push(w.size[1]);
    TG_TRY(check_size());
  } else if (!dw && a[1] / w.groups != b[1]) {
    return fail_shapes("x [n, channels, h, w] does not fit weight [out, channels / groups, kh, kw]",
                       a, b);
  }
  for (int i = 0; i < 2; ++i) {
    const int64_t count = positions(dx ? w.size[i] : a[2 + i], w, i);
    if (count == 0) return fail_shapes("the kernel is larger than the padded input", dx ? y : a, b);
    if (dx || dw) {
      if (count != (dx ? a : b)[2 + i]) return fail_shapes("g has another size", a, b);
    } else {
      w.size[i] = count;
    }
  }
  if (dx) return Status::ok;
  if (dw) {
    if (a[0] != b[0]) return fail_shapes("x and g differ in the number of images", a, b);
    y.push(b[1]);
    y.push(a[1] / w.groups);
    y.push(w.kernel[0]);
    y.push(w.kernel[1]);
    return check_size();
  }
  if (op == op_conv2d) {
    TG_TRY(need_same_dtype(0, 2));
    TG_TRY(need_dims(2, "bias", 1));
    if (in[2].shape[0] != b[0])
      return fail_shapes("weight [out, …] does not fit bias [out]", b, in[2].shape);
  }
  y.push(a[0]);
  y.push(b[0]);
  y.push(w.size[0]);
  y.push(w.size[1]);
  return check_size();
}

Status Infer::pool() {
  const bool adjoint = op == op_avgPool2dBackward;  // which does not see x, but is told its size
  const int at = op == op_maxPool2dBackward || op == op_maxPool2dSelect ? 1 : 0;  // x
  TG_TRY(need_float(at, adjoint ? "g" : "x"));
  TG_TRY(need_dims(at, adjoint ? "g" : "x", 4));
  Attrs::Window& w = values().window;
  TG_TRY(attrs.pair("kernelSize", 1, kMaxWindow, w.kernel));
  TG_TRY(attrs.pair("stride", -1, kMaxWindow, w.stride));  // -1: as kernelSize
  TG_TRY(attrs.pair("padding", 0, kMaxWindow, w.padding));
  Shape x = in[at].shape;
  if (adjoint) {
    TG_TRY(attrs.integer("height", 0, kMaxElements, &x[2]));
    TG_TRY(attrs.integer("width", 0, kMaxElements, &x[3]));
  }
  Shape pooled = x;
  for (int i = 0; i < 2; ++i) {
    if (w.stride[i] == -1) w.stride[i] = w.kernel[i];
    if (w.stride[i] == 0)
      return error->set(Status::range_error, "%s: stride must be at least 1, got 0", name());
    // Every window must see the input.
    if (w.padding[i] > w.kernel[i] / 2)
      return error->set(Status::range_error,
                        "%s: padding must be at most half of kernelSize, got %lld and %lld", name(),
                        static_cast<long long>(w.padding[i]), static_cast<long long>(w.kernel[i]));
    pooled[2 + i] = positions(x[2 + i], w, i);
    if (pooled[2 + i] == 0 || x[2 + i] == 0) {
      char s[kShapeText];
      return error->set(Status::range_error,
                        "%s: kernelSize %lld is larger than the padded input: x has shape %s",
                        name(), static_cast<long long>(w.kernel[i]), print(x, s));
    }
  }
  out().dtype = in[at].dtype;
  out().shape = op == op_maxPool2dBackward || adjoint ? x : pooled;
  if (adjoint && in[0].shape != pooled)
    return fail_shapes("g has not the shape of the result", in[0].shape, pooled);
  if (at) {
    TG_TRY(need_same_dtype(0, 1));
    const bool backward = op == op_maxPool2dBackward;
    if (in[0].shape != (backward ? pooled : x))
      return fail_shapes(backward ? "g has not the shape of the result" : "y and x differ in shape",
                         in[0].shape, backward ? pooled : x);
  }
  return check_size();
}

Status Infer::layer_norm() {
  const int at = op == op_layerNorm ? 0 : 1;  // x
  const Shape& x = in[at].shape;
  TG_TRY(need_float(at, "x"));
  for (int i = 0; i < n_in; ++i) TG_TRY(need_same_dtype(at, i));
  if (at && in[0].shape != x) return fail_shapes("g and x differ in shape", in[0].shape, x);
  like(at);
  int64_t dims = 0;
  if (op == op_layerNormSums) {
    TG_TRY(attrs.integer("dims", 1, x.ndim, &dims));
  } else {
    const Shape& weight = in[at + 1].shape;
    dims = weight.ndim;
    bool fits = dims >= 1 && dims <= x.ndim;
    for (int i = 0; fits && i < dims; ++i)
      fits = weight[i] == x[x.ndim - static_cast<int>(dims) + i];
    if (!fits) return fail_shapes("weight has not the last axes of x", x, weight);
    if (op == op_layerNorm && in[2].shape != weight)
      return fail_shapes("weight and bias differ in shape", weight, in[2].shape);
  }
  values().axis = x.ndim - static_cast<int>(dims);  // the first that is normalised
  TG_TRY(attrs.number("eps", &values().p[0]));
  if (!(values().p[0] >= 0))
    return error->set(Status::range_error, "%s: eps must be ≥ 0, got %g", name(), values().p[0]);
  if (op == op_layerNormSums) {
    int64_t count = 1;
    for (int i = values().axis; i < x.ndim; ++i) count *= x[i];
    out().shape = Shape{};
    out().shape.push(2);
    out().shape.push(count);
  }
  return check_size();
}

Status Infer::channel_norm() {
  const bool backward = op == op_channelNormSums || op == op_channelNormBackward;
  const int at = backward ? 1 : 0;  // x
  const Shape& x = in[at].shape;
  TG_TRY(need_float(at, "x"));
  for (int i = 0; i < n_in; ++i) TG_TRY(need_same_dtype(at, i));
  if (x.ndim < 2)
    return fail_shapes("x must be [n, channels, …]", x, n_in > 1 ? in[n_in - 1].shape : x);
  if (backward && in[0].shape != x) return fail_shapes("g and x differ in shape", in[0].shape, x);
  Shape pair, one;
  pair.push(2);
  pair.push(x[1]);
  one.push(x[1]);
  const int weights = op == op_channelNorm ? 2 : op == op_channelNormBackward ? 1 : 0;
  for (int i = at + 1; i < n_in; ++i) {
    const Shape& wanted = i <= at + weights ? one : pair;
    if (in[i].shape != wanted)
      return fail_shapes("a parameter does not fit the channels of x", x, in[i].shape);
  }
  like(at);
  if (op == op_channelMoments || op == op_channelNormSums) out().shape = pair;
  if (op == op_channelMoments) {
    if (x.count() == 0 && x[1] != 0)
      return error->set(Status::range_error, "%s: there is nothing to take the mean of", name());
    return Status::ok;
  }
  TG_TRY(attrs.number("eps", &values().p[0]));
  if (!(values().p[0] >= 0))
    return error->set(Status::range_error, "%s: eps must be ≥ 0, got %g", name(), values().p[0]);
  if (op == op_channelNorm) TG_TRY(attrs.flag("training", &values().keep_dims));
  return Status::ok;
}

Status Infer::drop() {
  TG_TRY(need_float(0, "x"));
  TG_TRY(attrs.number("p", &values().p[0]));
  if (!(values().p[0] >= 0 && values().p[0] <= 1))
    return error->set(Status::range_error, "%s: p must be in 0 … 1, got %g", name(), values().p[0]);
  int64_t seed, stream;
  TG_TRY(attrs.integer("seed", 0, int64_t{1} << 53, &seed));
  TG_TRY(attrs.integer("stream", 0, int64_t{1} << 53, &stream));
  values().seed = static_cast<uint64_t>(seed);
  values().stream = static_cast<uint64_t>(stream);
  like(0);
  return Status::ok;
}

}  // namespace tg
