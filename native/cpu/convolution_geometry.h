// The sizes of a convolution, and what each tap of its kernel sees of a range of result pixels.
// Includes no kernels and no driver.
#pragma once

#include "../core/op.h"
#include "convolution_table.h"

namespace tg::cpu {

// Sizes, as textbooks name them. The input is [n, c, h, w], the result [n, o, oh, ow].
struct Geometry {
  int64_t n, c, h, w, o, oh, ow;
  Attrs::Window win;
  int64_t cg, og;  // channels of a group
  int64_t taps;    // kh · kw
  int64_t depth;   // cg · taps: rows of the columns of a group
  int64_t pixels;  // oh · ow
  bool plain;      // the columns are the input itself

  Geometry(const Shape& x, const Shape& y, const Attrs::Window& window) : win(window) {
    n = x[0], c = x[1], h = x[2], w = x[3];
    o = y[1], oh = y[2], ow = y[3];
    cg = c / win.groups, og = o / win.groups;
    taps = win.kernel[0] * win.kernel[1];
    depth = cg * taps;
    pixels = oh * ow;
    plain = taps == 1 && win.stride[0] == 1 && win.stride[1] == 1 && win.padding[0] == 0 &&
            win.padding[1] == 0;
  }
  double flops() const {  // of a size that int64_t may not hold
    return 2.0 * static_cast<double>(n) * static_cast<double>(o) * static_cast<double>(pixels) *
           static_cast<double>(depth < 1 ? 1 : depth);
  }
};

// Rows and columns of the result, begin … end - 1, and taps of the kernel that are of use there.
struct Region {
  struct Range {
    int64_t begin, end;
    int64_t size() const { return end - begin; }
  };
  Range rows, columns, ky, kx;

  int64_t area() const { return rows.size() * columns.size(); }
  int64_t taps() const { return ky.size() * kx.size(); }
  static Region all(const Geometry& s) {
    return {{0, s.oh}, {0, s.ow}, {0, s.win.kernel[0]}, {0, s.win.kernel[1]}};
  }
};

// The regions of a result whose taps all lie inside the input: none of their terms is padding.
class Regions {
 public:
  // For stride 1. None if there were too many to be of use.
  explicit Regions(const Geometry& s) {
    Region::Range rows[kMaxRanges], ky[kMaxRanges], columns[kMaxRanges], kx[kMaxRanges];
    const int n_rows = cut(s.win, 0, s.h, s.oh, rows, ky);
    const int n_columns = cut(s.win, 1, s.w, s.ow, columns, kx);
    for (int i = 0; i < n_rows; ++i)
      for (int j = 0; j < n_columns; ++j) at_[count_++] = {rows[i], columns[j], ky[i], kx[j]};
  }
  explicit Regions(const Region& all) : count_(1) { at_[0] = all; }

  const Region* begin() const { return at_; }
  const Region* end() const { return at_ + count_; }

 private:
  static constexpr int kMaxRanges = 11;  // three taps: 5; four on one side and four on the other: 9

  // Ranges of an axis of `count` results over `size` inputs that have the same taps inside.
  static int cut(const Attrs::Window& win, int axis, int64_t size, int64_t count, Region::Range* at,
                 Region::Range* taps) {
    const int64_t d = win.dilation[axis], padding = win.padding[axis];
    int n = 0;
    for (int64_t i = 0; i < count; ++i) {
      // Tap k is inside if 0 <= i + k · d - padding < size.
      const int64_t before = padding - i, behind = size + padding - i;
      const int64_t k0 = before > 0 ? (before + d - 1) / d : 0;
      int64_t k1 = behind > 0 ? (behind + d - 1) / d : 0;
      k1 = k1 < win.kernel[axis] ? k1 : win.kernel[axis];
      const Region::Range range = {k0 < k1 ? k0 : 0, k0 < k1 ? k1 : 0};
      if (n > 0 && taps[n - 1].begin == range.begin && taps[n - 1].end == range.end) {
        at[n - 1].end = i + 1;
      } else {
        if (n == kMaxRanges) return 0;
        at[n] = {i, i + 1};
        taps[n++] = range;
      }
    }
    return n;
  }

