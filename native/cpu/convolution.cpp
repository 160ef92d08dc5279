// Convolution as matrix products over columns that are gathered a panel at a time, in the cache, and
// never all at once. The adjoint in x is itself a convolution where the stride is 1. No N-API.
#include "convolution.h"

#include <cstring>

#include "../core/thread_pool.h"
#include "contiguous.h"
#include "convolution_geometry.h"

namespace tg::cpu {
namespace {

constexpr double kThreadFlops = 1 << 20;   // below this, threads cost more than they give
constexpr int64_t kRowBlock = 256;         // rows of weights that stay in L2 while panels pass
constexpr int64_t kPanels = 8;             // that a unit of work makes
constexpr double kMaxWaste = 1.2;          // of lanes, in regions that do not fill their registers
constexpr int64_t kColumnBytes = 96 << 10; // gathered for a gradient of the weight: in L2
constexpr int64_t kSumBytes = 8 << 20;     // of partial gradients of the weight, added at the end
constexpr int64_t kSumUnits = 16;
constexpr int64_t kPage = 4096;  // rows at this stride fall into the same few cache sets

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
// Where part `index` of `parts` begins when `count` things are spread evenly.
int64_t spread(int64_t count, int64_t parts, int64_t index) {
  return count / parts * index + smaller(index, count % parts);
}
template <class T>
int64_t bytes_of(int64_t elements) {
  return Contiguous::aligned(elements * static_cast<int64_t>(sizeof(T)));
}

template <class T>
struct Kernels {
  const GemmKernels<T>& gemm;
  const ConvolutionKernels<T>& convolution;
};

// Units of work that any thread may do, in tasks that each have `room` bytes of scratch.
struct Tasks {
  int64_t units, tasks, room;
  Tasks(ExecContext* ctx, const Geometry& s, int64_t count, int64_t bytes)
      : units(count), room(bytes) {
    const int64_t threads = ctx->threads->size();
    tasks = s.flops() < kThreadFlops || threads == 1 ? 1 : larger(1, smaller(units, 4 * threads));
  }
  // What no machine has is asked for as such, lest the product overflow.
  int64_t bytes() const {
    constexpr int64_t kTooMuch = int64_t{1} << 50;
    return room > kTooMuch / 1024 ? kTooMuch : tasks * room;
  }
  // f(unit, scratch)
  template <class F>
  void run(ExecContext* ctx, char* scratch, F f) const {
    parallel(*ctx->threads, tasks, [&](int64_t task) {
      for (int64_t u = spread(units, tasks, task); u < spread(units, tasks, task + 1); ++u)
        f(u, scratch + task * room);
    });
  }
};

// The columns that tap (ky, kx) sees of channels c0 … c1 - 1 of a group, as rows `to_row` apart; x is
// the group's first channel in image 0.
template <class T>
void gather_tap(const Kernels<T>& kernels, const Geometry& s, Pixels* pixels, const T* x,
                int64_t tap, int64_t c0, int64_t c1, T* to, int64_t to_row) {
  Gather<T> g;
  g.runs = pixels->runs(tap / s.win.kernel[1], tap % s.win.kernel[1], &g.n_runs);
  g.step = s.win.stride[1];
  g.rows = c1 - c0;
  g.from_row = s.h * s.w;
  g.from = x + c0 * g.from_row;
  g.to = to;
  g.to_row = to_row;
  kernels.convolution.gather(g);
}

// Where the weight of output channel `row` of a group for input channel c and tap t lies:
// at[group · group + row · row + c · channel + t · tap].
template <class T>
struct Weights {
  const T* at;
  int64_t group, row, channel, tap;
  const T* bias;  // one per output channel; may be null
};

// y = x * weights + bias. The weights are packed once, (tap, channel) by (tap, channel); then every
// panel of pixels, which may span images, is one product per run of terms. The bias is the weight of
// a first term that is 1 everywhere. The terms of an element, and how they are summed, depend on the
// shapes only: no partition of the work alters its bits.
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
    unit_panels_ = larger(1, smaller(kPanels, panels_ / (4 * threads)));
    panel_units_ = ceil_div(panels_, unit_panels_);
    block_tiles_ = smaller(kRowBlock / mr, tiles);
    if (panel_units_ * s.win.groups < threads)  // few pixels: threads share the channels
      block_tiles_ = smaller(block_tiles_, ceil_div(tiles, threads));
    blocks_ = ceil_div(tiles, block_tiles_);
  }

  int64_t bytes() const { return weight_bytes() + tasks().bytes(); }

