// The gradient of a convolution's weight as products of gathered columns with g. Includes no
// kernels and no N-API.
#pragma once

#include "convolution_columns.h"

namespace tg::cpu {

constexpr int64_t kColumnBytes = 96 << 10;  // gathered for a gradient of the weight: in L2
constexpr int64_t kSumBytes = 8 << 20;      // of partial gradients of the weight, added at the end
constexpr int64_t kSumUnits = 16;

// The gradient of the weight: products of columns, as rows, with g, transposed so that its channels
// are the columns. Runs of pixels have sums of their own, [depth, o / groups] for each group, which
// are added in order at the end: runs depend on the shapes only.
template <class T>
class WeightGradient {
 public:
  WeightGradient(const Kernels<T>& kernels, ExecContext* ctx, const Geometry& geometry)
      : kernels_(kernels), ctx_(ctx), s(geometry) {
    const int64_t size = sizeof(T), all = s.n * s.pixels;
    weights_ = s.o * s.depth;
    runs_ = min(min(kSumUnits, all / Pixels::kMax), kSumBytes / (weights_ * size));
    runs_ = max(1, runs_);
    const int64_t tiles = ceil_div(s.depth, kernels.gemm.mr);
    blocks_ = min(tiles, ceil_div(kSumUnits, s.win.groups * runs_));
    chunk_ = min(min(Pixels::kMax, kernels.gemm.kc), ceil_div(all, runs_));
    pitch_ = (ceil_div(chunk_ * size, 64) | 1) * 64 / size;  // odd: not all in the same cache sets
    rows_ = max(1, kColumnBytes / (pitch_ * size * kernels.gemm.mr)) * kernels.gemm.mr;
    rows_ = min(rows_, s.depth);
    vectors_ = ceil_div(s.og, kernels.gemm.lanes);
    panels_ = ceil_div(s.og, kernels.gemm.nr);
  }

  int64_t bytes() const { return bytes_of<T>(runs_ * weights_) + tasks().bytes(); }

  void run(const T* x, const T* g, T* dw, char* scratch) {
    x_ = x, g_ = g;
    sums_ = reinterpret_cast<T*>(scratch);
    tasks().run(ctx_, scratch + bytes_of<T>(runs_ * weights_),
                [&](int64_t unit, char* room) { add_unit(unit, reinterpret_cast<T*>(room)); });
    const int64_t parts = min(kSumUnits, s.depth);
    Tasks(ctx_, s, s.win.groups * parts, 0).run(ctx_, nullptr, [&](int64_t unit, char*) {
      finish(dw, unit / parts, spread(s.depth, parts, unit % parts),
             spread(s.depth, parts, unit % parts + 1));
    });
  }

 private:
  Tasks tasks() const {
    return Tasks(
        ctx_, s, s.win.groups * blocks_ * runs_,
        bytes_of<T>(chunk_ * vectors_ * kernels_.gemm.lanes) + bytes_of<T>(rows_ * pitch_));
  }
  int64_t first_channel(int64_t panel) const {
    return min(s.og, spread(vectors_, panels_, panel) * kernels_.gemm.lanes);
  }

  void add_unit(int64_t unit, T* turned) const {
    const int64_t block = unit % blocks_, run = unit / blocks_ % runs_;
    const int64_t group = unit / blocks_ / runs_, all = s.n * s.pixels;
    const int64_t mr = kernels_.gemm.mr, tiles = ceil_div(s.depth, mr);
    const int64_t d0 = spread(tiles, blocks_, block) * mr;
    const int64_t d1 = min(s.depth, spread(tiles, blocks_, block + 1) * mr);
    const int64_t q0 = spread(all, runs_, run), q1 = spread(all, runs_, run + 1);
    T* columns = turned + bytes_of<T>(chunk_ * vectors_ * kernels_.gemm.lanes) /
                              static_cast<int64_t>(sizeof(T));
    const int64_t chunks = ceil_div(q1 - q0, chunk_);
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const int64_t q = q0 + spread(q1 - q0, chunks, chunk);
      const int64_t count = q0 + spread(q1 - q0, chunks, chunk + 1) - q;
      Pixels pixels(s, Region::all(s), q, count);
      turn(group, q, count, turned);
      for (int64_t r0 = d0; r0 < d1; r0 += rows_) {
        GemmStrip<T> strip = {};
        strip.m = min(rows_, d1 - r0);
        strip.k = count;
        strip.a = columns, strip.a_row = pitch_, strip.a_col = 1;
        strip.c_row = s.og;
        strip.accumulate = chunk > 0;
        gather_rows(group, &pixels, r0, r0 + strip.m, columns);
        for (int64_t panel = 0; panel < panels_; ++panel) {
          const int64_t o = first_channel(panel);
          strip.n = first_channel(panel + 1) - o;
          strip.b = strip.next = turned + o * count;
          strip.b_row = strip.n;
          strip.c = sums_ + run * weights_ + (group * s.depth + r0) * s.og + o;
          kernels_.gemm.strip(strip);
        }
      }
    }
  }

  // Rows r0 … r1 - 1 of the columns, which are (channel, ky, kx).
  void gather_rows(int64_t group, Pixels* pixels, int64_t r0, int64_t r1, T* columns) const {
    for (int64_t tap = 0; tap < s.taps; ++tap) {
      const int64_t c0 = r0 <= tap ? 0 : ceil_div(r0 - tap, s.taps);
      const int64_t c1 = r1 <= tap ? 0 : ceil_div(r1 - tap, s.taps);
      if (c0 < c1)
        gather_tap(kernels_, s, pixels, x_ + group * s.cg * s.h * s.w, tap, c0, c1,
                   columns + (c0 * s.taps + tap - r0) * pitch_, s.taps * pitch_);
    }
  }

  // g of `count` pixels, panel by panel: a row of channels per pixel.
  void turn(int64_t group, int64_t q, int64_t count, T* to) const {
    for (int64_t at = 0; at < count;) {
      const int64_t image = (q + at) / s.pixels, pixel = (q + at) % s.pixels;
      const int64_t length = min(count - at, s.pixels - pixel);
      for (int64_t panel = 0; panel < panels_; ++panel) {
        const int64_t o = first_channel(panel), width = first_channel(panel + 1) - o;
        kernels_.gemm.pack(to + o * count + at * width, width,
                           g_ + (image * s.o + group * s.og + o) * s.pixels + pixel, 1, s.pixels,
                           length, width);
      }
      at += length;
    }
  }

  // Adds the runs' sums of rows d0 … d1 - 1 and turns them to [o / groups, depth].
  void finish(T* dw, int64_t group, int64_t d0, int64_t d1) const {
    T* sum = sums_ + (group * s.depth + d0) * s.og;
    const int64_t n = (d1 - d0) * s.og;
    for (int64_t run = 1; run < runs_; ++run)
      for (int64_t i = 0; i < n; ++i) sum[i] += sum[run * weights_ + i];
    kernels_.gemm.pack(dw + group * s.og * s.depth + d0, s.depth, sum, 1, s.og, s.og, d1 - d0);
  }

  const Kernels<T>& kernels_;
  ExecContext* ctx_;
  const Geometry& s;
  int64_t weights_, runs_, blocks_, chunk_, pitch_, rows_, vectors_, panels_;
  const T *x_ = nullptr, *g_ = nullptr;
  T* sums_ = nullptr;
};

}  // namespace tg::cpu
