// Reads the flat numbers that encode an op's attributes, and refuses what cannot be.
#pragma once

#include "op.h"

namespace tg {

class AttrReader {
 public:
  AttrReader(Op op, const double* numbers, int count, Error* error)
      : op_(op), at_(numbers), end_(numbers + count), error_(error) {}

  // Each reads the next attribute; `name` is for messages.
  Status number(const char* name, double* value);
  Status integer(const char* name, int64_t low, int64_t high, int64_t* value);
  Status flag(const char* name, bool* value);
  Status axis(const char* name, int ndim, int* value);
  // null (all), or a list of distinct axes, as a bit set.
  Status axes(const char* name, int ndim, uint32_t* set);
  // A list of distinct axes in the order given; `count` of them.
  Status ordered_axes(const char* name, int ndim, int* order, int* count);
  // A shape; sizes must be ≥ 0, or ≥ -1 if `wildcard`.
  Status shape(const char* name, bool wildcard, Shape* value);
  Status pairs(const char* name, int ndim, int64_t* values);
  // Two integers, rows before columns.
  Status pair(const char* name, int64_t low, int64_t high, int64_t (&values)[2]);
  Status dtype(const char* name, DType* value);

 private:
  Status missing(const char* name);
  Status list(const char* name, int limit, int64_t low, int64_t* values, int* count);

  Op op_;
  const double* at_;
  const double* end_;
  Error* error_;
};

}  // namespace tg
