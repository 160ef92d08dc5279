// Drives the normalisation kernels: channels as planes or columns, layers as rows. No kernels, no
// N-API.
#include "norm.h"

#include <cmath>
#include <cstring>

#include "../core/thread_pool.h"
#include "contiguous.h"
#include "spread.h"

namespace tg::cpu {
namespace {

constexpr int64_t kThreadWork = 32768;      // elements below which threads cost more
constexpr int64_t kChunk = 256;             // columns of a task
constexpr int64_t kPartialBytes = 8 << 20;  // of sums over blocks of rows

// f(i) for i < units, shared among threads where `work` elements are worth it.
template <class F>
void share(ExecContext* ctx, int64_t units, int64_t work, F f) {
  if (units == 0) return;
  const int64_t tasks =
      work < kThreadWork ? 1 : min(units, 4 * static_cast<int64_t>(ctx->threads->size()));
  parallel(*ctx->threads, tasks, [&](int64_t task) {
    for (int64_t i = units * task / tasks; i < units * (task + 1) / tasks; ++i) f(i);
  });
}

// Mean, rounded to T as kernels subtract it, and the variance about the exact mean.
template <class T>
struct Moments {
  T mean;
  double variance;
};
// `squares`: Σ (x - (T)mean)².
template <class T>
Moments<T> moments(double mean, double squares, double count) {
  const T rounded = static_cast<T>(mean);
  const double off = mean - static_cast<double>(rounded);
  const double variance = squares / count - off * off;
  return {rounded, variance < 0 ? 0 : variance};  // NaN stays
}

template <class T>
Moments<T> row_moments(const Reducers<T>& folds, const T* x, int64_t n) {
  const double mean = folds.rows[kFoldSum](x, n, 0) / static_cast<double>(n);
  const double squares = folds.rows[kFoldSquares](x, n, static_cast<T>(mean));
  return moments<T>(mean, squares, static_cast<double>(n));
}
double inverse(double variance, double eps) { return 1 / std::sqrt(variance + eps); }

// x [n, c, inner…]: planes of one channel, or with inner 1 rows of channels.
template <class T>
struct Channels {
  const NormKernels<T>& kernels;
  const Reducers<T>& folds;
  ExecContext* ctx;
  const OpCall& call;
  int64_t n, c, inner;
  double count() const { return static_cast<double>(n * inner); }
  int64_t size() const { return n * c * inner; }

  void find_moments(const T* x, T* out) const {
    if (inner > 1) {
      share(ctx, c, size(), [&](int64_t channel) {
        const T* planes = x + channel * inner;
        double mean = 0, squares = 0;
        for (int64_t i = 0; i < n; ++i)
          mean += folds.rows[kFoldSum](planes + i * c * inner, inner, 0);
        mean /= count();
        for (int64_t i = 0; i < n; ++i)
          squares += folds.rows[kFoldSquares](planes + i * c * inner, inner, static_cast<T>(mean));
        const Moments<T> m = moments<T>(mean, squares, count());
        out[channel] = m.mean;
        out[c + channel] = static_cast<T>(m.variance);
      });
      return;
    }
    share(ctx, (c + kChunk - 1) / kChunk, size(), [&](int64_t chunk) {
      const int64_t first = chunk * kChunk, columns = min(kChunk, c - first);
      T* shift = out + first;
      T part[kChunk];
      double mean[kChunk] = {}, squares[kChunk] = {};
      for (int pass = 0; pass < 2; ++pass) {
        double* total = pass ? squares : mean;
        for (int64_t r = 0; r < n; r += kColumnBlock) {
          folds.columns[pass ? kFoldSquares : kFoldSum](x + r * c + first, c,
                                                        min(kColumnBlock, n - r), columns,
                                                        pass ? shift : nullptr, part);
          for (int64_t i = 0; i < columns; ++i) total[i] += static_cast<double>(part[i]);
        }
        for (int64_t i = 0; i < columns; ++i) {
          if (pass == 0) {
            mean[i] /= count();
            shift[i] = static_cast<T>(mean[i]);
          } else {
            out[c + first + i] = static_cast<T>(moments<T>(mean[i], squares[i], count()).variance);
          }
        }
      }
    });
  }

