// Strided copies; see copy.h. No instruction set beyond the baseline, and no arithmetic on
// elements.
#include "copy.h"

#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tg::cpu {
namespace {

// Calls f with an unsigned integer of so many bytes.
template <class F>
void with_size(size_t bytes, F&& f) {
  switch (bytes) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    default:
      return f(uint64_t{});
  }
}

constexpr int64_t kBlock = 64;  // side of the blocks in which large planes are transposed

// n elements at stride s to contiguous memory.
template <class E>
inline void run(const E* __restrict src, int64_t s, E* __restrict dst, int64_t n) {
  if (s == 1) {
    if (n < 16)
      for (int64_t i = 0; i < n; ++i) dst[i] = src[i];
    else
      std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(E));
  } else if (s == 0) {
    const E value = n > 0 ? *src : E{};
    for (int64_t i = 0; i < n; ++i) dst[i] = value;
  } else {
    int64_t i = 0;
    for (; i + 4 <= n; i += 4, src += 4 * s) {
      const E a = src[0], b = src[s], c = src[2 * s], d = src[3 * s];
      dst[i] = a, dst[i + 1] = b, dst[i + 2] = c, dst[i + 3] = d;
    }
    for (; i < n; ++i, src += s) dst[i] = *src;
  }
}

// Rows of a length that the compiler knows: an unrolled body instead of a loop per row.
template <class E, int kRow>
void short_rows(const E* __restrict src, int64_t row_stride, int64_t s, E* __restrict dst,
                int64_t dst_stride, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r, src += row_stride, dst += dst_stride)
    for (int i = 0; i < kRow; ++i) dst[i] = src[i * s];
}

// Side of the square that is transposed at a time: one cache line.
template <class E>
constexpr int64_t kSide = sizeof(E) == 8 ? 8 : 16;

// dst[r][c] = src[c][r] for a square. Each cache line of src is used up before the next ones are
// read, and if `buffered` each line of dst written in one go: at a stride of 4 KiB all lines
// compete for one set.
template <class E>
void transpose_square(const E* __restrict src, int64_t ld, E* __restrict dst, int64_t dst_stride,
                      bool buffered) {
  constexpr int64_t kN = kSide<E>;
  alignas(64) E tile[kN * kN];
  E* const to = buffered ? tile : dst;
  const int64_t to_stride = buffered ? kN : dst_stride;
#if defined(__SSE2__)
  const auto in = [&](int64_t c, int64_t r) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(src + c * ld + r));
  };
  const auto out = [&](int64_t r, int64_t c, __m128i v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + r * to_stride + c), v);
  };
  if constexpr (sizeof(E) == 4) {
    for (int64_t c = 0; c < kN; c += 4)
      for (int64_t r = 0; r < kN; r += 4) {
        const __m128i x0 = in(c, r), x1 = in(c + 1, r), x2 = in(c + 2, r), x3 = in(c + 3, r);
        const __m128i a = _mm_unpacklo_epi32(x0, x1), b = _mm_unpackhi_epi32(x0, x1);
        const __m128i d = _mm_unpacklo_epi32(x2, x3), e = _mm_unpackhi_epi32(x2, x3);
        out(r, c, _mm_unpacklo_epi64(a, d));
        out(r + 1, c, _mm_unpackhi_epi64(a, d));
        out(r + 2, c, _mm_unpacklo_epi64(b, e));
        out(r + 3, c, _mm_unpackhi_epi64(b, e));
      }
  } else if constexpr (sizeof(E) == 8) {
    for (int64_t c = 0; c < kN; c += 2)
      for (int64_t r = 0; r < kN; r += 2) {
        const __m128i a = in(c, r), b = in(c + 1, r);
        out(r, c, _mm_unpacklo_epi64(a, b));
        out(r + 1, c, _mm_unpackhi_epi64(a, b));
      }
  } else
