// Shapes and strides: checked size arithmetic, broadcasting, printing. Strides count elements.
#pragma once

#include "dtype.h"
#include "status.h"

namespace tg {

constexpr int kMaxDims = 8;

struct Shape {
  int ndim = 0;
  int64_t dim[kMaxDims] = {};

  int64_t& operator[](int i) { return dim[i]; }
  int64_t operator[](int i) const { return dim[i]; }
  bool operator==(const Shape& other) const;
  bool operator!=(const Shape& other) const { return !(*this == other); }
  // Number of elements; the shape was checked when it was made, so this cannot overflow.
  int64_t count() const;
  void push(int64_t size) { dim[ndim++] = size; }
};

// Largest number of elements a tensor may have: every byte offset fits in a signed 64-bit integer
// and every count in a double.
constexpr int64_t kMaxElements = int64_t{1} << 48;

// Fails if a size is negative or the product passes kMaxElements (zero sizes included in no
// product).
bool checked_count(const Shape& shape, int64_t* count);

// The shape of an elementwise result, by NumPy's rules; false if the shapes do not fit.
bool broadcast(const Shape& a, const Shape& b, Shape* out);

// Row-major strides.
void contiguous_strides(const Shape& shape, int64_t* strides);

// "[3, 4]"; returns `buffer`.
constexpr size_t kShapeText = 200;
const char* print(const Shape& shape, char (&buffer)[kShapeText]);

}  // namespace tg
