// The schema: every op of tapegrad, one line each, and the only place that knows them all. Pure
// data; includes nothing. A reader defines the macros it wants and includes this file; the others
// vanish.
//
// From a line come the opcode, the kernels of every instruction set, what the tape keeps, the
// TypeScript function and method with their types, the derivative for gradients of gradients, the
// row in docs/ops.md, and the test and bench cases.
//
// clang-format off
//   types   FLOAT   float32, float64, and bfloat16 by way of float32; integer inputs are cast to float32 first, as PyTorch does
//           NUMBER  these and int32
//   keeps   what the backward rule reads: inputs X, Y, the result (Y of a unary, Z of a binary op)
//   rules   x, y inputs (y is the RESULT in a unary rule), z the result of a binary op, g the
//           incoming gradient, p0 p1 the attributes. Operators + - * / and comparisons,
//           select(c, a, b) and the names of other ops. The same text is compiled for C++ and
//           replayed by the tape.
//   attrs   "name:kind=default …"; kinds: number, positive (> 0), flag, axis (one), axes (null, one
//           or many), shape, pairs ([before, after] per axis), pair (one or two integers ≥ 0),
//           dtype. No default: required.
// clang-format on

#ifndef TG_UNARY
#define TG_UNARY(name, types, keeps, forward, dx, attrs, doc)
#endif
#ifndef TG_BINARY
#define TG_BINARY(name, types, keeps, forward, dx, dy, attrs, doc)
#endif
#ifndef TG_LOSS  // a binary op of (prediction, target), offered under losses with a reduction
#define TG_LOSS(name, keeps, forward, dx, dy, attrs, doc) \
  TG_BINARY(name, FLOAT, keeps, forward, dx, dy, attrs, doc)
#endif
#ifndef TG_COMPARE  // two numbers to bool; no gradient
#define TG_COMPARE(name, forward, doc)
#endif
#ifndef TG_REDUCE  // over axes; types as above; result: SAME dtype or INDEX (int32)
#define TG_REDUCE(name, types, result, attrs, doc)
#endif
#ifndef TG_OP  // everything with a shape rule of its own, named inputs ("a b", or "xs…" for a list)
#define TG_OP(name, inputs, attrs, doc)
#endif
#ifndef TG_INTERNAL  // as TG_OP; serves the tape and has no public function
#define TG_INTERNAL(name, inputs, attrs, doc) TG_OP(name, inputs, attrs, doc)
#endif

