// Axes of a strided loop and a cursor over them. No kernels here.
#pragma once

#include <stdint.h>

#include "../core/shape.h"

namespace tg::cpu {

// One axis of a loop over an input, an output and perhaps a second input; strides count elements.
struct Axis {
  int64_t size, in, out, other;
};

// Axes in loop order, outermost first. inner() of none is one element.
struct Axes {
  int n = 0;
  Axis axis[kMaxDims + 1] = {{1, 1, 1, 1}};

  const Axis& inner() const { return axis[n > 0 ? n - 1 : 0]; }

  void push(Axis a) { axis[n++] = a; }

  // Descending strides of the input, so that the innermost axis is the densest; repeats (stride 0)
  // outermost.
  void sort() {
    for (int i = 1; i < n; ++i)
      for (int j = i; j > 0 && rank(axis[j - 1]) < rank(axis[j]); --j) {
        const Axis a = axis[j];
        axis[j] = axis[j - 1];
        axis[j - 1] = a;
      }
  }

  // Drops axes of size 1 and merges neighbours that are one walk through memory.
  void coalesce() {
    int kept = 0;
    for (int i = 0; i < n; ++i) {
      const Axis a = axis[i];
      if (a.size == 1) continue;
      Axis* last = kept ? &axis[kept - 1] : nullptr;
      if (last && last->in == a.in * a.size && last->out == a.out * a.size &&
          last->other == a.other * a.size)
        *last = {last->size * a.size, a.in, a.out, a.other};
      else
        axis[kept++] = a;
    }
    if (kept == 0) axis[kept++] = {1, 1, 1, 1};
    n = kept;
  }

 private:
  static uint64_t rank(const Axis& a) {
    if (a.in == 0) return UINT64_MAX;
    return static_cast<uint64_t>(a.in < 0 ? -a.in : a.in);
  }
};

// A position in row-major order over non-empty axes, moved run by run along the innermost axis.
class Walk {
 public:
  Walk(const Axes& axes, int64_t index) : axes_(axes) {
    for (int i = axes.n - 1; i >= 0; --i) {
      const Axis& a = axes.axis[i];
      at_[i] = i > 0 ? index % a.size : index;
      index /= a.size;
      in_ += at_[i] * a.in;
      out_ += at_[i] * a.out;
      other_ += at_[i] * a.other;
    }
  }
  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  int64_t other() const { return other_; }
  // How far the innermost axis goes on, at most `wanted`.
  int64_t run(int64_t wanted) const {
    const int64_t left = axes_.inner().size - at_[axes_.n - 1];
    return left < wanted ? left : wanted;
  }
  // count <= run(count).
  void advance(int64_t count) {
    int i = axes_.n - 1;
    move(i, count);
    for (; i > 0 && at_[i] == axes_.axis[i].size; --i) {
      move(i, -at_[i]);
      move(i - 1, 1);
    }
  }

 private:
  void move(int i, int64_t by) {
    at_[i] += by;
    in_ += by * axes_.axis[i].in;
    out_ += by * axes_.axis[i].out;
    other_ += by * axes_.axis[i].other;
  }

  const Axes& axes_;
  int64_t at_[kMaxDims + 1] = {};
  int64_t in_ = 0, out_ = 0, other_ = 0;
};

}  // namespace tg::cpu
