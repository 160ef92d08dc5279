// The weight's gradient as products of g with columns of x, gathered while they are loaded into
// shared memory. A block makes a tile of some channels of g by some weights of each, over a part of
// the pixels.
#include "convolution_kernels.h"
#include "convolution_tile.h"
#include "walk.h"

namespace tg::cuda {
namespace {

struct Cut {
  unsigned row_tiles, column_tiles, groups;
  int64_t part;  // pixels
};

// A weight of the kernel: where it sees x for result 0, and how far that is from x's first element.
struct alignas(16) Column {
  int offset, y, x;
};

template <class T, class Product>
__global__ void __launch_bounds__(Product::kThreads, 2)
    multiply(const __grid_constant__ WeightGradient<T, int> s, Cut cut, Compute<T>* out) {
  constexpr int kM = Product::kRows, kN = Product::kColumns, kK = Product::kDepth;
  constexpr int kThreadRows = Product::kThreads / kK;
  constexpr int kA = kM / kThreadRows, kB = kN / kThreadRows;
  __shared__ typename Product::Shared shared;
  __shared__ Column columns[kN];
  const unsigned row_tile = blockIdx.x % cut.row_tiles, others = blockIdx.x / cut.row_tiles;
  const unsigned column_tile = others % cut.column_tiles, rest = others / cut.column_tiles;
  const unsigned group = rest % cut.groups, part = rest / cut.groups;
  const Axis<int>&rows_of = s.axis[0], &columns_of = s.axis[1];
  const int taps = rows_of.kernel * columns_of.kernel;
  const int64_t depth = s.channels * taps;
  const int64_t row0 = static_cast<int64_t>(row_tile) * kM;
  const int64_t column0 = static_cast<int64_t>(column_tile) * kN;
  if (threadIdx.x < kN) {
    const int64_t weight = column0 + threadIdx.x;
    const int64_t channel = weight / taps;
    const int tap = static_cast<int>(weight % taps);
    Column c;
    c.y = tap / columns_of.kernel * rows_of.dilation - rows_of.padding;
    c.x = tap % columns_of.kernel * columns_of.dilation - columns_of.padding;
    c.offset = static_cast<int>(channel * s.x.channel + c.y * s.x.row + c.x * s.x.column);
    if (weight >= depth) c.y = INT32_MIN;  // above x, whatever is added
    columns[threadIdx.x] = c;
  }
  using Pixels = Walk<2, int64_t>;
  __shared__ typename Pixels::Step step;  // there are no registers left for it
  const int64_t strides[2][3] = {
      {s.g.image, s.g.row, s.g.column},
      {s.x.image, rows_of.stride * s.x.row, columns_of.stride * s.x.column}};
  if (threadIdx.x == 0) step.set(kK, columns_of.result, rows_of.result, strides);
  __syncthreads();

  const int64_t begin = part * cut.part;
  const int end = static_cast<int>(smaller(cut.part, s.pixels() - begin));
  int pixel = threadIdx.x % kK;
  Pixels walk(begin + pixel, step, strides);
  const int row = threadIdx.x / kK, rows = static_cast<int>(smaller(s.rows - row0, kM));
  const T* const g = s.g.data + (group * s.rows + row0 + row) * s.g.channel;
  const T* const x = s.x.data + group * s.channels * s.x.channel;
  const int64_t g_rows = kThreadRows * s.g.channel;
  const unsigned h = rows_of.source, w = columns_of.source;

  T a[kA], b[kB];
  const auto fetch = [&] {
    const bool exists = pixel < end;
#pragma unroll
    for (int n = 0; n < kA; ++n)
      a[n] = exists && row + n * kThreadRows < rows ? g[n * g_rows + walk.at[0]] : T();
    const int y = walk.y * rows_of.stride, left = walk.x * columns_of.stride;
#pragma unroll
    for (int n = 0; n < kB; ++n) {
      const Column c = columns[row + n * kThreadRows];
      const bool inside =
          exists && static_cast<unsigned>(y + c.y) < h && static_cast<unsigned>(left + c.x) < w;
      b[n] = inside ? x[walk.at[1] + c.offset] : T();
    }
    walk.advance(step);
    pixel += kK;
  };
  const auto stage = [&](int buffer) {
#pragma unroll
    for (int n = 0; n < kA; ++n)
      shared.set_a(buffer, threadIdx.x % kK, row + n * kThreadRows, a[n]);
#pragma unroll
    for (int n = 0; n < kB; ++n)
      shared.set_b(buffer, threadIdx.x % kK, row + n * kThreadRows, b[n]);
  };
  Product product;
  pipeline((end + kK - 1) / kK, fetch, stage,
           [&](int buffer) { product.multiply(shared, buffer); });

  out += part * s.weights();
#pragma unroll
  for (int m = 0; m < Product::kThreadRows; ++m)
#pragma unroll
    for (int n = 0; n < Product::kThreadColumns; ++n) {
      const int64_t column = column0 + Product::column(n);
      if (Product::row(m) >= rows || column >= depth) continue;
      out[(group * s.rows + row0 + Product::row(m)) * depth + column] = product.at(m, n);
    }
}

constexpr int kSlices = 8;  // that each take every eighth part

template <class T>
__global__ void add(const Compute<T>* parts, int64_t n_parts, int64_t count, T* out) {
  using C = Compute<T>;
  __shared__ C sums[kSlices][32];
  const int lane = threadIdx.x % 32, slice = threadIdx.x / 32;
  for (int64_t first = int64_t{blockIdx.x} * 32; first < count; first += int64_t{gridDim.x} * 32) {
    const int64_t i = first + lane;
    C sum = 0;
    if (i < count)
#pragma unroll 4
      for (int64_t p = slice; p < n_parts; p += kSlices) sum += parts[p * count + i];
    sums[slice][lane] = sum;
    __syncthreads();
    if (slice == 0 && i < count) {
#pragma unroll
      for (int p = 1; p < kSlices; ++p) sum += sums[p][lane];
      out[i] = narrow<T>(sum);
    }
    __syncthreads();
  }
}

constexpr int64_t kLeastPixels = 256;  // of a part

template <class Product, class T>
Status run(ExecContext* ctx, const WeightGradient<T, int>& s) {
  using C = Compute<T>;
  const int64_t row_tiles = ceil_div(s.rows, Product::kRows), pixels = s.pixels();
  const int64_t column_tiles = ceil_div(s.channels * s.taps(), Product::kColumns);
  const int64_t tiles = row_tiles * column_tiles * s.groups;
  const Parts parts(pixels, tiles, kLeastPixels);
  if (tiles * parts.count >= int64_t{1} << 31) return weight_directly(ctx, s);
  const Cut cut = {static_cast<unsigned>(row_tiles), static_cast<unsigned>(column_tiles),
                   static_cast<unsigned>(s.groups), parts.pixels};
  const Grid grid = {dim3(static_cast<unsigned>(tiles * parts.count)), dim3(Product::kThreads)};
  return sum_parts(ctx, parts, s.weights(), s.dw,
                   [&](C* sums) { return launch(ctx, multiply<T, Product>, grid, s, cut, sums); });
}

}  // namespace

template <class T>
Status weight_by_tiles(ExecContext* ctx, const WeightGradient<T, int>& s) {
  return with_tiles<T>(ctx, [&](auto tiles) {
    using Large = typename decltype(tiles)::Large;
    using Wide = typename decltype(tiles)::Wide;
    return s.rows <= Wide::kRows ? run<Wide>(ctx, s) : run<Large>(ctx, s);
  });
}

template <class T>
Status add_parts(ExecContext* ctx, const Compute<T>* parts, int64_t n_parts, int64_t count,
                 T* out) {
  return launch(ctx, add<T>, grid_for(ctx, ceil_div(count, 32) * kThreads), parts, n_parts, count,
                out);
}

template Status weight_by_tiles(ExecContext*, const WeightGradient<float, int>&);
template Status weight_by_tiles(ExecContext*, const WeightGradient<double, int>&);
template Status weight_by_tiles(ExecContext*, const WeightGradient<bf16, int>&);
template Status add_parts(ExecContext*, const float*, int64_t, int64_t, float*);
template Status add_parts(ExecContext*, const double*, int64_t, int64_t, double*);
template Status add_parts(ExecContext*, const float*, int64_t, int64_t, bf16*);

}  // namespace tg::cuda