  void run(const T* x, const Weights<T>& w, T* y, char* scratch) {
    x_ = x, y_ = y, bias_ = w.bias;
    weights_ = reinterpret_cast<T*>(scratch);
    Tasks(ctx_, s, s.win.groups * blocks_ * block_tiles_, 0)
        .run(ctx_, nullptr, [&](int64_t tile, char*) { pack_tile(w, tile); });
    tasks().run(ctx_, scratch + weight_bytes(), [&](int64_t unit, char* room) {
      make_panels(unit, reinterpret_cast<T*>(room));
    });
  }

 private:
  int64_t block_rows(int64_t block) const {
    return smaller(block_tiles_ * mr, s.og - block * block_tiles_ * mr);
  }
  int64_t weight_bytes() const {
    return bytes_of<T>(s.win.groups * blocks_ * block_tiles_ * mr * terms_);
  }
  int64_t panel_elements() const { return larger(1, smaller(terms_, kernels_.gemm.kc)) * nr; }
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
    const int64_t end = smaller(p + unit_panels_, panels_);
    const int64_t block = unit / panel_units_ % blocks_, group = unit / panel_units_ / blocks_;
    GemmStrip<T> g = {};
    g.m = block_rows(block);
    g.a_row = 1, g.a_col = mr, g.a_tile = mr * terms_;
    for (; in_place_ && p < end; ++p) read_in_place(g, group, block, p);
    int64_t first = 0;  // panel of the region
    for (const Region& r : regions_) {
      const int64_t count = ceil_div(s.n * r.area(), nr);
      for (; p >= first && p < smaller(first + count, end); ++p)
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
    g.n = smaller(nr, s.pixels - pixel);
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
    g.n = smaller(nr, s.n * region.area() - q);
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
        const int64_t c1 = smaller(s.cg, c0 + k1 - k);
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
    kernels_.convolution.copy(out);
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

template <class T>
Status forward(const Kernels<T>& kernels, ExecContext* ctx, const OpCall& call) {
  const Geometry s(call.in[0].shape, call.out.shape, call.attrs.window);
  if (call.out.shape.count() == 0) return Status::ok;
  const bool bias = call.op == op_conv2d;
  const Regions all(Region::all(s));
  Correlation<T> product(kernels, ctx, s, all, bias);
  Contiguous in(ctx, call);
  TG_TRY(in.prepare(product.bytes()));
  const Weights<T> w = {in.in<T>(1), s.og * s.depth,           s.depth, s.taps,
                        1,           bias ? in.in<T>(2) : nullptr};
  product.run(in.in<T>(0), w, static_cast<T*>(call.out.data), in.extra());
  return Status::ok;
}

// With stride 1, the adjoint is the convolution of g with the kernels turned by half a circle, inputs
// and outputs exchanged. What g's padding would add is left out, region by region; where regions are
// too many or too small for that, the products are scattered.
template <class T>
Status adjoint_input(const Kernels<T>& kernels, const GemmTable& table, ExecContext* ctx,
                     const OpCall& call) {
  if (call.out.shape.count() == 0) return Status::ok;
  Attrs::Window window = call.attrs.window;
  if (window.stride[0] != 1 || window.stride[1] != 1) return run_conv2d_scatter(table, ctx, call);
  for (int i = 0; i < 2; ++i)
    window.padding[i] = window.dilation[i] * (window.kernel[i] - 1) - window.padding[i];
  const Geometry s(call.in[0].shape, call.out.shape, window);
  const Regions regions(s);
  double useful = 0, paid = 0;
  for (const Region& r : regions) {
    const int64_t pixels = s.n * r.area(), lanes = kernels.gemm.lanes;
    useful += static_cast<double>(pixels) * static_cast<double>(r.taps());
    paid += static_cast<double>(ceil_div(pixels, lanes) * lanes) * static_cast<double>(r.taps());
  }
  if (!(paid <= kMaxWaste * useful) || useful == 0) return run_conv2d_scatter(table, ctx, call);
  Correlation<T> product(kernels, ctx, s, regions, false);
  Contiguous in(ctx, call);
  TG_TRY(in.prepare(product.bytes()));
  const Weights<T> w = {in.in<T>(1) + s.taps - 1, s.cg * s.og * s.taps, s.taps, s.og * s.taps, -1,
                        nullptr};
  product.run(in.in<T>(0), w, static_cast<T*>(call.out.data), in.extra());
  return Status::ok;
}

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
    runs_ = smaller(smaller(kSumUnits, all / Pixels::kMax), kSumBytes / (weights_ * size));
    runs_ = larger(1, runs_);
    const int64_t tiles = ceil_div(s.depth, kernels.gemm.mr);
    blocks_ = smaller(tiles, ceil_div(kSumUnits, s.win.groups * runs_));
    chunk_ = smaller(smaller(Pixels::kMax, kernels.gemm.kc), ceil_div(all, runs_));
    pitch_ = (ceil_div(chunk_ * size, 64) | 1) * 64 / size;  // odd: not all in the same cache sets
    rows_ = larger(1, kColumnBytes / (pitch_ * size * kernels.gemm.mr)) * kernels.gemm.mr;
    rows_ = smaller(rows_, s.depth);
    vectors_ = ceil_div(s.og, kernels.gemm.lanes);
    panels_ = ceil_div(s.og, kernels.gemm.nr);
  }

