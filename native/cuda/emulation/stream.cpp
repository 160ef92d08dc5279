// The emulated device's streams and events: a thread of the host for each stream.
#include "stream.h"

#include <stdlib.h>

#include <map>
#include <set>

#include "capture.h"
#include "execution.h"

namespace tg::emulation {

namespace {

// Never destroyed: streams may still be at work when the process ends.
struct Streams {
  // Shared with those who wait for a stream that someone else destroys.
  std::map<cudaStream_t, std::shared_ptr<CUstream_st>> live;
  std::set<cudaEvent_t> events;
  std::shared_ptr<CUstream_st> null;
  std::mutex event_mutex;
  std::condition_variable event_done;
};

Streams& streams() {
  static Streams& all = *new Streams;
  return all;
}

bool launches_block() {  // as the real runtime's variable of this name
  static const bool blocking = [] {
    const char* const text = getenv("CUDA_LAUNCH_BLOCKING");
    return text && *text == '1';
  }();
  return blocking;
}

// So that tests find what waits. Looked at each time: they forbid it for a while.
cudaError_t refuse_wait() {
  const char* const text = getenv("TAPEGRAD_EMULATION_WAITS");
  return text && *text == '0' ? cudaErrorNotPermitted : cudaSuccess;
}

void push(CUstream_st* stream, std::function<void()> work, Done done) {
  {
    const std::lock_guard<std::mutex> lock(stream->mutex);
    stream->queue.push_back({std::move(work), done});
    ++stream->enqueued;
  }
  stream->changed.notify_all();
}

void wait_for(CUstream_st* stream) {
  std::unique_lock<std::mutex> lock(stream->mutex);
  const uint64_t ticket = stream->enqueued;
  stream->changed.wait(lock, [&] { return stream->done >= ticket; });
}

bool idle(CUstream_st* stream) {
  const std::lock_guard<std::mutex> lock(stream->mutex);
  return stream->done == stream->enqueued;
}

// What the null stream and streams that are not cudaStreamNonBlocking mean to each other.
void keep_legacy_order(const CUstream_st* stream) {
  if (!stream->blocking) return;
  std::vector<std::shared_ptr<CUstream_st>> first;
  {
    const std::lock_guard<std::mutex> lock(registry());
    const Streams& all = streams();
    if (stream != all.null.get()) {
      if (all.null) first.push_back(all.null);
    } else {
      for (const auto& [handle, other] : all.live)
        if (other->blocking) first.push_back(other);
    }
  }
  for (const auto& other : first) wait_for(other.get());
}

}  // namespace

CUstream_st* find_stream(cudaStream_t stream) {
  Streams& all = streams();
  if (stream) return all.live.count(stream) ? stream : nullptr;
  if (!all.null) {
    all.null = std::make_shared<CUstream_st>(true);
    all.null->thread.detach();  // it lives as long as the process
  }
  return all.null.get();
}

cudaError_t enqueue(cudaStream_t handle, std::function<void()> work, Done done) {
  TG_STEP(device_state());
  CUstream_st* stream;
  {
    const std::lock_guard<std::mutex> lock(registry());
    stream = find_stream(handle);
    if (!stream) return report(cudaErrorInvalidResourceHandle);
    if (stream->capture) {
      if (stream->capture->spoilt) return report(cudaErrorStreamCaptureInvalidated);
      stream->capture->nodes.push_back(std::move(work));
      ++stream->captured;
      return cudaSuccess;
    }
    if (!handle)
      for (const auto& capture : captures())
        if (capture->origin->blocking) {
          capture->spoilt = true;
          return report(cudaErrorStreamCaptureImplicit);
        }
  }
  keep_legacy_order(stream);
  push(stream, std::move(work), done);
  if (launches_block()) wait_for(stream);
  return cudaSuccess;
}

cudaError_t drain(cudaStream_t handle) {
  TG_STEP(refuse_wait());
  CUstream_st* stream;
  {
    const std::lock_guard<std::mutex> lock(registry());
    stream = find_stream(handle);
  }
  if (!stream) return cudaSuccess;
  keep_legacy_order(stream);
  wait_for(stream);
  return cudaSuccess;
}

cudaError_t drain_all() {
  TG_STEP(refuse_wait());
  std::vector<std::shared_ptr<CUstream_st>> all;
  {
    const std::lock_guard<std::mutex> lock(registry());
    for (const auto& [handle, stream] : streams().live) all.push_back(stream);
    if (streams().null) all.push_back(streams().null);
  }
  for (const auto& stream : all) wait_for(stream.get());
  return cudaSuccess;
}

}  // namespace tg::emulation

using namespace tg::emulation;

