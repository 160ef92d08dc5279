// Reductions of contiguous rows and of columns of contiguous rows, for every instruction set.
// Includes only the vector vocabulary, the maths and the table it fills.
#pragma once

#include "../reduce_table.h"
#include "math.h"
#include "vec.h"

namespace TG_ISA {
namespace {

// Lanes of a row sum, the same for all instruction sets, held in kLaneVectors registers.
constexpr int kLaneVectors = 128 / kVectorBytes;
template <class T>
constexpr int64_t kSumLanes = 128 / static_cast<int64_t>(sizeof(T));

constexpr int32_t kIota32[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
constexpr int64_t kIota64[8] = {0, 1, 2, 3, 4, 5, 6, 7};

// True in the first n lanes.
template <class T>
TG_INLINE Mask<T> first_lanes(int64_t n) {
  using I = typename LaneInt<T>::type;
  typename Raw<I>::type iota;
  if constexpr (sizeof(I) == 4)
    __builtin_memcpy(&iota, kIota32, sizeof iota);
  else
    __builtin_memcpy(&iota, kIota64, sizeof iota);
  return {iota < typename Raw<I>::type{} + static_cast<I>(n)};
}

template <class T>
TG_INLINE T lowest() {
  if constexpr (static_cast<T>(0.5) == 0)
    return INT32_MIN;
  else
    return -static_cast<T>(__builtin_inf());
}
template <class T>
TG_INLINE T highest() {
  if constexpr (static_cast<T>(0.5) == 0)
    return INT32_MAX;
  else
    return static_cast<T>(__builtin_inf());
}

// A fold: identity, map(x, shift) and join(a, b). For scalars too, so that the tree is the same
// code.
struct SumFold {
  template <class T>
  static TG_INLINE T identity() {
    return 0;
  }
  template <class T>
  static TG_INLINE V<T> map(V<T> x, V<T>) {
    return x;
  }
  template <class T>
  static TG_INLINE V<T> join(V<T> a, V<T> b) {
    return a + b;
  }
  // int32 wraps, which signed lanes may not.
  static TG_INLINE V<int32_t> join(V<int32_t> a, V<int32_t> b) {
    using U = typename Raw<uint32_t>::type;
    return (typename V<int32_t>::Vec)((U)a.v + (U)b.v);
  }
  template <class T>
  static TG_INLINE T join(T a, T b) {
    if constexpr (static_cast<T>(0.5) == 0)
      return static_cast<T>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
    else
      return a + b;
  }
};
struct SquaresFold : SumFold {
  template <class T>
  static TG_INLINE V<T> map(V<T> x, V<T> shift) {
    const V<T> d = x - shift;
    return d * d;
  }
};
struct ExpsFold : SumFold {
  template <class T>
  static TG_INLINE V<T> map(V<T> x, V<T> shift) {
    return exp(x - shift);
  }
};
struct MaxFold {
  template <class T>
  static TG_INLINE T identity() {
    return lowest<T>();
  }
  template <class T>
  static TG_INLINE V<T> map(V<T> x, V<T>) {
    return x;
  }
  template <class T>
  static TG_INLINE V<T> join(V<T> a, V<T> b) {
    return maximum(a, b);
  }
  template <class T>
  static TG_INLINE T join(T a, T b) {
    return b > a || b != b ? b : a;
  }
};
struct MinFold {
  template <class T>
  static TG_INLINE T identity() {
    return highest<T>();
  }
  template <class T>
  static TG_INLINE V<T> map(V<T> x, V<T>) {
    return x;
  }
  template <class T>
  static TG_INLINE V<T> join(V<T> a, V<T> b) {
    return minimum(a, b);
  }
  template <class T>
  static TG_INLINE T join(T a, T b) {
    return b < a || b != b ? b : a;
  }
};

// The largest, for maxima that need not pass NaN on: one instruction.
struct PlainMaxFold : MaxFold {
  template <class T>
  static TG_INLINE V<T> join(V<T> a, V<T> b) {
    return max_or(b, a);
  }
  template <class T>
  static TG_INLINE T join(T a, T b) {
    return b > a ? b : a;
  }
};

// Lane i of the result is lane i + kBy of a, around the end.
template <int kBy, class T>
TG_INLINE V<T> rotate(V<T> a) {
  constexpr int n = V<T>::kLanes, b = kBy;
  if constexpr (n == 16)
    return __builtin_shufflevector(a.v, a.v, b, b + 1, b + 2, b + 3, b + 4, b + 5, b + 6, b + 7,
                                   (b + 8) % n, (b + 9) % n, (b + 10) % n, (b + 11) % n,
                                   (b + 12) % n, (b + 13) % n, (b + 14) % n, (b + 15) % n);
  else if constexpr (n == 8)
    return __builtin_shufflevector(a.v, a.v, b, b + 1, b + 2, b + 3, (b + 4) % n, (b + 5) % n,
                                   (b + 6) % n, (b + 7) % n);
  else if constexpr (n == 4)
    return __builtin_shufflevector(a.v, a.v, b, b + 1, (b + 2) % n, (b + 3) % n);
  else
    return __builtin_shufflevector(a.v, a.v, b, (b + 1) % n);
}

// The lanes folded to one number: lane i with lane i + half, again and again.
template <class Fold, class T>
TG_INLINE T join_lanes(V<T> a) {
  if constexpr (V<T>::kLanes >= 16) a = Fold::join(a, rotate<8>(a));
  if constexpr (V<T>::kLanes >= 8) a = Fold::join(a, rotate<4>(a));
  if constexpr (V<T>::kLanes >= 4) a = Fold::join(a, rotate<2>(a));
  a = Fold::join(a, rotate<1>(a));
  return a.v[0];
}
// Likewise the lanes of all accumulators, as if they were one long register.
template <class Fold, class T>
TG_INLINE T join_lanes(V<T> (&acc)[kLaneVectors]) {
  for (int w = kLaneVectors / 2; w > 0; w /= 2)
    for (int v = 0; v < w; ++v) acc[v] = Fold::join(acc[v], acc[v + w]);
  return join_lanes<Fold, T>(acc[0]);
}

// join(f(i, count)) over 0 <= i < n, where f yields the mapped vector at element i; count < kLanes
// in the one partial vector, kLanes elsewhere. The lanes of the partial vector past its count are
// ignored.
template <class Fold, class T, class F>
TG_INLINE T fold_row(int64_t n, F f) {
  constexpr int64_t kLanes = V<T>::kLanes;
  V<T> acc[kLaneVectors];
  for (int v = 0; v < kLaneVectors; ++v)
    acc[v] = typename V<T>::Vec{} + Fold::template identity<T>();
  int64_t i = 0;
  for (; i + kSumLanes<T> <= n; i += kSumLanes<T>)
    for (int v = 0; v < kLaneVectors; ++v) acc[v] = Fold::join(acc[v], f(i + v * kLanes, kLanes));
  for (int v = 0; v < kLaneVectors; ++v) {
    const int64_t left = n - i - v * kLanes;
    if (left >= kLanes) {
      acc[v] = Fold::join(acc[v], f(i + v * kLanes, kLanes));
    } else if (left > 0) {
      const V<T> none = typename V<T>::Vec{} + Fold::template identity<T>();
      acc[v] = Fold::join(acc[v], select(first_lanes<T>(left), f(i + v * kLanes, left), none));
    }
  }
  return join_lanes<Fold, T>(acc);
}

// A full or partial load, for the lambdas of fold_row.
template <class T>
TG_INLINE V<T> load_some(const T* p, int64_t count) {
  return count == V<T>::kLanes ? load(p) : load(p, count);
}
template <class T>
TG_INLINE void store_some(T* p, V<T> a, int64_t count) {
  if (count == V<T>::kLanes)
    store(p, a);
  else
    store(p, a, count);
}

// The fold of at most kRowBlock elements, in T.
template <class Fold, class T>
TG_INLINE T reduce_block(const T* x, int64_t n, V<T> shift) {
  return fold_row<Fold, T>(
      n, [=](int64_t i, int64_t count) { return Fold::map(load_some(x + i, count), shift); });
}

template <class Fold, class T>
constexpr bool kIntegerSum = __is_base_of(SumFold, Fold) && static_cast<T>(0.5) == 0;

// The sum of int32 in [0, 2³²), others as they are.
template <class Fold, class T>
TG_INLINE double to_double(T part) {
  if constexpr (kIntegerSum<Fold, T>)
    return static_cast<double>(static_cast<uint32_t>(part));
  else
    return static_cast<double>(part);
}

template <class Fold, class T>
double reduce_row(const T* x, int64_t n, T shift) {
  const V<T> s = typename V<T>::Vec{} + shift;
  double total =
      __is_base_of(SumFold, Fold) ? 0.0 : static_cast<double>(Fold::template identity<float>());
  for (int64_t at = 0; at < n; at += tg::kRowBlock) {
    const T part = reduce_block<Fold>(x + at, n - at < tg::kRowBlock ? n - at : tg::kRowBlock, s);
    if constexpr (kIntegerSum<Fold, T>)
      total = static_cast<uint32_t>(static_cast<uint64_t>(total) + static_cast<uint32_t>(part));
    else
      total = Fold::join(total, static_cast<double>(part));
  }
  return total;
}

template <class Fold, class T>
void reduce_each_row(const T* x, int64_t stride, int64_t n, int64_t count, const T* shift,
                     double* out) {
  for (int64_t r = 0; r < count; ++r) {
    const V<T> s = typename V<T>::Vec{} + (shift ? shift[r] : T(0));
    out[r] = to_double<Fold>(reduce_block<Fold>(x + r * stride, n, s));
  }
}

// Rows 0 … kRows - 1 of a register of columns, joined in pairs.
template <class Fold, int kRows, class T>
TG_INLINE V<T> join_rows(const T* p, int64_t stride, int64_t count, V<T> shift) {
  if constexpr (kRows == 1)
    return Fold::map(load_some(p, count), shift);
  else
    return Fold::join(join_rows<Fold, kRows / 2>(p, stride, count, shift),
                      join_rows<Fold, kRows / 2>(p + kRows / 2 * stride, stride, count, shift));
}

// Adds kRows rows to out, or puts them there if they are the first.
template <class Fold, int kRows, class T>
TG_INLINE void reduce_rows(const T* x, int64_t stride, int64_t cols, const T* shift, bool first,
                           T* out) {
  constexpr int64_t kLanes = V<T>::kLanes;
  constexpr bool kShifted = __is_base_of(SumFold, Fold) && !__is_same(Fold, SumFold);
  const V<T> none = typename V<T>::Vec{} + Fold::template identity<T>();
  const auto step = [&](int64_t c, int64_t count) __attribute__((always_inline)) {
    V<T> s = none;
    if constexpr (kShifted) s = load_some(shift + c, count);
    const V<T> rows = join_rows<Fold, kRows>(x + c, stride, count, s);
    store_some(out + c, Fold::join(first ? none : load_some(out + c, count), rows), count);
  };
  int64_t c = 0;
  for (; c + kLanes <= cols; c += kLanes) step(c, kLanes);
  if (c < cols) step(c, cols - c);
}

// Rows are walked as memory lies; eight at a time, so that out is loaded and stored once for eight.
template <class Fold, class T>
void reduce_columns(const T* x, int64_t stride, int64_t rows, int64_t cols, const T* shift,
                    T* out) {
  int64_t r = 0;
  for (; r + 8 <= rows; r += 8)
    reduce_rows<Fold, 8>(x + r * stride, stride, cols, shift, r == 0, out);
  for (; r + 4 <= rows; r += 4)
    reduce_rows<Fold, 4>(x + r * stride, stride, cols, shift, r == 0, out);
  for (; r < rows; ++r) reduce_rows<Fold, 1>(x + r * stride, stride, cols, shift, r == 0, out);
}

template <class T>
int64_t find(const T* x, int64_t n, T value) {
  constexpr int64_t kStep = 8 * V<T>::kLanes;
  const V<T> wanted = typename V<T>::Vec{} + value;
  int64_t i = 0;
  // Skip whole stretches that lack it.
  for (; i + kStep <= n; i += kStep) {
    Mask<T> hit = (load(x + i) == wanted) | ((load(x + i) != load(x + i)) & (wanted != wanted));
    for (int v = 1; v < 8; ++v) {
      const V<T> a = load(x + i + v * V<T>::kLanes);
      hit = hit | (a == wanted) | ((a != a) & (wanted != wanted));
    }
    if (any(hit)) break;
  }
  for (; i + V<T>::kLanes <= n; i += V<T>::kLanes) {
    const V<T> a = load(x + i);
    if (any((a == wanted) | ((a != a) & (wanted != wanted)))) break;
  }
  for (; i < n; ++i)
    if (x[i] == value || (x[i] != x[i] && value != value)) break;
  return i;
}

template <bool kLargest, class T>
TG_INLINE void take_better(V<T> x, V<T> row, V<T>& best, V<T>& index) {
  const Mask<T> better = (kLargest ? x > best : x < best) | ((x != x) & (best == best));
  best = select(better, x, best);
  index = select(better, row, index);
}

template <bool kLargest, class T>
void arg_columns(const T* x, int64_t stride, int64_t rows, int64_t cols, T* best, T* index) {
  constexpr int64_t kLanes = V<T>::kLanes;
  for (int64_t r = 0; r < rows; r += 4) {
    const int64_t some = rows - r < 4 ? rows - r : 4;
    for (int64_t c = 0; c < cols; c += kLanes) {
      const int64_t count = cols - c < kLanes ? cols - c : kLanes;
      const T* p = x + r * stride + c;
      V<T> b = r == 0 ? load_some(p, count) : load_some(best + c, count);
      V<T> at = r == 0 ? V<T>(0) : load_some(index + c, count);
      // Row numbers are below kColumnBlock, so T counts them exactly.
      if (some == 4) {
        for (int k = 0; k < 4; ++k)
          take_better<kLargest>(load_some(p + k * stride, count), V<T>(static_cast<double>(r + k)),
                                b, at);
      } else {
        for (int64_t k = 0; k < some; ++k)
          take_better<kLargest>(load_some(p + k * stride, count), V<T>(static_cast<double>(r + k)),
                                b, at);
      }
      store_some(best + c, b, count);
      store_some(index + c, at, count);
    }
  }
}

template <class T>
constexpr tg::Reducers<T> float_reducers() {
  return {{reduce_row<SumFold, T>, reduce_row<SquaresFold, T>, reduce_row<ExpsFold, T>,
           reduce_row<MaxFold, T>, reduce_row<MinFold, T>},
          {reduce_each_row<SumFold, T>, reduce_each_row<SquaresFold, T>,
           reduce_each_row<ExpsFold, T>, reduce_each_row<MaxFold, T>, reduce_each_row<MinFold, T>},
          {reduce_columns<SumFold, T>, reduce_columns<SquaresFold, T>, reduce_columns<ExpsFold, T>,
           reduce_columns<MaxFold, T>, reduce_columns<MinFold, T>},
          find<T>,
          {arg_columns<true, T>, arg_columns<false, T>}};
}

constexpr tg::ReduceTable kReduceTable = {
    float_reducers<float>(),
    float_reducers<double>(),
    {{reduce_row<SumFold, int32_t>, nullptr, nullptr, reduce_row<MaxFold, int32_t>,
      reduce_row<MinFold, int32_t>},
     {reduce_each_row<SumFold, int32_t>, nullptr, nullptr, reduce_each_row<MaxFold, int32_t>,
      reduce_each_row<MinFold, int32_t>},
     {reduce_columns<SumFold, int32_t>, nullptr, nullptr, reduce_columns<MaxFold, int32_t>,
      reduce_columns<MinFold, int32_t>},
     find<int32_t>,
     {arg_columns<true, int32_t>, arg_columns<false, int32_t>}}};

}  // namespace
}  // namespace TG_ISA
