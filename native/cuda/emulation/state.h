// What the sources of the emulated runtime share.
#pragma once

#include <functional>
#include <mutex>

#include "options.h"
#include "runtime.h"
#include "stream.h"

namespace tg::emulation {

// The one lock over memory, streams, captures and attributes; never held while work is done.
std::mutex& registry();

// Remembers a failure for cudaGetLastError, and returns it.
cudaError_t report(cudaError_t error);

// Once the device is lost, nothing works on it any more.
cudaError_t device_state();
bool device_lost();
void lose_device();

// cudaErrorStreamCaptureUnsupported, for calls that wait or allocate, where a capture forbids them;
// the capture is spoilt then.
cudaError_t refuse_in_capture();
// The same for a call that a capture of just this stream forbids.
cudaError_t refuse_in_capture_of(cudaStream_t stream);

// Leaves work to the stream, or to the graph that it captures. Work is dropped once the device is
// lost, unless it is to be done always.
enum class Done { unless_lost, always };
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work, Done done = Done::unless_lost);
// Waits for what was enqueued; where waits are forbidden, an error.
cudaError_t drain(cudaStream_t stream);
cudaError_t drain_all();

}  // namespace tg::emulation

// Leaves the calling function with the error of a step that failed.
#define TG_STEP(step)                                                      \
  do {                                                                     \
    const cudaError_t tg_error = (step);                                   \
    if (tg_error != cudaSuccess) return ::tg::emulation::report(tg_error); \
  } while (0)