  int64_t bytes() const { return bytes_of<T>(runs_ * weights_) + tasks().bytes(); }

  void run(const T* x, const T* g, T* dw, char* scratch) {
    x_ = x, g_ = g;
    sums_ = reinterpret_cast<T*>(scratch);
    tasks().run(ctx_, scratch + bytes_of<T>(runs_ * weights_), [&](int64_t unit, char* room) {
      add_unit(unit, reinterpret_cast<T*>(room));
    });
    const int64_t parts = smaller(kSumUnits, s.depth);
    Tasks(ctx_, s, s.win.groups * parts, 0).run(ctx_, nullptr, [&](int64_t unit, char*) {
      finish(dw, unit / parts, spread(s.depth, parts, unit % parts),
             spread(s.depth, parts, unit % parts + 1));
    });
  }

 private:
  Tasks tasks() const {
    return Tasks(ctx_, s, s.win.groups * blocks_ * runs_,
                 bytes_of<T>(chunk_ * vectors_ * kernels_.gemm.lanes) +
                     bytes_of<T>(rows_ * pitch_));
  }
  int64_t first_channel(int64_t panel) const {
    return smaller(s.og, spread(vectors_, panels_, panel) * kernels_.gemm.lanes);
  }

  void add_unit(int64_t unit, T* turned) const {
    const int64_t block = unit % blocks_, run = unit / blocks_ % runs_;
    const int64_t group = unit / blocks_ / runs_, all = s.n * s.pixels;
    const int64_t mr = kernels_.gemm.mr, tiles = ceil_div(s.depth, mr);
    const int64_t d0 = spread(tiles, blocks_, block) * mr;
    const int64_t d1 = smaller(s.depth, spread(tiles, blocks_, block + 1) * mr);
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
        strip.m = smaller(rows_, d1 - r0);
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
      const int64_t length = smaller(count - at, s.pixels - pixel);
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

template <class T>
Status adjoint_weight(const Kernels<T>& kernels, ExecContext* ctx, const OpCall& call) {
  const Geometry s(call.in[0].shape, call.in[1].shape, call.attrs.window);
  if (call.out.shape.count() == 0) return Status::ok;
  if (s.n * s.pixels == 0) {
    std::memset(call.out.data, 0, call.out.bytes());
    return Status::ok;
  }
  WeightGradient<T> gradient(kernels, ctx, s);
  Contiguous in(ctx, call);
  TG_TRY(in.prepare(gradient.bytes()));
  gradient.run(in.in<T>(0), in.in<T>(1), static_cast<T*>(call.out.data), in.extra());
  return Status::ok;
}

template <class F>
Status by_dtype(const ConvolutionKernelTables& tables, ExecContext* ctx, const OpCall& call, F f) {
  ctx->trace.variant = "columns";
  if (call.out.dtype == DType::float32)
    return f(Kernels<float>{tables.gemm.f32, tables.convolution.f32});
  return f(Kernels<double>{tables.gemm.f64, tables.convolution.f64});
}

}  // namespace

Status run_conv2d(const ConvolutionKernelTables& tables, ExecContext* ctx, const OpCall& call) {
  return by_dtype(tables, ctx, call, [&](const auto& k) { return forward(k, ctx, call); });
}

Status run_conv2d_input(const ConvolutionKernelTables& tables, ExecContext* ctx,
                        const OpCall& call) {
  return by_dtype(tables, ctx, call,
                  [&](const auto& k) { return adjoint_input(k, tables.gemm, ctx, call); });
}

Status run_conv2d_weight(const ConvolutionKernelTables& tables, ExecContext* ctx,
                         const OpCall& call) {
  return by_dtype(tables, ctx, call, [&](const auto& k) { return adjoint_weight(k, ctx, call); });
}

}  // namespace tg::cpu
