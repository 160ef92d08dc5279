// Counting without divisions: what loops over the axes of a tensor in steps go through.
#pragma once

#include <stdint.h>

namespace tg::cuda {

// A number of three digits, the lowest with `x` values, the next with `y`, the highest unbounded,
// that goes up in steps of one size; and how far each step moves in N tensors.
template <int N, class Offset, class Digit = int>
struct Walk {
  Digit x, y, z;
  Offset at[N];  // in each tensor

  struct Step {
    Digit values_x, values_y;  // > 0
    Digit x, y, z;
    Offset move[N], carry_x[N], carry_y[N];

    // strides[tensor][z, y, x]
    __device__ void set(Digit step, Digit nx, Digit ny, const Offset (&strides)[N][3]) {
      values_x = nx, values_y = ny;
      x = step % nx, y = step / nx % ny, z = step / nx / ny;
      for (int i = 0; i < N; ++i) {
        move[i] = z * strides[i][0] + y * strides[i][1] + x * strides[i][2];
        carry_x[i] = strides[i][1] - nx * strides[i][2];
        carry_y[i] = strides[i][0] - ny * strides[i][1];
      }
    }
  };

  __device__ Walk(int64_t start, const Step& s, const Offset (&strides)[N][3]) {
    const int64_t line = start / s.values_x;
    x = static_cast<Digit>(start - line * s.values_x);
    z = static_cast<Digit>(line / s.values_y);
    y = static_cast<Digit>(line % s.values_y);
    for (int i = 0; i < N; ++i) at[i] = z * strides[i][0] + y * strides[i][1] + x * strides[i][2];
  }

  __device__ __forceinline__ void advance(const Step& s) {
    x += s.x, y += s.y, z += s.z;
#pragma unroll
    for (int i = 0; i < N; ++i) at[i] += s.move[i];
    if (x >= s.values_x) {
      x -= s.values_x, ++y;
#pragma unroll
      for (int i = 0; i < N; ++i) at[i] += s.carry_x[i];
    }
    if (y >= s.values_y) {
      y -= s.values_y, ++z;
#pragma unroll
      for (int i = 0; i < N; ++i) at[i] += s.carry_y[i];
    }
  }
};

}  // namespace tg::cuda