void CUstream_st::run() {
  std::unique_lock<std::mutex> lock(mutex);
  for (;;) {
    changed.wait(lock, [&] { return closing || !queue.empty(); });
    if (queue.empty()) return;
    const Item item = std::move(queue.front());
    queue.pop_front();
    lock.unlock();
    if (item.done == Done::always || !device_lost()) item.work();
    lock.lock();
    ++done;
    changed.notify_all();
  }
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  *stream = nullptr;
  if (flags & ~cudaStreamNonBlocking) return report(cudaErrorInvalidValue);
  TG_STEP(cudaSetDevice(0));
  const auto fresh = std::make_shared<CUstream_st>(!(flags & cudaStreamNonBlocking));
  *stream = fresh.get();
  const std::lock_guard<std::mutex> lock(registry());
  streams().live[*stream] = fresh;
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  std::shared_ptr<CUstream_st> stream;
  {
    const std::lock_guard<std::mutex> lock(registry());
    const auto found = streams().live.find(handle);
    if (found == streams().live.end()) return report(cudaErrorInvalidResourceHandle);
    stream = found->second;
    if (stream->capture) stream->capture->spoilt = true;
    streams().live.erase(found);
  }
  {
    const std::lock_guard<std::mutex> lock(stream->mutex);
    stream->closing = true;
  }
  stream->changed.notify_all();
  stream->thread.join();
  return device_state();
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  TG_STEP(device_state());
  TG_STEP(refuse_in_capture_of(stream));
  TG_STEP(drain(stream));
  return device_state();
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  TG_STEP(device_state());
  TG_STEP(refuse_in_capture_of(handle));
  const std::lock_guard<std::mutex> lock(registry());
  return idle(find_stream(handle)) ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaDeviceSynchronize() {
  TG_STEP(device_state());
  TG_STEP(refuse_in_capture());
  TG_STEP(drain_all());
  return device_state();
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  return enqueue(stream, [=] { function(argument); });
}

cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback,
                                  void* argument, unsigned flags) {
  if (flags != 0) return report(cudaErrorInvalidValue);
  TG_STEP(refuse_in_capture_of(stream));
  return enqueue(
      stream,
      [=] { callback(stream, device_lost() ? cudaErrorLaunchFailure : cudaSuccess, argument); },
      Done::always);
}

// ---- events ----
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = nullptr;
  TG_STEP(cudaSetDevice(0));
  *event = new CUevent_st;
  (*event)->flags = flags;
  const std::lock_guard<std::mutex> lock(registry());
  streams().events.insert(*event);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  {
    const std::lock_guard<std::mutex> lock(registry());
    if (streams().events.erase(event) == 0) return report(cudaErrorInvalidResourceHandle);
  }
  {
    std::unique_lock<std::mutex> lock(streams().event_mutex);
    streams().event_done.wait(lock, [&] { return event->completed >= event->records; });
  }
  delete event;
  return device_state();
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  TG_STEP(device_state());
  {
    const std::lock_guard<std::mutex> lock(registry());
    CUstream_st* const stream = find_stream(handle);
    if (!stream || !streams().events.count(event)) return report(cudaErrorInvalidResourceHandle);
    event->capture = stream->capture;
    event->stream = handle;
    event->position = stream->captured;
    if (stream->capture) return cudaSuccess;
  }
  uint64_t record;
  {
    const std::lock_guard<std::mutex> lock(streams().event_mutex);
    record = ++event->records;
  }
  return enqueue(
      handle,
      [=] {
        const std::lock_guard<std::mutex> lock(streams().event_mutex);
        event->completed = record;
        event->time = std::chrono::steady_clock::now();
        streams().event_done.notify_all();
      },
      Done::always);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  TG_STEP(device_state());
  {
    const std::lock_guard<std::mutex> lock(registry());
    CUstream_st* const stream = find_stream(handle);
    if (!stream || !streams().events.count(event)) return report(cudaErrorInvalidResourceHandle);
    if (event->capture && !event->capture->ended) {
      if (stream->capture && stream->capture != event->capture) {
        stream->capture->spoilt = event->capture->spoilt = true;
        return report(cudaErrorStreamCaptureIsolation);
      }
      const auto source = event->capture->joined.find(event->stream);
      if (source != event->capture->joined.end() && stream != event->stream &&
          event->position == event->stream->captured)
        source->second = false;
      if (!stream->capture) {
        stream->capture = event->capture;
        event->capture->joined[handle] = true;
      } else if (event->capture->joined.count(handle)) {
        event->capture->joined[handle] = true;
      }
      return cudaSuccess;
    }
    if (stream->capture) {
      stream->capture->spoilt = true;
      return report(cudaErrorStreamCaptureIsolation);
    }
  }
  uint64_t record;
  {
    const std::lock_guard<std::mutex> lock(streams().event_mutex);
    record = event->records;
  }
  return enqueue(handle, [=] {
    std::unique_lock<std::mutex> lock(streams().event_mutex);
    streams().event_done.wait(lock, [&] { return event->completed >= record; });
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  TG_STEP(device_state());
  if (event->capture) return report(cudaErrorCapturedEvent);
  const std::lock_guard<std::mutex> lock(streams().event_mutex);
  return event->completed >= event->records ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  TG_STEP(device_state());
  if (event->capture) return report(cudaErrorCapturedEvent);
  TG_STEP(refuse_wait());
  {
    std::unique_lock<std::mutex> lock(streams().event_mutex);
    const uint64_t record = event->records;
    streams().event_done.wait(lock, [&] { return event->completed >= record; });
  }
  return device_state();
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  TG_STEP(device_state());
  const std::lock_guard<std::mutex> lock(streams().event_mutex);
  for (const cudaEvent_t event : {start, end}) {
    if (event->records == 0 || (event->flags & cudaEventDisableTiming))
      return report(cudaErrorInvalidResourceHandle);
    if (event->completed < event->records) return cudaErrorNotReady;
  }
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}
