// Every elementwise kernel, expanded from the schema: forward, comparisons, and fused backward.
#pragma once

#include "../elementwise_table.h"
#include "math.h"
#include "vec.h"

namespace TG_ISA {
namespace {

template <class T>
TG_INLINE V<T> square(V<T> x) {
  return x * x;
}

template <class T>
TG_INLINE V<T> load_some(const void* p, int64_t i, int64_t left) {
  const T* at = static_cast<const T*>(p) + i;
  return left >= V<T>::kLanes ? load<T>(at) : load<T>(at, left);
}
template <class T>
TG_INLINE void store_some(void* p, int64_t i, int64_t left, V<T> v) {
  T* at = static_cast<T*>(p) + i;
  left >= V<T>::kLanes ? store<T>(at, v) : store<T>(at, v, left);
}

// One byte per lane: how bool tensors lie in memory.
template <int kLanes>
struct Bytes {
  typedef uint8_t type __attribute__((vector_size(kLanes)));
};

template <class T>
TG_INLINE void store_bools(void* p, int64_t i, int64_t left, Mask<T> m) {
  constexpr int kLanes = V<T>::kLanes;
  using B = typename Bytes<kLanes>::type;
  const B bytes = __builtin_convertvector(m.m, B) & 1;
  __builtin_memcpy(static_cast<uint8_t*>(p) + i, &bytes,
                   static_cast<size_t>(left >= kLanes ? kLanes : left));
}
template <class T>
TG_INLINE Mask<T> load_bools(const void* p, int64_t i, int64_t left) {
  constexpr int kLanes = V<T>::kLanes;
  using Int = typename LaneInt<T>::type;
  typename Bytes<kLanes>::type bytes = {};
  __builtin_memcpy(&bytes, static_cast<const uint8_t*>(p) + i,
                   static_cast<size_t>(left >= kLanes ? kLanes : left));
  return {__builtin_convertvector(bytes, typename Raw<Int>::type) != 0};
}

// Calls body(i, left) for each vector of n elements; `left` ≥ kLanes but for a tail.
template <int kLanes, class Body>
TG_INLINE void for_vectors(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, int64_t{kLanes});
  if (i < n) body(i, n - i);
}

// What a backward kernel receives after g, in this order.
enum Keeps { NONE = 0, X = 1, Y = 2, Z = 4, XY = X | Y, XYZ = X | Y | Z };

#define TG_UNARY(name, types, keeps, forward_, dx_, attrs, doc)          \
  struct name##_op {                                                     \
    static constexpr int kKeeps = keeps;                                 \
    template <class T>                                                   \
    static TG_INLINE V<T> forward(V<T> x, V<T> p0, V<T> p1) {            \
      (void)x, (void)p0, (void)p1;                                       \
      return forward_;                                                   \
    }                                                                    \
    template <class T>                                                   \
    static TG_INLINE V<T> dx(V<T> g, V<T> x, V<T> y, V<T> p0, V<T> p1) { \
      (void)g, (void)x, (void)y, (void)p0, (void)p1;                     \
      return dx_;                                                        \
    }                                                                    \
  };
#define TG_BINARY(name, types, keeps, forward_, dx_, dy_, attrs, doc)            \
  struct name##_op {                                                             \
    static constexpr int kKeeps = keeps;                                         \
    template <class T>                                                           \
    static TG_INLINE V<T> forward(V<T> x, V<T> y, V<T> p0, V<T> p1) {            \
      (void)x, (void)y, (void)p0, (void)p1;                                      \
      return forward_;                                                           \
    }                                                                            \
    template <class T>                                                           \
    static TG_INLINE V<T> dx(V<T> g, V<T> x, V<T> y, V<T> z, V<T> p0, V<T> p1) { \
      (void)g, (void)x, (void)y, (void)z, (void)p0, (void)p1;                    \
      return dx_;                                                                \
    }                                                                            \
    template <class T>                                                           \
    static TG_INLINE V<T> dy(V<T> g, V<T> x, V<T> y, V<T> z, V<T> p0, V<T> p1) { \
      (void)g, (void)x, (void)y, (void)z, (void)p0, (void)p1;                    \
      return dy_;                                                                \
    }                                                                            \
  };
#define TG_COMPARE(name, forward_, doc)                \
  struct name##_op {                                   \
    template <class T>                                 \
    static TG_INLINE Mask<T> forward(V<T> x, V<T> y) { \
      return forward_;                                 \
    }                                                  \
  };
#include "../../schema/ops.h"

template <class F, class T>
void unary(void* out, const void* const* in, int64_t n, const double* p) {
  const V<T> p0(p[0]), p1(p[1]);
  for_vectors<V<T>::kLanes>(n, [&](int64_t i, int64_t left) TG_INLINE_LAMBDA {
    store_some<T>(out, i, left, F::template forward<T>(load_some<T>(in[0], i, left), p0, p1));
  });
}