#endif
  {
    for (int64_t c = 0; c < kN; ++c)
      for (int64_t r = 0; r < kN; ++r) to[r * to_stride + c] = src[c * ld + r];
  }
  if (buffered)
    for (int64_t r = 0; r < kN; ++r)
      std::memcpy(dst + r * dst_stride, tile + r * kN, kN * sizeof(E));
}

// The same for any size, in blocks that few pages hold.
template <class E>
void transpose(const E* src, int64_t ld, E* dst, int64_t dst_stride, int64_t rows,
               int64_t columns) {
  constexpr int64_t kN = kSide<E>;
  const int64_t whole_rows = rows / kN * kN, whole = columns / kN * kN;
  const bool aliased = dst_stride * int64_t{sizeof(E)} % 1024 == 0;
  for (int64_t r0 = 0; r0 < whole_rows; r0 += kBlock)
    for (int64_t c0 = 0; c0 < whole; c0 += kBlock)
      for (int64_t r = r0; r < whole_rows && r < r0 + kBlock; r += kN)
        for (int64_t c = c0; c < whole && c < c0 + kBlock; c += kN)
          transpose_square(src + c * ld + r, ld, dst + r * dst_stride + c, dst_stride, aliased);
  for (int64_t c = whole; c < columns; ++c)
    for (int64_t r = 0; r < whole_rows; ++r) dst[r * dst_stride + c] = src[c * ld + r];
  for (int64_t r = whole_rows; r < rows; ++r) run(src + r, ld, dst + r * dst_stride, columns);
}

// A plane of `rows` rows of n elements, read at strides (row_stride, s), written at (dst_stride,
// 1).
template <class E>
void plane(const E* src, int64_t row_stride, int64_t s, E* dst, int64_t dst_stride, int64_t rows,
           int64_t n) {
  if (rows <= 0) return;
  if (row_stride == 0 && dst_stride == n &&
      rows > 1) {  // one row repeated: copy what is there, doubling
    run(src, s, dst, n);
    const int64_t total = rows * n;
    // A source of at most 16 KiB stays in L1.
    const int64_t most = n > 16384 / int64_t{sizeof(E)} ? n : 16384 / int64_t{sizeof(E)} / n * n;
    for (int64_t done = n; done < total;) {
      int64_t step = done < most ? done : most;
      if (step > total - done) step = total - done;
      std::memcpy(dst + done, dst, static_cast<size_t>(step) * sizeof(E));
      done += step;
    }
    return;
  }
  switch (n) {
    case 1:
      return short_rows<E, 1>(src, row_stride, s, dst, dst_stride, rows);
    case 2:
      return short_rows<E, 2>(src, row_stride, s, dst, dst_stride, rows);
    case 3:
      return short_rows<E, 3>(src, row_stride, s, dst, dst_stride, rows);
    case 4:
      return short_rows<E, 4>(src, row_stride, s, dst, dst_stride, rows);
    case 5:
      return short_rows<E, 5>(src, row_stride, s, dst, dst_stride, rows);
    case 6:
      return short_rows<E, 6>(src, row_stride, s, dst, dst_stride, rows);
    case 7:
      return short_rows<E, 7>(src, row_stride, s, dst, dst_stride, rows);
    case 8:
      return short_rows<E, 8>(src, row_stride, s, dst, dst_stride, rows);
    default:
      break;
  }
  if (row_stride == 1 && s != 1 && s != 0 && rows >= 4)
    return transpose(src, s, dst, dst_stride, rows, n);
  for (int64_t r = 0; r < rows; ++r) run(src + r * row_stride, s, dst + r * dst_stride, n);
}

// The axes outside a plane, as a counter that keeps its offsets.
struct Odometer {
  const int64_t *dim, *stride;
  int n;
  int64_t at[kMaxDims];
  int64_t offset;

