// The adjoint of a convolution with any stride, by tiles: for some output pixels of one image a
// matrix product makes the columns of the input that they see, and these are added to it. There is
// never a buffer for all columns. No kernels, no N-API.
#include "convolution.h"

#include <cstring>

#include "../core/thread_pool.h"
#include "contiguous.h"
#include "convolution_geometry.h"
#include "gemm.h"

namespace tg::cpu {
namespace {

constexpr int64_t kTileBytes = 256 << 10;  // of columns: they stay in the second cache
constexpr int64_t kMinTile = 64;           // pixels
constexpr int64_t kMaxTile = 2048;
constexpr double kThreadFlops = 1 << 20;  // below this, threads cost more than they give

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t aligned(int64_t bytes) { return Contiguous::aligned(bytes); }

// Pixels of a tile whose columns have `rows` rows; a function of the shapes only.
int64_t tile_of(const Geometry& s, int64_t rows, int64_t size) {
  int64_t t = kTileBytes / max(1, rows * size);
  t = max(kMinTile, min(kMaxTile, t / kMinTile * kMinTile));
  return max(1, min(t, s.pixels));
}

// What one tap sees of the input along a row: output columns lo … hi - 1 lie inside, and column ox
// is input column ox · stride + offset.
struct Tap {
  int64_t offset, lo, hi;
  Tap(const Geometry& s, int64_t kx) {
    const int64_t stride = s.win.stride[1];
    offset = kx * s.win.dilation[1] - s.win.padding[1];
    lo = offset < 0 ? (-offset + stride - 1) / stride : 0;
    hi = offset < s.w ? min(s.ow, (s.w - offset + stride - 1) / stride) : 0;
    lo = min(lo, s.ow);
    hi = max(lo, hi);
  }
};

// f(at, ox, count, oy): pixels p0 … p1 - 1 row by row; `at` counts from p0.
template <class F>
void each_row(const Geometry& s, int64_t p0, int64_t p1, F f) {
  int64_t oy = p0 / s.ow, ox = p0 % s.ow;
  for (int64_t p = p0; p < p1; ox = 0, ++oy) {
    const int64_t count = min(s.ow - ox, p1 - p);
    f(p - p0, ox, count, oy);
    p += count;
  }
}

// Adds the columns to the planes that they see.
template <class T>
void scatter_columns(const Geometry& s, const T* from, int64_t channels, int64_t p0, int64_t p1,
                     T* x) {
  for (int64_t c = 0; c < channels; ++c, x += s.h * s.w)
    for (int64_t ky = 0; ky < s.win.kernel[0]; ++ky)
      for (int64_t kx = 0; kx < s.win.kernel[1]; ++kx, from += p1 - p0) {
        const Tap tap(s, kx);
        each_row(s, p0, p1, [&](int64_t at, int64_t ox, int64_t count, int64_t oy) {
          const int64_t y = oy * s.win.stride[0] + ky * s.win.dilation[0] - s.win.padding[0];
          if (y < 0 || y >= s.h) return;
          const T* row = from + at - ox;
          const int64_t lo = max(tap.lo, ox), hi = min(tap.hi, ox + count);
          const int64_t step = s.win.stride[1];
          T* line = x + y * s.w + tap.offset;
          if (step == 1)
            for (int64_t i = lo; i < hi; ++i) line[i] += row[i];
          else
            for (int64_t i = lo; i < hi; ++i) line[i * step] += row[i];
        });
      }
}

// Scratch and threads of a convolution: units of work that any thread may do, in tasks that each
// have their own columns and room for gemm. Nested products run on the task's own thread; a single
// task leaves the threads to its products.
struct Plan {
  ThreadPool alone{1};
  ThreadPool* inner;
  int64_t units, tasks, columns, packed;

  Plan(ExecContext* ctx, const Geometry& s, int64_t count) : units(count), columns(0), packed(0) {
    const int64_t threads = ctx->threads->size();
    tasks = s.flops() < kThreadFlops || threads == 1 ? 1 : max(1, min(units, 4 * threads));
    inner = tasks == 1 ? ctx->threads : &alone;
  }
  template <class T>
  void reserve(const GemmTable& table, const GemmArgs<T>& args) {
    packed =
        max(packed, aligned(static_cast<int64_t>(gemm_scratch_bytes(table, args, inner->size()))));
  }
  // What no machine has is asked for as such, lest the product overflow.
  int64_t bytes() const {
    constexpr int64_t kTooMuch = int64_t{1} << 50;
    return columns + packed > kTooMuch / 1024 ? kTooMuch : tasks * (columns + packed);
  }

