// The positions of an index tensor, sorted by the rows that they name: what makes sums by index
// repeatable.
#pragma once

#include "indices.h"

namespace tg::cuda {

// Positions with the row that each belongs to.
struct Keys {
  uint32_t *row, *position;
};

// Where the positions of a row lie among the sorted keys. Both are 0 for rows without any.
struct Rows {
  uint32_t *first, *past;
};

// Positions of the same row are in their order. Those out of range have row `none` and come last.
struct Order {
  Keys keys;
  uint32_t none;
  Rows rows;
};

// Parts of one block of scratch.
struct Parts {
  size_t bytes = 0;
  size_t add(int64_t count, size_t size) {
    const size_t at = bytes;
    bytes += (static_cast<size_t>(count) * size + 255) / 256 * 256;
    return at;
  }
};

// Bytes of scratch that an order lives in; at most 2^31 - 1 indices.
size_t order_bytes(const Indices& indices);
// Sorts in `memory`; bad indices are noted.
Status sort_indices(ExecContext* ctx, const Indices& indices, void* memory, Order* order);

}  // namespace tg::cuda