// clang-format off
TG_UNARY(neg, NUMBER, NONE, -x, -g, "", "-x.")
TG_UNARY(abs, NUMBER, X, abs(x), g * sign(x), "", "|x|; the subgradient at 0 is 0.")
TG_UNARY(sign, NUMBER, NONE, sign(x), 0, "", "-1, 0 or 1; NaN stays NaN. Gradient 0.")
TG_UNARY(square, NUMBER, X, x * x, 2 * x * g, "", "x².")
TG_UNARY(exp, FLOAT, Y, exp(x), g * y, "", "eˣ.")
TG_UNARY(expm1, FLOAT, Y, expm1(x), g * (y + 1), "", "eˣ - 1, exact for small x.")
TG_UNARY(log, FLOAT, X, log(x), g / x, "", "Natural logarithm.")
TG_UNARY(log1p, FLOAT, X, log1p(x), g / (1 + x), "", "log(1 + x), exact for small x.")
TG_UNARY(sqrt, FLOAT, Y, sqrt(x), g / (2 * y), "", "Square root.")
TG_UNARY(rsqrt, FLOAT, Y, rsqrt(x), -0.5 * g * y * y * y, "", "1 / √x.")
TG_UNARY(reciprocal, FLOAT, Y, 1 / x, -(g * y * y), "", "1 / x.")
TG_UNARY(sin, FLOAT, X, sin(x), g * cos(x), "", "Sine of x in radians.")
TG_UNARY(cos, FLOAT, X, cos(x), -(g * sin(x)), "", "Cosine of x in radians.")
TG_UNARY(tanh, FLOAT, Y, tanh(x), g * (1 - y * y), "", "Hyperbolic tangent.")
TG_UNARY(sigmoid, FLOAT, Y, sigmoid(x), g * y * (1 - y), "", "1 / (1 + e⁻ˣ).")
TG_UNARY(erf, FLOAT, X, erf(x), g * 1.1283791670955126 * exp(-(x * x)), "", "Error function.")
TG_UNARY(relu, NUMBER, Y, select(x < 0, 0, x), select(y <= 0, 0, g), "", "max(x, 0); NaN passes. The subgradient at 0 is 0.")
TG_UNARY(leakyRelu, FLOAT, X, select(x > 0, x, p0 * x), select(x > 0, g, p0 * g), "negativeSlope:number=0.01", "x where x > 0, else negativeSlope · x.")
TG_UNARY(elu, FLOAT, XY, select(x > 0, x, p0 * expm1(x)), select(x > 0, g, g * (y + p0)), "alpha:number=1", "x where x > 0, else alpha · (eˣ - 1). Clevert et al. 2016.")
TG_UNARY(softplus, FLOAT, X, softplus(x), g * sigmoid(x), "", "log(1 + eˣ), without overflow.")
TG_UNARY(softsign, FLOAT, X, x / (1 + abs(x)), g / square(1 + abs(x)), "", "x / (1 + |x|).")
TG_UNARY(silu, FLOAT, X, x * sigmoid(x), g * sigmoid(x) * (1 + x * (1 - sigmoid(x))), "", "x · sigmoid(x), also called swish.")
TG_UNARY(geluErf, FLOAT, X, 0.5 * x * (1 + erf(0.7071067811865476 * x)), g * (0.5 * (1 + erf(0.7071067811865476 * x)) + 0.3989422804014327 * x * exp(-0.5 * x * x)), "", "x · Φ(x) with the exact normal distribution. Hendrycks & Gimpel 2016.")
TG_UNARY(geluTanh, FLOAT, X, 0.5 * x * (1 + tanh(x * (0.7978845608028654 + 0.035677408136300125 * x * x))), g * (0.5 * (1 + tanh(x * (0.7978845608028654 + 0.035677408136300125 * x * x))) + 0.5 * x * (1 - square(tanh(x * (0.7978845608028654 + 0.035677408136300125 * x * x)))) * (0.7978845608028654 + 0.10703222440890037 * x * x)), "", "The tanh approximation of GELU.")
TG_UNARY(clamp, FLOAT, X, minimum(maximum(x, p0), p1), select(x < p0, 0, select(x > p1, 0, g)), "min:number=-Infinity max:number=Infinity", "x limited to [min, max]; NaN passes.")

TG_BINARY(add, NUMBER, NONE, x + y, g, g, "", "x + y.")
TG_BINARY(sub, NUMBER, NONE, x - y, g, -g, "", "x - y.")
TG_BINARY(mul, NUMBER, XY, x * y, g * y, g * x, "", "x · y, element by element.")
TG_BINARY(div, FLOAT, XY, x / y, g / y, -(g / y) * (x / y), "", "x / y.")
TG_BINARY(maximum, NUMBER, XY, maximum(x, y), select(x > y, g, select(x < y, 0, 0.5 * g)), select(y > x, g, select(y < x, 0, 0.5 * g)), "", "The larger of two, NaN if either is. Ties share the gradient.")
TG_BINARY(minimum, NUMBER, XY, minimum(x, y), select(x < y, g, select(x > y, 0, 0.5 * g)), select(y < x, g, select(y > x, 0, 0.5 * g)), "", "The smaller of two, NaN if either is. Ties share the gradient.")
TG_BINARY(pow, FLOAT, XYZ, pow(x, y), select(y == 0, 0, g * y * pow(x, y - 1)), select(x == 0, 0, g * z * log(x)), "", "xʸ.")