  Odometer(const int64_t* dims, const int64_t* strides, int axes, int64_t position)
      : dim(dims), stride(strides), n(axes), at(), offset(0) {
    for (int i = n - 1; i >= 0 && position > 0; --i) {
      at[i] = position % dim[i];
      position /= dim[i];
      offset += at[i] * stride[i];
    }
  }
  void next() {
    for (int i = n - 1; i >= 0; --i) {
      offset += stride[i];
      if (++at[i] < dim[i]) return;
      offset -= dim[i] * stride[i];
      at[i] = 0;
    }
  }
};

// Drops axes of size 1 and merges neighbours that one stride can walk, in x and (if given) in y.
int merge(const Shape& shape, const int64_t* x, const int64_t* y, int64_t* dim, int64_t* x_stride,
          int64_t* y_stride) {
  int n = 0;
  for (int i = 0; i < shape.ndim; ++i) {
    const int64_t size = shape.dim[i];
    if (size == 1) continue;
    if (n > 0 && x_stride[n - 1] == x[i] * size && (!y || y_stride[n - 1] == y[i] * size)) {
      dim[n - 1] *= size;
    } else {
      dim[n++] = size;
    }
    x_stride[n - 1] = x[i];
    if (y) y_stride[n - 1] = y[i];
  }
  if (n == 0) {
    dim[0] = 1, x_stride[0] = 1, n = 1;
    if (y) y_stride[0] = 1;
  }
  return n;
}

template <class E>
void gather_elements(const E* src, const int64_t* dim, const int64_t* stride, int ndim,
                     int64_t begin, int64_t count, E* dst) {
  const int64_t n = dim[ndim - 1], s = stride[ndim - 1];
  if (ndim == 1) return run(src + begin * s, s, dst, count);
  const int64_t rows = dim[ndim - 2], row_stride = stride[ndim - 2];
  int64_t row = begin / n, column = begin % n;
  Odometer outer(dim, stride, ndim - 2, row / rows);
  for (row %= rows; count > 0;) {
    const E* from = src + outer.offset + row * row_stride;
    int64_t done;
    if (column > 0 || count < n) {  // the rest of a row, or its start
      done = n - column < count ? n - column : count;
      run(from + column * s, s, dst, done);
      column = 0;
      ++row;
    } else {
      int64_t whole = count / n;
      if (whole > rows - row) whole = rows - row;
      plane(from, row_stride, s, dst, n, whole, n);
      done = whole * n;
      row += whole;
    }
    dst += done;
    count -= done;
    if (row == rows) row = 0, outer.next();
  }
}

// Copies to strided memory whose innermost axis is dense. The work is cut along (outer axes ×
// rows).
template <class E>
void scatter_elements(ThreadPool& threads, const E* src, int64_t* dim, int64_t* x, E* dst,
                      int64_t* y, int ndim) {
  int64_t total = 1;
  for (int i = 0; i < ndim; ++i) total *= dim[i];
  if (total == 0) return;
  const int64_t pieces = parts(threads, 2 * total * int64_t{sizeof(E)});
  if (ndim == 1) {
    const int64_t step = (total + pieces - 1) / pieces;
    return parallel(threads, pieces, [&](int64_t t) {
      const int64_t begin = t * step < total ? t * step : total;
      run(src + begin * x[0], x[0], dst + begin, step < total - begin ? step : total - begin);
    });
  }
  // The rows of the plane are the axis that is dense in src, if the columns are not: a
  // transposition.
  if (x[ndim - 1] != 1)
    for (int i = ndim - 3; i >= 0; --i)
      if (x[i] == 1 && x[ndim - 2] != 1) {
        for (int k = i; k < ndim - 2; ++k) {  // rotate axis i to just outside the columns
          const int64_t d = dim[k], a = x[k], b = y[k];
          dim[k] = dim[k + 1], x[k] = x[k + 1], y[k] = y[k + 1];
          dim[k + 1] = d, x[k + 1] = a, y[k + 1] = b;
        }
        break;
      }
  const int64_t n = dim[ndim - 1], rows = dim[ndim - 2], all_rows = total / n;
  int64_t step = (all_rows + pieces - 1) / pieces;
  if (pieces > 1 && rows >= 16)
    step = (step + 15) / 16 * 16;  // whole cache lines of a transposed src
  parallel(threads, (all_rows + step - 1) / step, [&](int64_t t) {
    int64_t position = t * step;
    const int64_t end = position + step < all_rows ? position + step : all_rows;
    Odometer from(dim, x, ndim - 2, position / rows), to(dim, y, ndim - 2, position / rows);
    for (int64_t row = position % rows; position < end; row = 0, from.next(), to.next()) {
      const int64_t some = end - position < rows - row ? end - position : rows - row;
      plane(src + from.offset + row * x[ndim - 2], x[ndim - 2], x[ndim - 1],
            dst + to.offset + row * y[ndim - 2], y[ndim - 2], some, n);
      position += some;
    }
  });
}

}  // namespace

