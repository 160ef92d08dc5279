#include "shape.h"

namespace tg {

bool Shape::operator==(const Shape& other) const {
  if (ndim != other.ndim) return false;
  for (int i = 0; i < ndim; ++i)
    if (dim[i] != other.dim[i]) return false;
  return true;
}

int64_t Shape::count() const {
  int64_t n = 1;
  for (int i = 0; i < ndim; ++i) n *= dim[i];
  return n;
}

bool checked_count(const Shape& shape, int64_t* count) {
  // Zero sizes must not hide an overflow: [2^40, 2^40, 0] has strides that do not fit.
  int64_t n = 1;
  bool empty = false;
  for (int i = 0; i < shape.ndim; ++i) {
    const int64_t d = shape[i];
    if (d < 0) return false;
    if (d == 0) {
      empty = true;
      continue;
    }
    if (d > kMaxElements / n) return false;
    n *= d;
  }
  *count = empty ? 0 : n;
  return true;
}

bool broadcast(const Shape& a, const Shape& b, Shape* out) {
  const Shape& longer = a.ndim >= b.ndim ? a : b;
  const Shape& shorter = a.ndim >= b.ndim ? b : a;
  Shape result = longer;
  const int lead = longer.ndim - shorter.ndim;
  for (int i = 0; i < shorter.ndim; ++i) {
    const int64_t s = shorter[i], l = longer[lead + i];
    if (s != l && s != 1 && l != 1) return false;
    result[lead + i] = l == 1 ? s : l;
  }
  *out = result;
  return true;
}

void contiguous_strides(const Shape& shape, int64_t* strides) {
  int64_t step = 1;
  for (int i = shape.ndim - 1; i >= 0; --i) {
    strides[i] = step;
    step *= shape[i] > 0 ? shape[i] : 1;
  }
}

const char* print(const Shape& shape, char (&buffer)[kShapeText]) {
  int at = std::snprintf(buffer, kShapeText, "[");
  for (int i = 0; i < shape.ndim; ++i)
    at += std::snprintf(buffer + at, kShapeText - static_cast<size_t>(at), "%s%lld", i ? ", " : "",
                        static_cast<long long>(shape[i]));
  std::snprintf(buffer + at, kShapeText - static_cast<size_t>(at), "]");
  return buffer;
}

}  // namespace tg