TG_LOSS(squaredError, XY, 0.5 * (x - y) * (x - y), g * (x - y), g * (y - x), "", "½(f - y)².")
TG_LOSS(meanSquaredError, XY, (x - y) * (x - y), 2 * g * (x - y), 2 * g * (y - x), "", "(f - y)².")
TG_LOSS(binaryCrossEntropyWithLogits, XY, softplus(-abs(x)) + select(x > 0, x * (1 - y), -(x * y)), g * (sigmoid(x) - y), -(g * x), "", "-y log σ(f) - (1 - y) log(1 - σ(f)) from logits f, without overflow; y in [0, 1].")
TG_LOSS(binaryCrossEntropy, XY, (y - 1) * select(log1p(-x) < -100, -100, log1p(-x)) - y * select(log(x) < -100, -100, log(x)), g * (x - y) / select(x * (1 - x) < 1e-12, 1e-12, x * (1 - x)), g * (select(log1p(-x) < -100, -100, log1p(-x)) - select(log(x) < -100, -100, log(x))), "", "-y log f - (1 - y) log(1 - f) from probabilities f; logarithms end at -100, as in PyTorch.")
TG_LOSS(klDivergence, XY, select(y == 0, 0, y * (log(y) - x)), -(g * y), g * (log(y) + 1 - x), "", "y (log y - f): the Kullback-Leibler divergence from log-probabilities f; 0 where y is 0.")
TG_LOSS(absoluteError, XY, abs(x - y), g * sign(x - y), g * sign(y - x), "", "|f - y|; the subgradient at 0 is 0.")
TG_LOSS(huber, XY, select(abs(x - y) > p0, p0 * (abs(x - y) - 0.5 * p0), 0.5 * (x - y) * (x - y)), g * select(x - y > p0, p0, select(x - y < -p0, -p0, x - y)), g * select(y - x > p0, p0, select(y - x < -p0, -p0, y - x)), "delta:positive=1", "½(f - y)² where |f - y| ≤ delta, else delta (|f - y| - ½ delta). Huber 1964.")
TG_LOSS(hinge, XY, select(x * y >= 1, 0, 1 - x * y), select(x * y >= 1, 0, -(g * y)), select(x * y >= 1, 0, -(g * x)), "", "max(0, 1 - y f) for labels y = ±1; the subgradient where y f = 1 is 0. Any other y is taken as it is.")
TG_LOSS(logistic, XY, (1 + 0.4426950408889634 * p0) * softplus(-(x * y)), -(g * y) * (1 + 0.4426950408889634 * p0) * sigmoid(-(x * y)), -(g * x) * (1 + 0.4426950408889634 * p0) * sigmoid(-(x * y)), "base2:flag=false", "log(1 + e^(-y f)) without overflow, for labels y = ±1; with base2 the logarithm to base 2, which is 1 at f = 0.")
TG_LOSS(exponential, XYZ, exp(-(x * y)), -(g * y * z), -(g * x * z), "", "e^(-y f) for labels y = ±1. Freund & Schapire 1997.")
TG_LOSS(sigmoidLoss, XYZ, sigmoid(-(x * y)), -(g * y * z * (1 - z)), -(g * x * z * (1 - z)), "", "1 / (1 + e^(y f)) for labels y = ±1: bounded and not convex.")
TG_LOSS(modifiedHuber, XY, select(x * y >= 1, 0, select(x * y > -p0, (1 - x * y) * (1 - x * y), 1 - p0 - (2 + 2 * p0) * (x * y))), g * y * select(x * y >= 1, 0, select(x * y > -p0, 2 * (x * y) - 2, -2 - 2 * p0)), g * x * select(x * y >= 1, 0, select(x * y > -p0, 2 * (x * y) - 2, -2 - 2 * p0)), "scikitLearn:flag=false", "0 where y f ≥ 1, (1 - y f)² down to 0, then 1 - 2 y f; for labels y = ±1. With scikitLearn the square goes down to -1 and -4 y f follows (Zhang 2004).")
TG_LOSS(pairwiseHinge, XY, select(x - y >= p0, 0, p0 - (x - y)), select(x - y >= p0, 0, -g), select(x - y >= p0, 0, g), "margin:number=1", "max(0, margin - (f - y)) where f is the score that should be better than y by margin. Herbrich et al. 2000.")