  void find_sums(const T* g, const T* x, const T* m, double eps, T* out) const {
    const auto put = [&](int64_t channel, double sum, double dot) {
      out[channel] = static_cast<T>(sum);
      out[c + channel] = static_cast<T>(dot * inverse(static_cast<double>(m[c + channel]), eps));
    };
    if (inner > 1) {
      share(ctx, c, size(), [&](int64_t channel) {
        double sum = 0, dot = 0;
        for (int64_t i = 0; i < n; ++i) {
          const int64_t at = (i * c + channel) * inner;
          double part[2];
          kernels.dots(g + at, x + at, m[channel], inner, part);
          sum += part[0];
          dot += part[1];
        }
        put(channel, sum, dot);
      });
      return;
    }
    share(ctx, (c + kChunk - 1) / kChunk, size(), [&](int64_t chunk) {
      const int64_t first = chunk * kChunk, columns = min(kChunk, c - first);
      T sum[kChunk], dot[kChunk];
      double sums[kChunk] = {}, dots[kChunk] = {};
      for (int64_t r = 0; r < n; r += kColumnBlock) {
        const int64_t at = r * c + first;
        kernels.column_dots(g + at, x + at, c, min(kColumnBlock, n - r), columns, m + first, sum,
                            dot);
        for (int64_t i = 0; i < columns; ++i) {
          sums[i] += static_cast<double>(sum[i]);
          dots[i] += static_cast<double>(dot[i]);
        }
      }
      for (int64_t i = 0; i < columns; ++i) put(first + i, sums[i], dots[i]);
    });
  }

  // f(elements from, count, channel from, whether parameters are one per element)
  template <class F>
  void each_piece(F f) const {
    if (inner > 1)
      share(ctx, n * c, size(), [&](int64_t plane) { f(plane * inner, inner, plane % c, 0); });
    else
      share(ctx, n, size(), [&](int64_t row) { f(row * c, c, 0, 1); });
  }

