// What a device is to the rest: a table of functions. The CPU's is compiled in; others are loaded.
#pragma once

#include "chain.h"
#include "optimizer.h"

// For functions that kernels of other devices call, too.
#if defined(__CUDACC__)
#define TG_DEVICE_TOO __host__ __device__
#else
#define TG_DEVICE_TOO
#endif

namespace tg {

class ThreadPool;
struct Device;
struct Storage;

// What differs between two replays of calls that a device recorded (see
// DeviceLibrary::begin_graph). In device memory, with the numbers of all optimizers behind it.
struct StepState {
  uint64_t seed, stream;
};

// What a kernel may use besides its operands. One per environment.
struct ExecContext {
  ThreadPool* threads;
  Error* error;
  // Scratch of at least `bytes`, 64-byte aligned, valid until the next call or the op's end; null
  // when memory is short (return error->set(Status::out_of_memory, …) then).
  void* (*scratch)(void* owner, size_t bytes);
  void* owner;
  // Which kernel ran last, for tests: "avx512", "relu", "float32", "".
  struct Trace {
    const char *isa, *kernel, *dtype, *variant;
  } trace;
  // A second block with scratch's promise, for float32 copies of operands while a kernel that may
  // use the first one runs on them.
  void* (*operands)(void* owner, size_t bytes) = nullptr;
  // What was done since the start, for the gate on structure (npm run bench:check): calls of a
  // backend's functions that compute, tensors put into the table, bytes of scratch asked for.
  struct Counters {
    uint64_t kernels, tensors, scratch_bytes;
  } counters = {};
  // Where to run; null on the CPU. All tensors' memory is this device's, but for operands that
  // OpCall::numbers names.
  Device* device = nullptr;
  // Set while calls are recorded for replay. Random ops then take step->seed, and count
  // attrs.stream from step->stream; optimize's `numbers`, gradient_norm's and clip_norm's `norm`
  // point into device memory, and are read or written in each replay.
  const StepState* step = nullptr;
};

// One parameter of a fused optimizer update: flat arrays of n elements of one dtype; states as the
// rule's line in schema/optimizers.h counts them. All arrays are distinct.
struct OptimizerItem {
  void* parameter;
  const void* gradient;
  void* state[kMaxOptimizerStates];
  int64_t count;
  DType dtype;
};

struct Backend {
  uint32_t abi;
  const char* name;  // "cpu"
  Status (*run)(ExecContext*, const OpCall*);
  // Elementwise ops chunk by chunk, on the result of a product if the chain has a root.
  Status (*run_chain)(ExecContext*, const ChainCall*);
  // Applies optimizer rule `rule` (see schema/optimizers.h) with its numbers to all items.
  Status (*optimize)(ExecContext*, int rule, const double* numbers, const OptimizerItem* items,
                     int n);
  // √Σ g² over all items' gradients, in double; and gradients *= factor / clipped to [-limit,
  // limit].
  Status (*gradient_norm)(ExecContext*, const OptimizerItem* items, int n, double* norm);
  Status (*scale)(ExecContext*, const TensorView* tensors, int n, double factor);
  // Scales by clip_factor(*norm, limit, finite).
  Status (*clip_norm)(ExecContext*, const TensorView* tensors, int n, double limit, bool finite,
                      const double* norm);
  Status (*clip)(ExecContext*, const TensorView* tensors, int n, double limit);
  // y += x, elementwise, both contiguous or of equal strides over dense memory, one dtype.
  Status (*accumulate)(ExecContext*, const TensorView* y, const TensorView* x);
};

// By how much gradients of joint norm `norm` are scaled so that it is at most `limit`; 1 leaves
// them as they are. A norm that is NaN or infinite scales them by itself, unless `finite`.
TG_DEVICE_TOO inline double clip_factor(double norm, double limit, bool finite) {
  if (finite && !(norm - norm == 0)) return 1;
  const double factor = limit / (norm + 1e-6);
  return factor >= 1 ? 1 : factor;
}

constexpr uint32_t kBackendAbi = 3;

}  // namespace tg