TG_COMPARE(equal, x == y, "x = y; NaN equals nothing.")
TG_COMPARE(notEqual, x != y, "x ≠ y.")
TG_COMPARE(less, x < y, "x < y.")
TG_COMPARE(lessEqual, x <= y, "x ≤ y.")
TG_COMPARE(greater, x > y, "x > y.")
TG_COMPARE(greaterEqual, x >= y, "x ≥ y.")

TG_REDUCE(sum, NUMBER, SAME, "axis:axes=null keepDims:flag=false", "Sum over axes; null reduces all.")
TG_REDUCE(mean, FLOAT, SAME, "axis:axes=null keepDims:flag=false", "Mean over axes.")
TG_REDUCE(max, NUMBER, SAME, "axis:axes=null keepDims:flag=false", "Maximum over axes; NaN if any is. Ties share the gradient.")
TG_REDUCE(min, NUMBER, SAME, "axis:axes=null keepDims:flag=false", "Minimum over axes; NaN if any is. Ties share the gradient.")
TG_REDUCE(logSumExp, FLOAT, SAME, "axis:axes=null keepDims:flag=false", "log Σ eˣ over axes, without overflow.")
TG_REDUCE(variance, FLOAT, SAME, "axis:axes=null correction:number=1 keepDims:flag=false", "Σ(x - mean)² / (n - correction) over axes.")
TG_REDUCE(argmax, NUMBER, INDEX, "axis:axes=null keepDims:flag=false", "Index of the first maximum along one axis (null: in the flattened tensor); NaN counts as largest.")
TG_REDUCE(argmin, NUMBER, INDEX, "axis:axes=null keepDims:flag=false", "Index of the first minimum along one axis (null: in the flattened tensor); NaN counts as smallest.")

TG_OP(softmax, "x", "axis:axis=-1", "eˣ / Σ eˣ along an axis.")
TG_OP(logSoftmax, "x", "axis:axis=-1", "x - log Σ eˣ along an axis.")
TG_OP(matmul, "a b", "", "Matrix product of the last two axes; the others broadcast; vectors as in NumPy.")
TG_OP(linear, "x weight bias", "", "x · weightᵀ + bias with x [..., in], weight [out, in], bias [out].")
TG_OP(where, "condition x y", "", "x where condition is true (non-zero), else y; the three broadcast.")
TG_OP(reshape, "x", "shape:shape", "The same elements in another shape; one size may be -1.")
TG_OP(permute, "x", "axes:axes", "Axes reordered; no copy.")
TG_OP(broadcastTo, "x", "shape:shape", "Repeated along new axes and axes of size 1; no copy.")
TG_OP(slice, "x", "axis:axis start:number end:number=Infinity step:number=1", "Elements start … end - 1 along an axis; negatives count from the end, and what lies beyond an end means that end; no copy.")
TG_OP(concat, "xs…", "axis:axis=0", "Joined along an existing axis.")
TG_OP(indexSelect, "x index", "axis:axis=0", "The slices of x that the 1-d int32 index names, along an axis.")
TG_OP(pad, "x", "padding:pairs value:number=0", "Surrounded by value: [before, after] for each axis.")
TG_OP(cast, "x", "dtype:dtype", "The same numbers in another dtype; to int32 rounds toward zero, NaN becomes 0.")
TG_OP(clone, "x", "", "A contiguous copy.")

TG_OP(conv2d, "x weight bias", "stride:pair=1 padding:pair=0 dilation:pair=1 groups:number=1", "Cross-correlation of x [n, channels, h, w] with weight [out, channels / groups, kh, kw], plus bias [out]; zeros are padded.")
TG_OP(maxPool2d, "x", "kernelSize:pair stride:pair=null padding:pair=0", "Maxima over windows of x [n, channels, h, w], NaN if any is; stride null is kernelSize. The gradient goes to the first maximum.")
TG_OP(avgPool2d, "x", "kernelSize:pair stride:pair=null padding:pair=0", "Means over windows of x [n, channels, h, w]; stride null is kernelSize; padded zeros count.")
TG_OP(layerNorm, "x weight bias", "eps:number=1e-5", "(x - mean) / √(variance + eps) · weight + bias over the last axes, those of weight. Ba, Kiros & Hinton 2016.")

