// Operands that only their numbers make wrong: an index out of range, a negative probability. The
// CPU reads them before it computes; here the kernel notes the first one that it comes upon.
#pragma once

#include "launch.h"

namespace tg::cuda {

// Given to the kernel by value. While calls are recorded nobody can be told: then it does nothing,
// and the kernel puts NaN (or, in integers, 0) where the bad operand would have counted.
struct Check {
  unsigned long long* first = nullptr;

  // The element at `position` is bad; the lowest position wins, whatever the order of threads.
  __device__ __forceinline__ void fail(int64_t position) const {
    if (first) atomicMin(first, static_cast<unsigned long long>(position));
  }
};

constexpr size_t kCheckBytes = 256;  // of the op's scratch, so that what follows stays aligned

// Before the kernel; `memory`: kCheckBytes of the op's scratch.
inline Status begin_check(ExecContext* ctx, void* memory, Check* check) {
  Error* const error = ctx->error;
  *check = {};
  if (ctx->step) return Status::ok;
  check->first = static_cast<unsigned long long*>(memory);
  TG_CUDA(ctx->trace.kernel,
          cudaMemsetAsync(check->first, 0xFF, sizeof *check->first, ctx->device->stream));
  return Status::ok;
}

// After it: the position of the first bad element, -1 if there is none. This waits for the kernel,
// because an error belongs to the call that made it, and the call returns only once; ops whose
// operands cannot be bad do not pay for it.
inline Status end_check(ExecContext* ctx, const Check& check, int64_t* position) {
  Error* const error = ctx->error;
  *position = -1;
  if (!check.first) return Status::ok;
  cudaStream_t const stream = ctx->device->stream;
  TG_CUDA(ctx->trace.kernel,
          cudaMemcpyAsync(position, check.first, sizeof *position, cudaMemcpyDeviceToHost, stream));
  TG_CUDA(ctx->trace.kernel, cudaStreamSynchronize(stream));
  return Status::ok;  // of no failure it is all ones: -1
}

// One element of device memory, for the message.
inline Status read_element(ExecContext* ctx, const void* from, size_t bytes, void* to) {
  Error* const error = ctx->error;
  cudaStream_t const stream = ctx->device->stream;
  TG_CUDA(ctx->trace.kernel, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream));
  TG_CUDA(ctx->trace.kernel, cudaStreamSynchronize(stream));
  return Status::ok;
}

}  // namespace tg::cuda
