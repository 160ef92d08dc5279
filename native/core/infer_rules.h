// The rules of shape inference while one is in progress. For infer*.cpp only.
#pragma once

#include "attrs.h"
#include "infer.h"

namespace tg {

enum class Kind : uint8_t {
  unary,
  unary_backward,
  binary,
  binary_backward,
  compare,
  reduce,
  other
};
enum Types : uint8_t { FLOAT, NUMBER };

struct OpInfo {
  Kind kind;
  Types types;
  int inputs;   // -1: a list
  int numbers;  // attributes of an elementwise op
  bool index;   // a reduction that yields positions
  const char* names[4];
};

// One inference in progress: everything a rule needs at hand.
struct Infer {
  Op op;
  const TensorView* in;
  int n_in;
  AttrReader attrs;
  Error* error;
  Inference* result;
  bool takes_numbers;  // elementwise ops and where

  TensorView& out() { return result->call.out; }
  Attrs& values() { return result->call.attrs; }
  const char* name() const { return name_of(op); }

  Status fail_shapes(const char* what, const Shape& a, const Shape& b) {
    char s[kShapeText], t[kShapeText];
    return error->set(Status::range_error, "%s: %s: %s x %s", name(), what, print(a, s),
                      print(b, t));
  }
  Status need_float(int i, const char* argument) {
    if (is_float(in[i].dtype)) return Status::ok;
    return error->set(Status::type_error, "%s: %s must be bfloat16, float32 or float64, got %s",
                      name(), argument, name_of(in[i].dtype));
  }
  // A plain number is a float32 without dimensions beside bfloat16, so that only results are
  // rounded.
  bool is_number_beside_bfloat16(int number, int i) const {
    return in[number].dtype == DType::float32 && in[number].shape.ndim == 0 &&
           in[i].dtype == DType::bfloat16 && takes_numbers;
  }
  Status need_same_dtype(int i, int j) {
    if (in[i].dtype == in[j].dtype) return Status::ok;
    if (is_number_beside_bfloat16(i, j) || is_number_beside_bfloat16(j, i)) return Status::ok;
    return error->set(Status::type_error, "%s: dtypes differ: %s and %s", name(),
                      name_of(in[i].dtype), name_of(in[j].dtype));
  }
  Status need_dtype(int i, const char* argument, DType dtype) {
    if (in[i].dtype == dtype) return Status::ok;
    return error->set(Status::type_error, "%s: %s must be %s, got %s", name(), argument,
                      name_of(dtype), name_of(in[i].dtype));
  }
  Status need_dims(int i, const char* argument, int ndim) {
    if (in[i].shape.ndim == ndim) return Status::ok;
    char s[kShapeText];
    return error->set(Status::range_error, "%s: %s must have %d dimension%s, got shape %s", name(),
                      argument, ndim, ndim == 1 ? "" : "s", print(in[i].shape, s));
  }
  // Results are bounded before memory is asked for them.
  Status check_size() {
    int64_t n;
    if (checked_count(out().shape, &n)) return Status::ok;
    char s[kShapeText];
    return error->set(Status::range_error, "%s: the result %s would have too many elements", name(),
                      print(out().shape, s));
  }
  void like(int i) {
    out().dtype = in[i].dtype;
    out().shape = in[i].shape;
  }

  Status elementwise(const OpInfo& info);
  Status reduce(const OpInfo& info);
  Status structured();
  Status matmul();
  Status linear();
  Status cross_entropy();
  Status reshape();
  Status permute();
  Status broadcast_to();
  Status slice();
  Status concat();
  Status index_select();
  Status index_add();
  Status pad();
  Status sum_to();
  Status where();
  Status softmax(bool backward);
  Status create();
  Status convolution();
  Status pool();
  Status layer_norm();
  Status channel_norm();
  Status drop();
};

}  // namespace tg
