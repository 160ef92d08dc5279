// Attributes and the call that every backend executes.
#pragma once

#include "opcode.h"
#include "shape.h"

// For functions that kernels of other devices call, too.
#if defined(__CUDACC__)
#define TG_DEVICE_TOO __host__ __device__
#else
#define TG_DEVICE_TOO
#endif

namespace tg {

// The name of an op as users know it; for a fused backward kernel the forward op's with "
// (backward)".
const char* name_of(Op op);

// A tensor as a kernel sees it. Strides count elements; the memory belongs to the caller.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::float32;
  Shape shape;
  int64_t strides[kMaxDims] = {};

  bool contiguous() const;
  // Whether the elements fill a block without gaps or overlaps, in any axis order. If so, `order`
  // lists the axes from the outermost in memory to the innermost.
  bool dense(int* order) const;
  // Whether corresponding elements of two tensors of one shape lie at the same offsets.
  bool same_layout(const TensorView& other) const;
  TensorView permuted(const int* order) const;
  // As a shape to which it broadcasts sees it: stride 0 where it repeats.
  TensorView broadcast_to(const Shape& wanted) const;
  size_t bytes() const { return static_cast<size_t>(shape.count()) * size_of(dtype); }
};

// Attributes after validation: which fields an op reads is said by its line in the schema.
struct Attrs {
  double p[4] =
      {};        // numbers of elementwise ops (p0, p1); value, low, high; correction; start, step
  int axis = 0;  // normalised: 0 … ndim-1
  uint32_t axes = 0;  // bit set of reduced axes
  bool keep_dims = false;
  int order[kMaxDims] = {};  // permute
  Shape shape;               // reshape, broadcastTo, sumTo, creation
  int64_t pads[2 * kMaxDims] = {};
  int64_t start = 0, end = 0, step = 1;
  DType dtype = DType::float32;
  uint64_t seed = 0, stream = 0;
  // Windows of convolutions and pooling, rows before columns; `size`: the adjoint's h and w.
  struct Window {
    int64_t kernel[2], stride[2], padding[2], dilation[2] = {1, 1}, size[2], groups = 1;
  } window = {};
};

// One op on concrete memory. `out` is contiguous, was allocated by the caller and aliases no input.
struct OpCall {
  Op op;
  const TensorView* in;
  int n_in;
  TensorView out;
  Attrs attrs;
  uint32_t numbers = 0;  // bit i: in[i] is one number in the host's memory, wherever the op runs
};

// The axes that a reduction takes away, as a bit set: those of its attribute, or for sumTo those
// that broadcasting added or stretched.
uint32_t reduced_axes(const OpCall& call);

}  // namespace tg