  Status run() {
    const double eps = call.attrs.p[0];
    const bool norm = call.op == op_channelNorm, backward = call.op == op_channelNormBackward;
    ctx->trace.variant = inner > 1 ? "planes" : "columns";
    const int64_t extra = norm ? 1 : backward ? 3 : 0;
    Contiguous in(ctx, call);
    TG_TRY(in.prepare(extra * c * static_cast<int64_t>(sizeof(T))));
    T* out = static_cast<T*>(call.out.data);
    T* scale = reinterpret_cast<T*>(in.extra());
    if (call.op == op_channelMoments) {
      find_moments(in.in<T>(0), out);
    } else if (norm) {
      const T *x = in.in<T>(0), *w = in.in<T>(1), *b = in.in<T>(2), *m = in.in<T>(3);
      for (int64_t i = 0; i < c; ++i)
        scale[i] =
            static_cast<T>(static_cast<double>(w[i]) * inverse(static_cast<double>(m[c + i]), eps));
      each_piece([&](int64_t at, int64_t count, int64_t p, int each) {
        kernels.affine[each](x + at, m + p, scale + p, b + p, out + at, count);
      });
    } else if (call.op == op_channelNormSums) {
      find_sums(in.in<T>(0), in.in<T>(1), in.in<T>(2), eps, out);
    } else {
      const T *g = in.in<T>(0), *x = in.in<T>(1), *w = in.in<T>(2), *m = in.in<T>(3),
              *sums = in.in<T>(4);
      T *slope = scale + c, *constant = scale + 2 * c;
      for (int64_t i = 0; i < c; ++i) {
        const double inv = inverse(static_cast<double>(m[c + i]), eps);
        const double a = static_cast<double>(w[i]) * inv;
        scale[i] = static_cast<T>(a);
        slope[i] = static_cast<T>(-a * inv * static_cast<double>(sums[c + i]) / count());
        constant[i] = static_cast<T>(-a * static_cast<double>(sums[i]) / count());
      }
      each_piece([&](int64_t at, int64_t count, int64_t p, int each) {
        kernels.gradient[each](g + at, x + at, m + p, scale + p, slope + p, constant + p, out + at,
                               count);
      });
    }
    return Status::ok;
  }
};

template <class T>
Status channel_norm(const NormKernels<T>& kernels, const Reducers<T>& folds, ExecContext* ctx,
                    const OpCall& call) {
  const bool backward = call.op == op_channelNormSums || call.op == op_channelNormBackward;
  const Shape& x = call.in[backward ? 1 : 0].shape;
  int64_t inner = 1;
  for (int i = 2; i < x.ndim; ++i) inner *= x[i];
  // Empty planes: no elements are no rows of channels.
  return Channels<T>{kernels, folds, ctx, call, inner ? x[0] : 0, x[1], inner ? inner : 1}.run();
}

template <class T>
Status layer_norm(const NormKernels<T>& kernels, const Reducers<T>& folds, ExecContext* ctx,
                  const OpCall& call) {
  const int at = call.op == op_layerNorm ? 0 : 1;
  const Shape& shape = call.in[at].shape;
  int64_t rows = 1, n = 1;
  for (int i = 0; i < shape.ndim; ++i) (i < call.attrs.axis ? rows : n) *= shape[i];
  const double eps = call.attrs.p[0], count = static_cast<double>(n);
  T* out = static_cast<T*>(call.out.data);
  ctx->trace.variant = "rows";
  if (call.op != op_layerNormSums) {
    if (rows * n == 0) return Status::ok;
    Contiguous in(ctx, call);
    TG_TRY(in.prepare(0));
    if (call.op == op_layerNorm) {
      const T *x = in.in<T>(0), *w = in.in<T>(1), *b = in.in<T>(2);
      share(ctx, rows, rows * n, [&](int64_t r) {
        const Moments<T> m = row_moments(folds, x + r * n, n);
        kernels.row(x + r * n, m.mean, static_cast<T>(inverse(m.variance, eps)), w, b, out + r * n,
                    n);
      });
      return Status::ok;
    }
    const T *g = in.in<T>(0), *x = in.in<T>(1), *w = in.in<T>(2);
    share(ctx, rows, rows * n, [&](int64_t r) {
      const Moments<T> m = row_moments(folds, x + r * n, n);
      const double inv = inverse(m.variance, eps);
      double sums[2];
      kernels.row_dots(g + r * n, w, x + r * n, m.mean, n, sums);
      kernels.row_gradient(g + r * n, w, x + r * n, m.mean, static_cast<T>(inv),
                           static_cast<T>(-inv * inv * inv * sums[1] / count),
                           static_cast<T>(-inv * sums[0] / count), out + r * n, n);
    });
    return Status::ok;
  }
  // Σ over rows, by blocks of rows that do not depend on threads; 128 rows at a time stay in T.
  if (n == 0) return Status::ok;
  const int64_t pitch = 2 * n * static_cast<int64_t>(sizeof(double) + sizeof(T));
  int64_t blocks = min(64, (rows + kColumnBlock - 1) / kColumnBlock);
  blocks = max(1, min(blocks, kPartialBytes / pitch));
  Contiguous in(ctx, call);
  TG_TRY(in.prepare(blocks * pitch));
  const T *g = in.in<T>(0), *x = in.in<T>(1);
  char* scratch = in.extra();
  share(ctx, blocks, rows * n, [&](int64_t block) {
    double* total = reinterpret_cast<double*>(scratch + block * pitch);
    T* part = reinterpret_cast<T*>(total + 2 * n);
    for (int64_t i = 0; i < 2 * n; ++i) total[i] = 0;
    const int64_t end = rows * (block + 1) / blocks;
    for (int64_t r = rows * block / blocks; r < end;) {
      const int64_t stop = min(end, r + kColumnBlock);
      std::memset(part, 0, static_cast<size_t>(2 * n) * sizeof(T));
      for (; r < stop; ++r) {
        const Moments<T> m = row_moments(folds, x + r * n, n);
        kernels.row_sums(g + r * n, x + r * n, m.mean, static_cast<T>(inverse(m.variance, eps)),
                         part, part + n, n);
      }
      for (int64_t i = 0; i < 2 * n; ++i) total[i] += static_cast<double>(part[i]);
    }
  });
  for (int64_t i = 0; i < 2 * n; ++i) {
    double total = 0;
    for (int64_t block = 0; block < blocks; ++block)
      total += reinterpret_cast<const double*>(scratch + block * pitch)[i];
    out[i] = static_cast<T>(total);
  }
  return Status::ok;
}

}  // namespace

Status run_layer_norm(const NormTable& table, const ReduceTable& folds, ExecContext* ctx,
                      const OpCall& call) {
  return call.out.dtype == DType::float32 ? layer_norm(table.f32, folds.f32, ctx, call)
                                          : layer_norm(table.f64, folds.f64, ctx, call);
}

Status run_channel_norm(const NormTable& table, const ReduceTable& folds, ExecContext* ctx,
                        const OpCall& call) {
  return call.out.dtype == DType::float32 ? channel_norm(table.f32, folds.f32, ctx, call)
                                          : channel_norm(table.f64, folds.f64, ctx, call);
}

}  // namespace tg::cpu