template <class F, class T>
void unary_dx(void* out, const void* const* in, int64_t n, const double* p) {
  const V<T> p0(p[0]), p1(p[1]);
  for_vectors<V<T>::kLanes>(n, [&](int64_t i, int64_t left) TG_INLINE_LAMBDA {
    int k = 0;
    const V<T> g = load_some<T>(in[k++], i, left);
    const V<T> x = F::kKeeps & X ? load_some<T>(in[k++], i, left) : V<T>(0);
    const V<T> y = F::kKeeps & Y ? load_some<T>(in[k], i, left) : V<T>(0);
    store_some<T>(out, i, left, F::template dx<T>(g, x, y, p0, p1));
  });
}

template <class F, class T>
void binary(void* out, const void* const* in, int64_t n, const double* p) {
  const V<T> p0(p[0]), p1(p[1]);
  for_vectors<V<T>::kLanes>(n, [&](int64_t i, int64_t left) TG_INLINE_LAMBDA {
    store_some<T>(
        out, i, left,
        F::template forward<T>(load_some<T>(in[0], i, left), load_some<T>(in[1], i, left), p0, p1));
  });
}

template <class F, class T, bool kSecond>
void binary_backward(void* out, const void* const* in, int64_t n, const double* p) {
  const V<T> p0(p[0]), p1(p[1]);
  for_vectors<V<T>::kLanes>(n, [&](int64_t i, int64_t left) TG_INLINE_LAMBDA {
    int k = 0;
    const V<T> g = load_some<T>(in[k++], i, left);
    const V<T> x = F::kKeeps & X ? load_some<T>(in[k++], i, left) : V<T>(0);
    const V<T> y = F::kKeeps & Y ? load_some<T>(in[k++], i, left) : V<T>(0);
    const V<T> z = F::kKeeps & Z ? load_some<T>(in[k], i, left) : V<T>(0);
    if constexpr (kSecond)
      store_some<T>(out, i, left, F::template dy<T>(g, x, y, z, p0, p1));
    else
      store_some<T>(out, i, left, F::template dx<T>(g, x, y, z, p0, p1));
  });
}

template <class F, class T>
void compare(void* out, const void* const* in, int64_t n, const double*) {
  for_vectors<V<T>::kLanes>(n, [&](int64_t i, int64_t left) TG_INLINE_LAMBDA {
    store_bools<T>(
        out, i, left,
        F::template forward<T>(load_some<T>(in[0], i, left), load_some<T>(in[1], i, left)));
  });
}

template <class T>
void where(void* out, const void* const* in, int64_t n, const double*) {
  for_vectors<V<T>::kLanes>(n, [&](int64_t i, int64_t left) TG_INLINE_LAMBDA {
    store_some<T>(out, i, left,
                  select(load_bools<T>(in[0], i, left), load_some<T>(in[1], i, left),
                         load_some<T>(in[2], i, left)));
  });
}

constexpr tg::cpu::ElementwiseTable make_elementwise_table() {
  tg::cpu::ElementwiseTable t{};
  t.fn[tg::op_where][0] = where<float>;
  t.fn[tg::op_where][1] = where<double>;
  t.fn[tg::op_where][2] = where<int32_t>;
#define TG_FORWARD_FLOAT(kernel, name)               \
  t.fn[tg::op_##name][0] = kernel<name##_op, float>; \
  t.fn[tg::op_##name][1] = kernel<name##_op, double>;
#define TG_FORWARD_NUMBER(kernel, name) \
  TG_FORWARD_FLOAT(kernel, name)        \
  t.fn[tg::op_##name][2] = kernel<name##_op, int32_t>;
#define TG_UNARY(name, types, keeps, forward, dx, attrs, doc)                               \
  TG_FORWARD_##types(unary, name) t.fn[tg::op_##name##_dx][0] = unary_dx<name##_op, float>; \
  t.fn[tg::op_##name##_dx][1] = unary_dx<name##_op, double>;
#define TG_BINARY(name, types, keeps, forward, dx, dy, attrs, doc)         \
  TG_FORWARD_##types(binary, name) t.fn[tg::op_##name##_dx][0] =           \
      binary_backward<name##_op, float, false>;                            \
  t.fn[tg::op_##name##_dx][1] = binary_backward<name##_op, double, false>; \
  t.fn[tg::op_##name##_dy][0] = binary_backward<name##_op, float, true>;   \
  t.fn[tg::op_##name##_dy][1] = binary_backward<name##_op, double, true>;
#define TG_COMPARE(name, forward, doc) TG_FORWARD_NUMBER(compare, name)
#include "../../schema/ops.h"
#undef TG_FORWARD_FLOAT
#undef TG_FORWARD_NUMBER
  return t;
}

constexpr tg::cpu::ElementwiseTable kElementwiseTable = make_elementwise_table();

}  // namespace
}  // namespace TG_ISA
