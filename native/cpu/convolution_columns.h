// What the products of a convolution share: kernels, tasks with scratch, and gathering. Includes no
// kernels and no N-API.
#pragma once

#include "../core/backend.h"
#include "../core/thread_pool.h"
#include "contiguous.h"
#include "convolution_geometry.h"
#include "gemm_table.h"
#include "spread.h"

namespace tg::cpu {

constexpr double kThreadFlops = 1 << 20;  // below this, threads cost more than they give

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
    tasks = s.flops() < kThreadFlops || threads == 1 ? 1 : max(1, min(units, 4 * threads));
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

// The columns that tap (ky, kx) sees of channels c0 … c1 - 1 of a group, as rows `to_row` apart; x
// is the group's first channel in image 0.
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

}  // namespace tg::cpu
