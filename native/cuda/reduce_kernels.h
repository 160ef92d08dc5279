// The kernels of all reductions. What is reduced is a Fold, given to kernels by value:
//
//   State                    what elements have come to; plain data of whole words
//   kOperandCount            1, or 2 if it reads a second operand of the layout of x
//   none()                   what takes the place of an element that is not there
//   start()                  the State of no elements
//   add(state, x, second, valid, output, element)
//                            some elements of an output: bit e of `valid` says whether x[e] is one,
//                            element(e) is its number; `second` is x if there is no other operand
//   join(a, b)               the State of both; a's elements came first, where order matters
//   store(state, plan, out, output, at)
//                            the result of output number `output`, whose place is `at`
#pragma once

#include <math.h>

#include "reduce_plan.h"

namespace tg::cuda {

template <class T, class Fold>
struct ReduceJob {
  ReducePlan plan;
  Fold fold;
  const T *x, *second;
  void* out;
  typename Fold::State* parts;  // [outputs][segments] if there are several
};

// The result of an output, or of one segment of it.
template <class T, class Fold>
__device__ __forceinline__ void put(const ReduceJob<T, Fold>& job, typename Fold::State state,
                                    int64_t output, int64_t segment) {
  if (job.plan.segments > 1)
    job.parts[output * job.plan.segments + segment] = state;
  else
    job.fold.store(state, job.plan, job.out, output, offsets_of(job.plan.kept, output).at[1]);
}

// The part of an output's elements that a unit of work is; end - begin fits into an int.
struct Part {
  int64_t run, run_end, begin, end;
};
__device__ __forceinline__ Part part_of(const ReducePlan& plan, int64_t segment) {
  const int64_t above = plan.inner_parts == 1 ? segment : segment / plan.inner_parts;
  const int64_t run = above * plan.run_part;
  const int64_t begin = (segment - above * plan.inner_parts) * plan.inner_part;
  return {run, run + plan.run_part < plan.runs ? run + plan.run_part : plan.runs, begin,
          begin + plan.inner_part < plan.inner ? begin + plan.inner_part : plan.inner};
}

template <class T, class Fold>
__global__ void __launch_bounds__(256, 1)
    reduce_rows(const __grid_constant__ ReduceJob<T, Fold> job) {
  using State = typename Fold::State;
  constexpr int kEach = kRowElements<T>;
  __shared__ State room[8];
  const ReducePlan& plan = job.plan;
  const Fold& fold = job.fold;
  const int group = plan.team.group, units_here = static_cast<int>(blockDim.x) / group;
  const int member = static_cast<int>(threadIdx.x) % group;
  const int64_t units = plan.outputs * plan.segments;
  for (int64_t base = static_cast<int64_t>(blockIdx.x) * units_here; base < units;
       base += static_cast<int64_t>(gridDim.x) * units_here) {
    const int64_t unit = base + static_cast<int>(threadIdx.x) / group;
    const bool works = unit < units;  // the others only keep step
    const int64_t output = !works ? 0 : plan.segments == 1 ? unit : unit / plan.segments;
    const int64_t segment = works ? unit - output * plan.segments : 0;
    Part part = part_of(plan, segment);
    if (!works) part.run_end = part.run;
    const int count = static_cast<int>(part.end - part.begin);
    const int64_t offset = offsets_of(plan.kept, output).at[0] + part.begin * plan.stride;
    State state = fold.start();
    for (int64_t run = part.run + member / plan.lines; run < part.run_end;
         run += group / plan.lines) {
      const int64_t at = offset + offsets_of(plan.outer, run).at[0];
      const Slots<T, kEach, int> slots(member % plan.lines, plan.lines, plan.vectors, job.x + at);
      for (int first = 0; first < slots.end(count); first += slots.step()) {
        Compute<T> x[kEach], second[kEach];
        slots.read(job.x + at, plan.stride, count, first, fold.none(), x);
        if constexpr (Fold::kOperandCount == 2)
          slots.read(job.second + at, plan.stride, count, first, fold.none(), second);
        unsigned valid = (1u << kEach) - 1;
        if (slots.element(first, 0) < 0 || slots.element(first, kEach - 1) >= count) {
#pragma unroll
          for (int e = 0; e < kEach; ++e) {
            const int i = slots.element(first, e);
            if (i < 0 || i >= count) valid &= ~(1u << e);
          }
        }
        const auto element = [&](int e) {
          return run * plan.inner + part.begin + slots.element(first, e);
        };
        if constexpr (Fold::kOperandCount == 2)
          fold.add(state, x, second, valid, output, element);
        else
          fold.add(state, x, x, valid, output, element);
      }
    }
    state = fold_group(state, group, room,
                       [&](const State& a, const State& b) { return fold.join(a, b); });
    if (works && member == 0) put(job, state, output, segment);
  }
}

template <class T, class Fold>
__global__ void __launch_bounds__(256, 1)
    reduce_columns(const __grid_constant__ ReduceJob<T, Fold> job) {
  using State = typename Fold::State;
  constexpr int kWide = kLanes<T>, kRows = kColumnRows<T, Fold::kOperandCount>;
  __shared__ State room[256];
  const ReducePlan& plan = job.plan;
  const Fold& fold = job.fold;
  const int across = plan.team.group, down = static_cast<int>(blockDim.x) / across;
  const int column = static_cast<int>(threadIdx.x) % across;
  const int line = static_cast<int>(threadIdx.x) / across, lines = plan.lines;
  const int64_t tile = static_cast<int64_t>(across) * kWide;
  const int64_t units = (plan.outputs + tile - 1) / tile * plan.segments;
  for (int64_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const int64_t number = unit / plan.segments, segment = unit - number * plan.segments;
    const Part part = part_of(plan, segment);
    const int count = static_cast<int>(part.end - part.begin);
    // Neighbours for vectors; else one of each stretch of `across` outputs.
    const auto output = [&](int k) {
      return number * tile + (plan.vectors ? column * kWide + k : k * across + column);
    };
    int64_t offset[kWide];
    State state[kWide];
#pragma unroll
    for (int k = 0; k < kWide; ++k) {
      const int64_t o = output(k) < plan.outputs ? output(k) : 0;  // of none: read and dropped
      offset[k] = plan.vectors && k > 0 ? offset[0] + k : offsets_of(plan.kept, o).at[0];
      state[k] = fold.start();
    }
    for (int64_t run = part.run + line / lines; run < part.run_end; run += down / lines) {
      const int64_t at = offsets_of(plan.outer, run).at[0] + part.begin * plan.stride;
      for (int first = line % lines; first < count; first += lines * kRows) {
        Compute<T> x[kWide][kRows], second[kWide][kRows];
        const auto read = [&](const T* from, Compute<T>(&to)[kWide][kRows]) {
#pragma unroll
          for (int r = 0; r < kRows; ++r) {
            const int row = first + r * lines;
            const T* const p = from + at + row * plan.stride;
            if (row >= count) {
#pragma unroll
              for (int k = 0; k < kWide; ++k) to[k][r] = fold.none();
            } else if (plan.vectors) {
              const Vector<T, kWide> some = load<kWide>(p + offset[0]);
#pragma unroll
              for (int k = 0; k < kWide; ++k) to[k][r] = widen(some.at[k]);
            } else {
#pragma unroll
              for (int k = 0; k < kWide; ++k) to[k][r] = widen(p[offset[k]]);
            }
          }
        };
        read(job.x, x);
        if constexpr (Fold::kOperandCount == 2) read(job.second, second);
        const int left = (count - first + lines - 1) / lines;
        const unsigned valid = (1u << (left < kRows ? left : kRows)) - 1;
        const auto element = [&](int r) {
          return run * plan.inner + part.begin + first + r * lines;
        };
#pragma unroll
        for (int k = 0; k < kWide; ++k) {
          if constexpr (Fold::kOperandCount == 2)
            fold.add(state[k], x[k], second[k], valid, output(k), element);
          else
            fold.add(state[k], x[k], x[k], valid, output(k), element);
        }
      }
    }
#pragma unroll
    for (int k = 0; k < kWide; ++k) {
      for (int half = down / 2; half > 0; half /= 2) {
        __syncthreads();
        room[threadIdx.x] = state[k];
        __syncthreads();
        if (line < half)
          state[k] = fold.join(state[k], room[static_cast<int>(threadIdx.x) + half * across]);
      }
      if (line == 0 && output(k) < plan.outputs) put(job, state[k], output(k), segment);
    }
  }
}

// A warp joins the segments of an output. Without segments: outputs of no elements.
template <class T, class Fold>
__global__ void __launch_bounds__(256) join_parts(const __grid_constant__ ReduceJob<T, Fold> job) {
  using State = typename Fold::State;
  const ReducePlan& plan = job.plan;
  const int lane = static_cast<int>(threadIdx.x) % 32, warps = static_cast<int>(blockDim.x) / 32;
  for (int64_t output = static_cast<int64_t>(blockIdx.x) * warps + threadIdx.x / 32;
       output < plan.outputs; output += static_cast<int64_t>(gridDim.x) * warps) {
    State state = job.fold.start();
    for (int64_t s = lane; s < plan.segments; s += 32)
      state = job.fold.join(state, job.parts[output * plan.segments + s]);
    state = fold_group(state, 32, static_cast<State*>(nullptr),
                       [&](const State& a, const State& b) { return job.fold.join(a, b); });
    if (lane == 0)
      job.fold.store(state, plan, job.out, output,
                     plan.n ? offsets_of(plan.kept, output).at[1] : output);
  }
}

// fold over x as planned. `room`: what plan.segments states need, or null if plan.segments is 1.
template <class T, class Fold>
Status reduce(ExecContext* ctx, const ReducePlan& plan, const Fold& fold, const void* x,
              const void* second, void* out, void* room) {
  if (plan.outputs == 0) return Status::ok;
  const ReduceJob<T, Fold> job{plan,
                               fold,
                               static_cast<const T*>(x),
                               static_cast<const T*>(second),
                               out,
                               static_cast<typename Fold::State*>(room)};
  const auto grid = [ctx](int64_t blocks, int threads) {
    const int64_t most = int64_t{32} * ctx->device->multiprocessors;
    return Grid{dim3(static_cast<unsigned>(blocks < most ? blocks : most)),
                dim3(static_cast<unsigned>(threads))};
  };
  const Grid joining = grid((plan.outputs + 7) / 8, 256);
  if (plan.n == 0) return launch(ctx, join_parts<T, Fold>, joining, job);
  const int64_t tile = static_cast<int64_t>(plan.team.group) * kLanes<T>;
  if (plan.columns)
    TG_TRY(launch(ctx, reduce_columns<T, Fold>,
                  grid((plan.outputs + tile - 1) / tile * plan.segments, plan.team.threads), job));
  else
    TG_TRY(launch(ctx, reduce_rows<T, Fold>,
                  grid((plan.outputs * plan.segments + plan.team.rows() - 1) / plan.team.rows(),
                       plan.team.threads),
                  job));
  return plan.segments > 1 ? launch(ctx, join_parts<T, Fold>, joining, job) : Status::ok;
}

// The same with the op's scratch as room.
template <class T, class Fold>
Status reduce(ExecContext* ctx, const ReducePlan& plan, const Fold& fold, const void* x,
              void* out) {
  void* room = nullptr;
  if (plan.outputs > 0 && plan.segments > 1) {
    room = scratch(
        ctx, sizeof(typename Fold::State) * static_cast<size_t>(plan.outputs * plan.segments));
    if (!room) return Status::out_of_memory;
  }
  return reduce<T>(ctx, plan, fold, x, nullptr, out, room);
}

}  // namespace tg::cuda