TG_INTERNAL(convolve2d, "x weight", "stride:pair=1 padding:pair=0 dilation:pair=1 groups:number=1", "conv2d without a bias.")
TG_INTERNAL(conv2dInput, "g weight", "stride:pair=1 padding:pair=0 dilation:pair=1 groups:number=1 height:number width:number", "The adjoint of convolve2d in x, whose size is height · width.")
TG_INTERNAL(conv2dWeight, "x g", "stride:pair=1 padding:pair=0 dilation:pair=1 groups:number=1 height:number width:number", "The adjoint of convolve2d in weight, whose kernels are height · width.")
TG_INTERNAL(maxPool2dBackward, "g x", "kernelSize:pair stride:pair=null padding:pair=0", "g added where x has the first maximum of each window.")
TG_INTERNAL(maxPool2dSelect, "y x", "kernelSize:pair stride:pair=null padding:pair=0", "y where x has the first maximum of each window: the adjoint of maxPool2dBackward in g.")
TG_INTERNAL(avgPool2dBackward, "g", "kernelSize:pair stride:pair=null padding:pair=0 height:number width:number", "The adjoint of avgPool2d.")
TG_INTERNAL(layerNormBackward, "g x weight", "eps:number", "The gradient of layerNorm by x.")
TG_INTERNAL(layerNormSums, "g x", "dims:number eps:number", "[2, elements of the last dims axes]: Σ g and Σ g x̂ over the other axes, x̂ being x normalised.")
TG_INTERNAL(channelMoments, "x", "", "[2, channels]: mean and variance (÷ n) of x [n, channels, …] per channel.")
TG_INTERNAL(channelNorm, "x weight bias moments", "eps:number training:flag", "Batch normalisation of x [n, channels, …] by the given moments; training: they are those of x.")
TG_INTERNAL(channelNormSums, "g x moments", "eps:number", "[2, channels]: Σ g and Σ g x̂ per channel.")
TG_INTERNAL(channelNormBackward, "g x weight moments sums", "eps:number", "The gradient of channelNorm by x where the moments are those of x.")
TG_INTERNAL(drop, "x", "p:number seed:number stream:number", "x / (1 - p), or 0 with probability p, by Philox4x32-10 keyed by (seed, stream).")

TG_INTERNAL(softmaxBackward, "g y", "axis:axis", "y (g - Σ g y).")
TG_INTERNAL(logSoftmaxBackward, "g y", "axis:axis", "g - eʸ Σ g.")
TG_INTERNAL(crossEntropy, "logits target", "", "Per row of [n, classes]: log Σ eˣ - x[target], or Σ t (log Σ eˣ - x) for a float target [n, classes].")
TG_INTERNAL(crossEntropyBackward, "g logits target", "", "g (softmax(logits) Σ t - t).")
TG_INTERNAL(sumTo, "x", "shape:shape", "Summed over the axes along which shape was broadcast: the adjoint of broadcastTo.")
TG_INTERNAL(indexAdd, "g index", "axis:axis size:number", "Zeros of the given size along axis, with the slices of g added at index: the adjoint of indexSelect.")
TG_INTERNAL(full, "", "shape:shape dtype:dtype value:number", "A constant.")
TG_INTERNAL(arange, "", "count:number dtype:dtype start:number step:number", "start + i · step.")
TG_INTERNAL(eye, "", "rows:number columns:number dtype:dtype", "Ones on the diagonal.")
TG_INTERNAL(uniform, "", "shape:shape dtype:dtype low:number high:number seed:number stream:number", "Uniform in [low, high) from Philox4x32-10 keyed by (seed, stream), counter = element.")
TG_INTERNAL(normal, "", "shape:shape dtype:dtype mean:number deviation:number seed:number stream:number", "Normal, by Box–Muller, keyed as uniform.")
TG_INTERNAL(randint, "", "shape:shape dtype:dtype low:number high:number seed:number stream:number", "Integers in [low, high), keyed as uniform.")
// clang-format on

#undef TG_UNARY
#undef TG_BINARY
#undef TG_LOSS
#undef TG_COMPARE
#undef TG_REDUCE
#undef TG_OP
#undef TG_INTERNAL