  Region at_[kMaxRanges * kMaxRanges];
  int count_ = 0;
};

// Some pixels of a region of the result, counted through all images, and where the taps of the
// kernel find them.
class Pixels {
 public:
  static constexpr int64_t kMax = 512;

  // The pixels q … q + count - 1, at most kMax.
  Pixels(const Geometry& s, const Region& region, int64_t q, int64_t count) : s_(s) {
    const int64_t area = region.area(), width = region.columns.size();
    int64_t image = q / area, oy = region.rows.begin + q % area / width;
    int64_t ox = region.columns.begin + q % area % width;
    for (int64_t at = 0; at < count; ox = region.columns.begin) {
      const int64_t rest = region.columns.end - ox;
      const int64_t length = rest < count - at ? rest : count - at;
      rows_[n_rows_++] = {at, image, oy, ox, length};
      at += length;
      if (++oy == region.rows.end) oy = region.rows.begin, ++image;
    }
  }

  // Where they lie in the result: runs of a channel's plane, `to` counts from image 0's.
  const GatherRun* places(int64_t* n_runs) {
    n_runs_ = 0;
    for (int64_t i = 0; i < n_rows_; ++i) {
      const Row& r = rows_[i];
      runs_[n_runs_++] = {r.image * s_.o * s_.pixels + r.oy * s_.ow + r.ox, r.at, r.count};
    }
    *n_runs = n_runs_;
    return runs_;
  }

  // What tap (ky, kx) sees, as runs of a channel's plane; `from` counts from image 0's.
  const GatherRun* runs(int64_t ky, int64_t kx, int64_t* n_runs) {
    const int64_t stride = s_.win.stride[1];
    const int64_t offset = kx * s_.win.dilation[1] - s_.win.padding[1];
    n_runs_ = 0;
    for (int64_t i = 0; i < n_rows_; ++i) {
      const Row& r = rows_[i];
      const int64_t y = r.oy * s_.win.stride[0] + ky * s_.win.dilation[0] - s_.win.padding[0];
      const int64_t x = r.ox * stride + offset, room = s_.w - x;
      const int64_t lo = y < 0 || y >= s_.h ? r.count : within(x < 0 ? steps(-x, stride) : 0, r);
      const int64_t hi = max(lo, within(room > 0 ? steps(room, stride) : 0, r));
      if (lo > 0) add(r.at, GatherRun::kPadding, lo);
      if (hi > lo) add(r.at + lo, (r.image * s_.c * s_.h + y) * s_.w + x + lo * stride, hi - lo);
      if (hi < r.count) add(r.at + hi, GatherRun::kPadding, r.count - hi);
    }
    *n_runs = n_runs_;
    return runs_;
  }

 private:
  struct Row {
    int64_t at, image, oy, ox, count;
  };
  static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
  static int64_t within(int64_t i, const Row& r) { return i < r.count ? i : r.count; }
  static int64_t steps(int64_t length, int64_t stride) {
    return stride == 1 ? length : (length + stride - 1) / stride;
  }
  // Every run has pixels of its own, so there are never more than kMax.
  void add(int64_t to, int64_t from, int64_t count) {
    if (n_runs_ > 0) {
      GatherRun& last = runs_[n_runs_ - 1];
      const bool both = from == GatherRun::kPadding && last.from == GatherRun::kPadding;
      const bool next = from != GatherRun::kPadding && last.from != GatherRun::kPadding &&
                        s_.win.stride[1] == 1 && from == last.from + last.count;
      if (both || next) {
        last.count += count;
        return;
      }
    }
    runs_[n_runs_++] = {to, from, count};
  }

  const Geometry& s_;
  Row rows_[kMax];
  GatherRun runs_[kMax];
  int64_t n_rows_ = 0, n_runs_ = 0;
};

}  // namespace tg::cpu
