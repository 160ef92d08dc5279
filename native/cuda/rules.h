// The schema's elementwise ops, forward and backward, as device functions of a few elements, and
// the one switch that picks among them.
#pragma once

#include "../core/dtype.h"
#include "../core/opcode.h"
#include "functions.h"

namespace tg::cuda {

// What a backward rule receives after g, in this order.
enum Keeps { NONE = 0, X = 1, Y = 2, Z = 4, XY = X | Y, XYZ = X | Y | Z };

// The operand of a backward rule, if it receives it: in[1] is the first after g.
template <int kKeeps, int kWhich, class T, int kRow>
TG_ON_DEVICE Number<T> kept(const T (&in)[4][kRow], int i) {
  if constexpr ((kKeeps & kWhich) == 0)
    return 0;
  else
    return Number<T>::of(in[1 + (kWhich > X && (kKeeps & X)) + (kWhich > Y && (kKeeps & Y))][i]);
}

#define TG_UNARY(name, types, keeps, forward_, dx_, attrs, doc) \
  struct name##_rule {                                          \
    static constexpr int kKeeps = keeps;                        \
    template <class N>                                          \
    static TG_ON_DEVICE N forward(N x, N p0, N p1) {            \
      (void)x, (void)p0, (void)p1;                              \
      return forward_;                                          \
    }                                                           \
    template <class N>                                          \
    static TG_ON_DEVICE N dx(N g, N x, N y, N p0, N p1) {       \
      (void)g, (void)x, (void)y, (void)p0, (void)p1;            \
      return dx_;                                               \
    }                                                           \
  };
#define TG_BINARY(name, types, keeps, forward_, dx_, dy_, attrs, doc) \
  struct name##_rule {                                                \
    static constexpr int kKeeps = keeps;                              \
    template <class N>                                                \
    static TG_ON_DEVICE N forward(N x, N y, N p0, N p1) {             \
      (void)x, (void)y, (void)p0, (void)p1;                           \
      return forward_;                                                \
    }                                                                 \
    template <class N>                                                \
    static TG_ON_DEVICE N dx(N g, N x, N y, N z, N p0, N p1) {        \
      (void)g, (void)x, (void)y, (void)z, (void)p0, (void)p1;         \
      return dx_;                                                     \
    }                                                                 \
    template <class N>                                                \
    static TG_ON_DEVICE N dy(N g, N x, N y, N z, N p0, N p1) {        \
      (void)g, (void)x, (void)y, (void)z, (void)p0, (void)p1;         \
      return dy_;                                                     \
    }                                                                 \
  };
#define TG_COMPARE(name, forward_, doc)          \
  struct name##_rule {                           \
    template <class N>                           \
    static TG_ON_DEVICE bool forward(N x, N y) { \
      return forward_;                           \
    }                                            \
  };
#include "../schema/ops.h"

// Whether an op is computed in a type.
constexpr bool has_rule(Op op, DType dtype) {
  constexpr bool FLOAT = false, NUMBER = true;
  (void)FLOAT, (void)NUMBER;
  if (dtype != DType::float32 && dtype != DType::float64 && dtype != DType::int32) return false;
  const bool is_float = dtype != DType::int32;
  switch (op) {
#define TG_UNARY(name, types, keeps, forward, dx, attrs, doc) \
  case op_##name:                                             \
    return is_float || types;                                 \
  case op_##name##_dx:                                        \
    return is_float;
#define TG_BINARY(name, types, keeps, forward, dx, dy, attrs, doc) \
  case op_##name:                                                  \
    return is_float || types;                                      \
  case op_##name##_dx:                                             \
  case op_##name##_dy:                                             \
    return is_float;
#define TG_COMPARE(name, forward, doc) case op_##name:
#include "../schema/ops.h"
    case op_where:
      return true;
    default:
      return false;
  }
}

// y = op(in), the first kCount elements of its operands; has_rule(op, T). Comparisons yield 0
// and 1.
template <class T, int kCount, int kRow>
TG_ON_DEVICE void apply(Op op, const T (&in)[4][kRow], const T (&p)[2], T (&y)[kCount]) {
  using N = Number<T>;
  const N p0 = N::of(p[0]), p1 = N::of(p[1]);
  (void)p0, (void)p1;
#define TG_CASE(op, value)                                             \
  case op:                                                             \
    _Pragma("unroll") for (int i = 0; i < kCount; ++i) y[i] = (value); \
    break;
#define TG_IN(k) N::of(in[k][i])
#define TG_KEPT(name, which) kept<name##_rule::kKeeps, which>(in, i)
#define TG_BACKWARD(name, rule) \
  TG_CASE(op_##name##_##rule,   \
          (name##_rule::rule(TG_IN(0), TG_KEPT(name, X), TG_KEPT(name, Y), p0, p1)).v)
#define TG_BACKWARD_OF_TWO(name, rule)                                                         \
  TG_CASE(op_##name##_##rule, (name##_rule::rule(TG_IN(0), TG_KEPT(name, X), TG_KEPT(name, Y), \
                                                 TG_KEPT(name, Z), p0, p1))                    \
                                  .v)
#define TG_FORWARD_NUMBER(name, ...) TG_CASE(op_##name, name##_rule::forward(__VA_ARGS__).v)
#define TG_COMPARISON(name) \
  TG_CASE(op_##name, name##_rule::forward(TG_IN(0), TG_IN(1)) ? T(1) : T(0))
#define TG_WHERE TG_CASE(op_where, in[0][i] != T(0) ? in[1][i] : in[2][i])
  if constexpr (static_cast<T>(0.5) == 0) {
    switch (op) {
#define TG_FORWARD_FLOAT(name, ...)
#define TG_UNARY(name, types, keeps, forward_, dx_, attrs, doc) \
  TG_FORWARD_##types(name, TG_IN(0), p0, p1)
#define TG_BINARY(name, types, keeps, forward_, dx_, dy_, attrs, doc) \
  TG_FORWARD_##types(name, TG_IN(0), TG_IN(1), p0, p1)
#define TG_COMPARE(name, forward_, doc) TG_COMPARISON(name)
#include "../schema/ops.h"
#undef TG_FORWARD_FLOAT
      TG_WHERE
      default:
        break;
    }
  } else {
    switch (op) {
#define TG_UNARY(name, types, keeps, forward_, dx_, attrs, doc) \
  TG_FORWARD_NUMBER(name, TG_IN(0), p0, p1) TG_BACKWARD(name, dx)
#define TG_BINARY(name, types, keeps, forward_, dx_, dy_, attrs, doc) \
  TG_FORWARD_NUMBER(name, TG_IN(0), TG_IN(1), p0, p1)                 \
  TG_BACKWARD_OF_TWO(name, dx) TG_BACKWARD_OF_TWO(name, dy)
#define TG_COMPARE(name, forward_, doc) TG_COMPARISON(name)
#include "../schema/ops.h"
      TG_WHERE
      default:
        break;
    }
  }
#undef TG_CASE
#undef TG_IN
#undef TG_KEPT
#undef TG_BACKWARD
#undef TG_BACKWARD_OF_TWO
#undef TG_FORWARD_NUMBER
#undef TG_COMPARISON
#undef TG_WHERE
}

}  // namespace tg::cuda
