// Convolutions, and their adjoints in the input, as products of the weights with columns of the
// source. A block makes a tile of some channels by some pixels; the columns are gathered while they
// are loaded into shared memory.
#include "convolution_kernels.h"
#include "convolution_tile.h"
#include "walk.h"

namespace tg::cuda {
namespace {

// The terms of a sum, by channel, row and column of the kernel: see narrow_offsets.
using Terms = Walk<1, int>;

// How results are cut into tiles: by rows, then pixels of all images, groups, and phases.
struct Cut {
  unsigned row_tiles, pixel_tiles, groups;
  bool vectors;  // neighbours in a tile are in memory, too, and aligned
};

template <class T, class Product>
__global__ void __launch_bounds__(Product::kThreads, 2)
    correlate(const __grid_constant__ Correlation<T, int> s, Cut cut) {
  using C = Compute<T>;
  constexpr int kM = Product::kRows, kN = Product::kColumns, kK = Product::kDepth;
  constexpr int kThreadRows = Product::kThreads / kK, kThreadTerms = Product::kThreads / kN;
  constexpr int kA = kM / kThreadRows, kB = kK / kThreadTerms;
  __shared__ typename Product::Shared shared;
  __shared__ int64_t places[kN];  // of the tile's pixels in y, for row 0; -1: there is none
  const unsigned row_tile = blockIdx.x % cut.row_tiles, others = blockIdx.x / cut.row_tiles;
  const unsigned pixel_tile = others % cut.pixel_tiles, rest = others / cut.pixel_tiles;
  const unsigned group = rest % cut.groups, phase = rest / cut.groups;
  const int64_t row0 = static_cast<int64_t>(row_tile) * kM;
  const int ry = static_cast<int>(phase / s.axis[1].phases);
  const int rx = static_cast<int>(phase % s.axis[1].phases);
  const Phase<int> py = s.axis[0].phase(ry), px = s.axis[1].phase(rx);

  // The pixel that this thread gathers: its upper left corner in the source.
  const unsigned area = static_cast<unsigned>(py.count) * static_cast<unsigned>(px.count);
  const int column = threadIdx.x % kN;
  const int64_t first = static_cast<int64_t>(pixel_tile) * kN;
  unsigned pixel = static_cast<unsigned>(first % area) + column;
  const int64_t image = first / area + pixel / area;
  pixel %= area;
  const int i = static_cast<int>(pixel / px.count), j = static_cast<int>(pixel % px.count);
  const int y0 = i * s.axis[0].scale + py.offset, x0 = j * s.axis[1].scale + px.offset;
  const bool exists = image < s.images;
  const unsigned source_h = exists ? s.axis[0].source : 0, source_w = s.axis[1].source;
  const int64_t plane = static_cast<int64_t>(s.axis[0].result) * s.axis[1].result;
  const T* const x = s.x.data + image * s.x.image + group * s.channels * s.x.channel +
                     y0 * s.x.row + x0 * s.x.column;
  if (threadIdx.x < kN)
    places[column] = exists
                         ? (image * s.groups + group) * s.rows * plane +
                               static_cast<int64_t>(ry + i * s.axis[0].phases) * s.axis[1].result +
                               rx + j * s.axis[1].phases
                         : -1;

  const int channels = static_cast<int>(s.channels), terms = channels * py.taps * px.taps;
  const int taps_x = px.taps > 0 ? px.taps : 1, taps_y = py.taps > 0 ? py.taps : 1;
  const int x_strides[1][3] = {{static_cast<int>(s.x.channel),
                                s.axis[0].step * static_cast<int>(s.x.row),
                                s.axis[1].step * static_cast<int>(s.x.column)}};
  const int w_strides[1][3] = {{static_cast<int>(s.w.channel),
                                s.axis[0].tap_step * static_cast<int>(s.w.row),
                                s.axis[1].tap_step * static_cast<int>(s.w.column)}};
  Terms::Step x_step, w_step;
  x_step.set(kThreadTerms, taps_x, taps_y, x_strides);
  w_step.set(kK, taps_x, taps_y, w_strides);
  Terms x_walk(threadIdx.x / kN, x_step, x_strides);
  Terms w_walk(threadIdx.x % kK, w_step, w_strides);
  const int row = threadIdx.x / kK, rows = static_cast<int>(smaller(s.rows - row0, kM));
  const T* const w = s.w.data + group * s.group_stride + (row0 + row) * s.w.image +
                     py.first * s.w.row + px.first * s.w.column;

  const int64_t w_rows = kThreadRows * s.w.image;
  T a[kA], b[kB];
  const auto fetch = [&] {
#pragma unroll
    for (int n = 0; n < kA; ++n)
      a[n] =
          w_walk.z < channels && row + n * kThreadRows < rows ? w[n * w_rows + w_walk.at[0]] : T();
    w_walk.advance(w_step);
#pragma unroll
    for (int n = 0; n < kB; ++n) {
      const unsigned sy = static_cast<unsigned>(y0 + x_walk.y * s.axis[0].step);
      const unsigned sx = static_cast<unsigned>(x0 + x_walk.x * s.axis[1].step);
      b[n] = x_walk.z < channels && sy < source_h && sx < source_w ? x[x_walk.at[0]] : T();
      x_walk.advance(x_step);
    }
  };
  const auto stage = [&](int buffer) {
#pragma unroll
    for (int n = 0; n < kA; ++n)
      shared.set_a(buffer, threadIdx.x % kK, row + n * kThreadRows, a[n]);
#pragma unroll
    for (int n = 0; n < kB; ++n)
      shared.set_b(buffer, threadIdx.x / kN + n * kThreadTerms, column, b[n]);
  };
  Product product;
  pipeline((terms + kK - 1) / kK, fetch, stage,
           [&](int buffer) { product.multiply(shared, buffer); });
  __syncthreads();  // places, where there are no terms

  constexpr int kGroup = Product::kGroup;
#pragma unroll
  for (int m = 0; m < Product::kThreadRows; ++m) {
    const int in_tile = Product::row(m);
    if (in_tile >= rows) continue;
    const int64_t channel = group * s.rows + row0 + in_tile;
    const C bias = s.bias ? widen(s.bias[channel * s.bias_stride]) : C(0);
    T* const y = s.y + (row0 + in_tile) * plane;
#pragma unroll
    for (int n = 0; n < Product::kThreadColumns; n += kGroup) {
      const int64_t* const place = places + Product::column(n);
      if (cut.vectors) {
        Vector<T, kGroup> v;
#pragma unroll
        for (int l = 0; l < kGroup; ++l) v.at[l] = narrow<T>(product.at(m, n + l) + bias);
        if (place[0] >= 0) store<kGroup>(y + place[0], v);
        continue;
      }
#pragma unroll
      for (int l = 0; l < kGroup; ++l)
        if (place[l] >= 0) y[place[l]] = narrow<T>(product.at(m, n + l) + bias);
    }
  }
}

// How many tiles there are.
template <class Product, class T>
int64_t cut(const Correlation<T, int>& s, Cut* cut) {
  const auto count = [&](int i) { return ceil_div(s.axis[i].result, s.axis[i].phases); };
  const int64_t phases = static_cast<int64_t>(s.axis[0].phases) * s.axis[1].phases;
  const int64_t plane = static_cast<int64_t>(s.axis[0].result) * s.axis[1].result;
  const int64_t row_tiles = ceil_div(s.rows, Product::kRows);
  const int64_t pixel_tiles = ceil_div(s.images * count(0) * count(1), Product::kColumns);
  cut->row_tiles = static_cast<unsigned>(row_tiles);
  cut->pixel_tiles = static_cast<unsigned>(pixel_tiles);
  cut->groups = static_cast<unsigned>(s.groups);
  cut->vectors = phases == 1 && plane % Product::kGroup == 0 && aligned16(s.y);
  return row_tiles * pixel_tiles * s.groups * phases;
}

template <class Product, class T>
Status run(ExecContext* ctx, const Correlation<T, int>& s) {
  Cut tiles;
  const int64_t count = cut<Product>(s, &tiles);
  if (count >= int64_t{1} << 31) return correlate_directly(ctx, s);
  return launch(ctx, correlate<T, Product>,
                Grid{dim3(static_cast<unsigned>(count)), dim3(Product::kThreads)}, s, tiles);
}

}  // namespace

// Both tiles sum an element's terms in the same order, so the choice between them is free.
template <class T>
Status correlate_tiles(ExecContext* ctx, const Correlation<T, int>& s) {
  return with_tiles<T>(ctx, [&](auto tiles) {
    using Large = typename decltype(tiles)::Large;
    using Wide = typename decltype(tiles)::Wide;
    Cut unused;
    const bool few = cut<Large>(s, &unused) < ctx->device->multiprocessors;
    return s.rows <= Wide::kRows || few ? run<Wide>(ctx, s) : run<Large>(ctx, s);
  });
}

template Status correlate_tiles(ExecContext*, const Correlation<float, int>&);
template Status correlate_tiles(ExecContext*, const Correlation<double, int>&);
template Status correlate_tiles(ExecContext*, const Correlation<bf16, int>&);

}  // namespace tg::cuda
