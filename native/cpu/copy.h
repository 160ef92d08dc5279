// Copies of strided tensors, the building block of every op on a view: ranges in row-major order to
// contiguous memory, and whole tensors to contiguous or strided memory. Compiled once, for the
// baseline. Bytes move unchanged; element sizes 1, 2, 4 and 8.
#pragma once

#include "../core/op.h"
#include "../core/thread_pool.h"

namespace tg::cpu {

// Below this many bytes a copy is not worth waking a thread.
constexpr int64_t kParallelBytes = 256 << 10;

// A view with its adjoining axes merged, prepared once for many calls of gather. Holds no memory;
// the view's data must outlive it.
class GatherPlan {
 public:
  explicit GatherPlan(const TensorView& x);

  // Elements begin … begin + count - 1 of the view in row-major order to contiguous dst, which must
  // not overlap it. 0 ≤ begin, 0 ≤ count, begin + count ≤ the view's count.
  void gather(int64_t begin, int64_t count, void* dst) const {
    gather_from(data_, begin, count, dst);
  }
  // The same with another first element: for many sub-tensors of one layout.
  void gather_from(const void* data, int64_t begin, int64_t count, void* dst) const;

  // The range's own address if the elements lie in order in memory, else null: then no copy is
  // needed.
  const void* direct(int64_t begin) const {
    return contiguous_ ? static_cast<const char*>(data_) + begin * bytes_ : nullptr;
  }

  // The address of element `begin` if enough elements from there on lie in order in memory, with
  // *count cut down to so many; else null. A row that repeats is such a view.
  const void* in_order(int64_t begin, int64_t* count) const {
    constexpr int64_t kWorthwhile = 64;  // elements that outweigh a call of a kernel
    const int64_t inner = dim_[ndim_ - 1];
    if (contiguous_) return direct(begin);
    if (stride_[ndim_ - 1] != 1 || inner < kWorthwhile) return nullptr;
    int64_t at = begin % inner;
    if (inner - at < *count) *count = inner - at;
    begin /= inner;
    for (int i = ndim_ - 2; i >= 0; --i) {
      at += begin % dim_[i] * stride_[i];
      begin /= dim_[i];
    }
    return static_cast<const char*>(data_) + at * bytes_;
  }

  // One element, repeated.
  bool constant() const { return ndim_ == 1 && stride_[0] == 0; }

  // Whether short ranges read a whole cache line for one or two elements, as of a large transposed
  // matrix: then copying all of it first (copy_strided, by blocks) is several times faster than
  // gathering it.
  bool scattered() const {
    return stride_[ndim_ - 1] * bytes_ > 32 && dim_[ndim_ - 1] >= 256 && ndim_ > 1;
  }

 private:
  const void* data_;
  int64_t dim_[kMaxDims], stride_[kMaxDims];  // outermost first; at least one axis
  int ndim_;
  int bytes_;  // of an element
  bool contiguous_;
};

inline void gather(const TensorView& x, int64_t begin, int64_t count, void* dst) {
  GatherPlan(x).gather(begin, count, dst);
}

// All of x to dst in row-major order. No overlap. `threads` may run it in parts.
void copy_strided(ThreadPool& threads, const TensorView& x, void* dst);

// All of x to memory of x's shape at dst with the given strides (in elements; distinct elements
// have distinct places). No overlap.
void copy_into(ThreadPool& threads, const TensorView& x, void* dst, const int64_t* dst_strides);

// count elements of `bytes` bytes equal to the one at `value`.
void fill(ThreadPool& threads, void* dst, int64_t count, const void* value, size_t bytes);

// Parts to cut work of `bytes` moved bytes into: 1 where threads do not pay.
int64_t parts(const ThreadPool& threads, int64_t bytes);

}  // namespace tg::cpu
