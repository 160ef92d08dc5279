#include "attrs.h"

#include <cmath>

namespace tg {

namespace {
constexpr double kMaxInteger = 9007199254740992.0;  // 2^53: beyond it a double is no exact integer
}

Status AttrReader::missing(const char* name) {
  return error_->set(Status::type_error, "%s: %s is missing", name_of(op_), name);
}

Status AttrReader::number(const char* name, double* value) {
  if (at_ == end_) return missing(name);
  *value = *at_++;
  return Status::ok;
}

Status AttrReader::integer(const char* name, int64_t low, int64_t high, int64_t* value) {
  double d = 0;
  TG_TRY(number(name, &d));
  // ±Infinity stands for "as far as it goes" where the range allows it.
  if (std::isinf(d)) d = d > 0 ? static_cast<double>(high) : static_cast<double>(low);
  if (!(std::trunc(d) == d) || !(std::fabs(d) <= kMaxInteger))
    return error_->set(Status::range_error, "%s: %s must be an integer, got %.17g", name_of(op_),
                       name, d);
  const int64_t i = static_cast<int64_t>(d);
  if (i < low || i > high)
    return error_->set(Status::range_error, "%s: %s must be in %lld … %lld, got %.17g",
                       name_of(op_), name, static_cast<long long>(low),
                       static_cast<long long>(high), d);
  *value = i;
  return Status::ok;
}

Status AttrReader::flag(const char* name, bool* value) {
  double d = 0;
  TG_TRY(number(name, &d));
  *value = d != 0;
  return Status::ok;
}

Status AttrReader::axis(const char* name, int ndim, int* value) {
  double d = 0;
  TG_TRY(number(name, &d));
  // A scalar has one axis for this purpose, as in PyTorch.
  const int n = ndim > 0 ? ndim : 1;
  if (!(std::trunc(d) == d) || d < -n || d >= n)
    return error_->set(
        Status::range_error,
        "%s: %s must be an integer in %d … %d for a tensor of %d dimension%s, got %.17g",
        name_of(op_), name, -n, n - 1, ndim, ndim == 1 ? "" : "s", d);
  *value = static_cast<int>(d) + (d < 0 ? n : 0);
  return Status::ok;
}

Status AttrReader::ordered_axes(const char* name, int ndim, int* order, int* count) {
  double n = 0;
  TG_TRY(number(name, &n));
  if (!(n >= 0 && n <= kMaxDims) || end_ - at_ < static_cast<int>(n))
    return error_->set(Status::range_error, "%s: %s lists %.17g axes, but a tensor has at most %d",
                       name_of(op_), name, n, kMaxDims);
  *count = static_cast<int>(n);
  uint32_t seen = 0;
  for (int i = 0; i < *count; ++i) {
    TG_TRY(axis(name, ndim, &order[i]));
    if (seen >> order[i] & 1)
      return error_->set(Status::range_error, "%s: %s names axis %d twice", name_of(op_), name,
                         order[i]);
    seen |= 1u << order[i];
  }
  return Status::ok;
}

Status AttrReader::axes(const char* name, int ndim, uint32_t* set) {
  if (at_ == end_) return missing(name);
  if (*at_ < 0) {
    ++at_;
    *set = (1u << ndim) - 1;
    return Status::ok;
  }
  int order[kMaxDims], count;
  TG_TRY(ordered_axes(name, ndim, order, &count));
  *set = 0;
  for (int i = 0; i < count; ++i) *set |= 1u << order[i];
  *set &= (1u << ndim) - 1;  // axis 0 of a scalar reduces nothing
  return Status::ok;
}

Status AttrReader::list(const char* name, int limit, int64_t low, int64_t* values, int* count) {
  double n = 0;
  TG_TRY(number(name, &n));
  if (!(n >= 0 && n <= limit) || end_ - at_ < static_cast<int>(n))
    return error_->set(Status::range_error, "%s: %s has %.17g entries, at most %d are possible",
                       name_of(op_), name, n, limit);
  *count = static_cast<int>(n);
  for (int i = 0; i < *count; ++i) {
    const double d = *at_++;
    if (!(std::trunc(d) == d) || d < static_cast<double>(low) || d > kMaxInteger)
      return error_->set(Status::range_error, "%s: %s must hold integers ≥ %lld, got %.17g",
                         name_of(op_), name, static_cast<long long>(low), d);
    values[i] = static_cast<int64_t>(d);
  }
  return Status::ok;
}

Status AttrReader::shape(const char* name, bool wildcard, Shape* value) {
  TG_TRY(list(name, kMaxDims, wildcard ? -1 : 0, value->dim, &value->ndim));
  int64_t count;
  Shape known = *value;
  for (int i = 0; i < known.ndim; ++i)
    if (known[i] == -1) known[i] = 1;
  if (!checked_count(known, &count)) {
    char text[kShapeText];
    return error_->set(Status::range_error, "%s: %s %s has too many elements", name_of(op_), name,
                       print(*value, text));
  }
  return Status::ok;
}

Status AttrReader::pairs(const char* name, int ndim, int64_t* values) {
  int count = 0;
  int64_t read[2 * kMaxDims];
  TG_TRY(list(name, 2 * kMaxDims, 0, read, &count));
  if (count != 2 * ndim)
    return error_->set(Status::range_error,
                       "%s: %s needs one [before, after] pair for each of %d axes, got %d numbers",
                       name_of(op_), name, ndim, count);
  for (int i = 0; i < count; ++i) values[i] = read[i];
  return Status::ok;
}

Status AttrReader::pair(const char* name, int64_t low, int64_t high, int64_t (&values)[2]) {
  TG_TRY(integer(name, low, high, &values[0]));
  return integer(name, low, high, &values[1]);
}

Status AttrReader::dtype(const char* name, DType* value) {
  int64_t code = 0;
  TG_TRY(integer(name, 0, kDTypes - 1, &code));
  *value = static_cast<DType>(code);
  return Status::ok;
}

}  // namespace tg
