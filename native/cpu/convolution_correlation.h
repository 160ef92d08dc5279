// A convolution as products of packed weights with panels of gathered columns. Includes no kernels
// and no N-API.
#pragma once

#include <cstring>

#include "convolution_columns.h"

namespace tg::cpu {

constexpr int64_t kRowBlock = 256;  // rows of weights that stay in L2 while panels pass
constexpr int64_t kPanels = 8;      // that a unit of work makes
constexpr int64_t kPage = 4096;     // rows at this stride fall into the same few cache sets

// Where the weight of output channel `row` of a group for input channel c and tap t lies:
// at[group · group + row · row + c · channel + t · tap].
template <class T>
struct Weights {
  const T* at;
  int64_t group, row, channel, tap;
  const T* bias;  // one per output channel; may be null
};

// y = x * weights + bias. The weights are packed once, (tap, channel) by (tap, channel); then every
// panel of pixels, which may span images, is one product per run of terms. The bias is the weight
// of a first term that is 1 everywhere. The terms of an element, and how they are summed, depend on
// the shapes only: no partition of the work alters its bits.
template <class T>
class Correlation {
 public:
  // Where `regions` has more than one, there is no bias.
  Correlation(const Kernels<T>& kernels, ExecContext* ctx, const Geometry& geometry,
              const Regions& regions, bool bias)
      : kernels_(kernels), ctx_(ctx), s(geometry), regions_(regions) {
    in_place_ = s.plain && s.pixels >= 4 * nr && s.depth > 0 &&
                s.pixels * static_cast<int64_t>(sizeof(T)) % kPage != 0;
    ones_ = bias && !in_place_;
    terms_ = s.depth + ones_;
    per_image_ = ceil_div(s.pixels, nr);
    panels_ = in_place_ ? s.n * per_image_ : 0;
    for (const Region& r : regions_)
      if (!in_place_) panels_ += ceil_div(s.n * r.area(), nr);
    const int64_t threads = ctx->threads->size(), tiles = ceil_div(s.og, mr);
    unit_panels_ = max(1, min(kPanels, panels_ / (4 * threads)));
    panel_units_ = ceil_div(panels_, unit_panels_);
    block_tiles_ = min(kRowBlock / mr, tiles);
    if (panel_units_ * s.win.groups < threads)  // few pixels: threads share the channels
      block_tiles_ = min(block_tiles_, ceil_div(tiles, threads));
    blocks_ = ceil_div(tiles, block_tiles_);
  }

  int64_t bytes() const { return weight_bytes() + tasks().bytes(); }

  void run(const T* x, const Weights<T>& w, T* y, char* scratch) {
    x_ = x, y_ = y, bias_ = w.bias;
    weights_ = reinterpret_cast<T*>(scratch);
    Tasks(ctx_, s, s.win.groups * blocks_ * block_tiles_, 0)
        .run(ctx_, nullptr, [&](int64_t tile, char*) { pack_tile(w, tile); });
    tasks().run(ctx_, scratch + weight_bytes(),
                [&](int64_t unit, char* room) { make_panels(unit, reinterpret_cast<T*>(room)); });
  }

 private:
  int64_t block_rows(int64_t block) const {
    return min(block_tiles_ * mr, s.og - block * block_tiles_ * mr);
  }
  int64_t weight_bytes() const {
    return bytes_of<T>(s.win.groups * blocks_ * block_tiles_ * mr * terms_);
  }
  int64_t panel_elements() const { return max(1, min(terms_, kernels_.gemm.kc)) * nr; }
  Tasks tasks() const {
    return Tasks(ctx_, s, s.win.groups * blocks_ * panel_units_,
                 bytes_of<T>(panel_elements() + block_tiles_ * mr * nr));
  }
  T* packed(int64_t group, int64_t block) const {
    return weights_ + (group * blocks_ + block) * block_tiles_ * mr * terms_;
  }

  // A tile of mr rows: a column per term.
  void pack_tile(const Weights<T>& w, int64_t index) const {
    const int64_t t = index % block_tiles_, block = index / block_tiles_ % blocks_;
    const int64_t group = index / block_tiles_ / blocks_;
    const int64_t rows = block_rows(block), tiles = ceil_div(rows, mr);
    if (t >= tiles) return;
    const int64_t first = spread(rows, tiles, t), count = spread(rows, tiles, t + 1) - first;
    const int64_t row = block * block_tiles_ * mr + first;
    const T* from = w.at + group * w.group + row * w.row;
    T* to = packed(group, block) + t * terms_ * mr;
    if (ones_) {
      for (int64_t r = 0; r < count; ++r) to[r] = w.bias[group * s.og + row + r];
      to += mr;
    }
    for (int64_t tap = 0; tap < s.taps; ++tap)
      for (int64_t c = 0; c < s.cg; ++c, to += mr) {
        const T* p = from + c * w.channel + tap * w.tap;
        for (int64_t r = 0; r < count; ++r) to[r] = p[r * w.row];
      }
  }