GatherPlan::GatherPlan(const TensorView& x)
    : data_(x.data), bytes_(static_cast<int>(size_of(x.dtype))) {
  ndim_ = merge(x.shape, x.strides, nullptr, dim_, stride_, nullptr);
  contiguous_ = ndim_ == 1 && stride_[0] == 1;
}

void GatherPlan::gather_from(const void* data, int64_t begin, int64_t count, void* dst) const {
  if (count <= 0) return;
  if (contiguous_) {
    std::memcpy(dst, static_cast<const char*>(data) + begin * bytes_,
                static_cast<size_t>(count * bytes_));
    return;
  }
  const auto elements = [&](auto zero) {
    using E = decltype(zero);
    gather_elements(static_cast<const E*>(data), dim_, stride_, ndim_, begin, count,
                    static_cast<E*>(dst));
  };
  with_size(static_cast<size_t>(bytes_), elements);
}

int64_t parts(const ThreadPool& threads, int64_t bytes) {
  if (bytes < kParallelBytes || threads.size() < 2) return 1;
  // A few parts per thread, for balance where threads are disturbed; 64 KiB at least.
  const int64_t most = bytes / (64 << 10), wanted = int64_t{4} * threads.size();
  return most < wanted ? most : wanted;
}

void copy_into(ThreadPool& threads, const TensorView& x, void* dst, const int64_t* dst_strides) {
  int64_t dim[kMaxDims + 1] = {}, from[kMaxDims + 1] = {}, to[kMaxDims + 1] = {};
  int n = merge(x.shape, x.strides, dst_strides, dim, from, to);
  if (to[n - 1] !=
      1) {  // the destination's last axis has size 1 or is not dense: rows of one element
    dim[n] = 1, from[n] = 0, to[n] = 1;
    ++n;
  }
  const auto elements = [&](auto zero) {
    using E = decltype(zero);
    scatter_elements(threads, static_cast<const E*>(x.data), dim, from, static_cast<E*>(dst), to,
                     n);
  };
  with_size(size_of(x.dtype), elements);
}

void copy_strided(ThreadPool& threads, const TensorView& x, void* dst) {
  int64_t strides[kMaxDims];
  contiguous_strides(x.shape, strides);
  copy_into(threads, x, dst, strides);
}

void fill(ThreadPool& threads, void* dst, int64_t count, const void* value, size_t bytes) {
  const int64_t pieces = parts(threads, count * static_cast<int64_t>(bytes));
  const int64_t step = (count + pieces - 1) / pieces;
  const auto elements = [&](auto zero) {
    using E = decltype(zero);
    E v;
    std::memcpy(&v, value, sizeof v);
    parallel(threads, pieces, [&](int64_t t) {
      E* out = static_cast<E*>(dst);
      const int64_t end = (t + 1) * step < count ? (t + 1) * step : count;
      for (int64_t i = t * step; i < end; ++i) out[i] = v;
    });
  };
  with_size(bytes, elements);
}

}  // namespace tg::cpu