  // f(unit, columns, room for gemm)
  template <class T, class F>
  void run(ExecContext* ctx, char* scratch, F f) {
    parallel(*ctx->threads, tasks, [&](int64_t task) {
      char* mine = scratch + task * (columns + packed);
      for (int64_t unit = units * task / tasks; unit < units * (task + 1) / tasks; ++unit)
        f(unit, reinterpret_cast<T*>(mine), packed ? mine + columns : nullptr);
    });
  }
};

// Tiles of `tile` pixels and the last, smaller one: both need room.
template <class T, class F>
void reserve_tiles(Plan* plan, const GemmTable& table, const Geometry& s, int64_t tile, F args) {
  plan->reserve(table, static_cast<GemmArgs<T>>(args(tile)));
  if (s.pixels % tile) plan->reserve(table, static_cast<GemmArgs<T>>(args(s.pixels % tile)));
}

// Channels that a unit of an adjoint works on: all of a group where there are units enough.
int64_t channel_block(const Geometry& s, int64_t units) {
  return max(1, units >= 16 ? s.cg : min(s.cg, 256 / max(1, s.taps)));
}

template <class T>
Status adjoint_input(const GemmTable& table, ExecContext* ctx, const OpCall& call) {
  const Geometry s(call.out.shape, call.in[0].shape, call.attrs.window);
  ctx->trace.variant = "scatter";
  if (call.out.shape.count() == 0) return Status::ok;
  const int64_t size = sizeof(T), block = channel_block(s, s.n * s.win.groups);
  const int64_t blocks = (s.cg + block - 1) / block, tile = tile_of(s, block * s.taps, size);
  Plan plan(ctx, s, s.n * s.win.groups * blocks);
  const auto product = [&](int64_t channels, int64_t count) {
    GemmArgs<T> a;
    a.m = channels * s.taps, a.n = count, a.k = s.og;
    a.a = nullptr, a.a_row = 1, a.a_col = s.depth;
    a.b = nullptr, a.b_row = s.pixels, a.b_col = 1;
    a.c = nullptr, a.c_row = count;
    return a;
  };
  const int64_t last = s.cg - (blocks - 1) * block;
  plan.columns = aligned(block * s.taps * tile * size);
  reserve_tiles<T>(&plan, table, s, tile, [&](int64_t n) { return product(block, n); });
  reserve_tiles<T>(&plan, table, s, tile, [&](int64_t n) { return product(last, n); });
  Contiguous in(ctx, call);
  TG_TRY(in.prepare(plan.bytes()));
  const T *g = in.in<T>(0), *w = in.in<T>(1);
  T* dx = static_cast<T*>(call.out.data);
  plan.run<T>(ctx, in.extra(), [&](int64_t unit, T* columns, void* room) {
    const int64_t image = unit / blocks / s.win.groups, group = unit / blocks % s.win.groups;
    const int64_t c0 = unit % blocks * block, channels = min(block, s.cg - c0);
    T* planes = dx + (image * s.c + group * s.cg + c0) * s.h * s.w;
    std::memset(planes, 0, static_cast<size_t>(channels * s.h * s.w) * sizeof(T));
    for (int64_t p0 = 0; p0 < s.pixels; p0 += tile) {
      const int64_t p1 = min(p0 + tile, s.pixels);
      GemmArgs<T> a = product(channels, p1 - p0);
      a.a = w + group * s.og * s.depth + c0 * s.taps;
      a.b = g + (image * s.o + group * s.og) * s.pixels + p0;
      a.c = columns;
      gemm(table, a, room, *plan.inner);
      scatter_columns(s, columns, channels, p0, p1, planes);
    }
  });
  return Status::ok;
}

}  // namespace

Status run_conv2d_scatter(const GemmTable& table, ExecContext* ctx, const OpCall& call) {
  return call.out.dtype == DType::float32 ? adjoint_input<float>(table, ctx, call)
                                          : adjoint_input<double>(table, ctx, call);
}

}  // namespace tg::cpu