  void make_panels(int64_t unit, T* room) const {
    int64_t p = unit % panel_units_ * unit_panels_;
    const int64_t end = min(p + unit_panels_, panels_);
    const int64_t block = unit / panel_units_ % blocks_, group = unit / panel_units_ / blocks_;
    GemmStrip<T> g = {};
    g.m = block_rows(block);
    g.a_row = 1, g.a_col = mr, g.a_tile = mr * terms_;
    for (; in_place_ && p < end; ++p) read_in_place(g, group, block, p);
    int64_t first = 0;  // panel of the region
    for (const Region& r : regions_) {
      const int64_t count = ceil_div(s.n * r.area(), nr);
      for (; p >= first && p < min(first + count, end); ++p)
        read_columns(g, group, block, r, (p - first) * nr, room);
      first += count;
    }
  }

  T* result(int64_t group, int64_t block, int64_t image, int64_t pixel) const {
    const int64_t row = group * s.og + block * block_tiles_ * mr;
    return y_ + (image * s.o + row) * s.pixels + pixel;
  }

  // f(k0, k1): terms k0 … k1 - 1 of a region, in runs of at most kc that lie together.
  template <class F>
  void each_run(const Region& r, F f) const {
    const bool joined = r.kx.size() == s.win.kernel[1];
    for (int64_t ky = r.ky.begin; ky < r.ky.end; ++ky) {
      const int64_t last = joined ? r.ky.end - 1 : ky;
      const int64_t k0 = (ky * s.win.kernel[1] + r.kx.begin) * s.cg + (ky > 0 ? ones_ : 0);
      const int64_t count = (last * s.win.kernel[1] + r.kx.end) * s.cg + ones_ - k0;
      const int64_t parts = ceil_div(count, kernels_.gemm.kc);
      for (int64_t i = 0; i < parts; ++i)
        f(k0 + spread(count, parts, i), k0 + spread(count, parts, i + 1));
      ky = last;
    }
  }

  void read_in_place(GemmStrip<T> g, int64_t group, int64_t block, int64_t p) const {
    const int64_t image = p / per_image_, pixel = p % per_image_ * nr;
    const T* x = x_ + (image * s.c + group * s.cg) * s.pixels + pixel;
    const T* a = packed(group, block);
    g.n = min(nr, s.pixels - pixel);
    g.b_row = g.next_row = s.pixels;
    g.c = result(group, block, image, pixel);
    g.c_row = s.pixels;
    if (bias_) {
      const T* bias = bias_ + group * s.og + block * block_tiles_ * mr;
      for (int64_t r = 0; r < g.m; ++r)
        for (int64_t i = 0; i < g.n; ++i) g.c[r * g.c_row + i] = bias[r];
      g.accumulate = true;
    }
    each_run(*regions_.begin(), [&](int64_t k0, int64_t k1) {
      g.a = a + k0 * mr;
      g.k = k1 - k0;
      g.b = x + k0 * s.pixels;
      g.next = pixel + 2 * nr <= s.pixels ? g.b + nr : g.b;
      kernels_.gemm.strip(g);
      g.accumulate = true;
    });
  }

  void read_columns(GemmStrip<T> g, int64_t group, int64_t block, const Region& region, int64_t q,
                    T* panel) const {
    const int64_t image = q / s.pixels, pixel = q % s.pixels;
    g.n = min(nr, s.n * region.area() - q);
    Pixels pixels(s, region, q, g.n);
    const bool direct = region.area() == s.pixels && pixel + g.n <= s.pixels;
    T* const whole = panel + panel_elements();
    g.b = g.next = panel;
    g.b_row = nr;
    g.c = direct ? result(group, block, image, pixel) : whole;
    g.c_row = direct ? s.pixels : nr;
    const T* x = x_ + group * s.cg * s.h * s.w;
    const T* a = packed(group, block);
    each_run(region, [&](int64_t k0, int64_t k1) {
      int64_t k = k0;
      if (ones_ && k == 0) {
        for (int64_t i = 0; i < g.n; ++i) panel[i] = 1;
        ++k;
      }
      while (k < k1) {
        const int64_t tap = (k - ones_) / s.cg, c0 = (k - ones_) % s.cg;
        const int64_t c1 = min(s.cg, c0 + k1 - k);
        gather_tap(kernels_, s, &pixels, x, tap, c0, c1, panel + (k - k0) * nr, nr);
        k += c1 - c0;
      }
      g.a = a + k0 * mr;
      g.k = k1 - k0;
      kernels_.gemm.strip(g);
      g.accumulate = true;
    });
    if (!g.accumulate)  // no terms
      for (int64_t i = 0; i < g.m; ++i)
        std::memset(g.c + i * g.c_row, 0, static_cast<size_t>(g.n) * sizeof(T));
    if (direct) return;
    Gather<T> out;
    out.runs = pixels.places(&out.n_runs);
    out.step = 1;
    out.rows = g.m;
    out.from = whole;
    out.from_row = nr;
    out.to = result(group, block, 0, 0);
    out.to_row = s.pixels;
    kernels_.convolution.gather(out);
  }

  const Kernels<T>& kernels_;
  ExecContext* ctx_;
  const Geometry& s;
  const Regions& regions_;
  const int64_t mr = kernels_.gemm.mr, nr = kernels_.gemm.nr;
  bool in_place_, ones_;
  int64_t terms_, per_image_, panels_, unit_panels_, panel_units_, block_tiles_, blocks_;
  const T *x_ = nullptr, *bias_ = nullptr;
  T *y_ = nullptr, *weights_ = nullptr;
};

}  // namespace tg::cpu
