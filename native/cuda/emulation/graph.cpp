// Capturing streams into graphs, and launching them. A node holds what the call that made it was
// given, by value: memory that pointers lead to is read when the graph runs, nothing else is.
#include <algorithm>

#include "capture.h"

namespace tg::emulation {

namespace {

std::vector<std::shared_ptr<Capture>>& under_way() {
  static auto& all = *new std::vector<std::shared_ptr<Capture>>;
  return all;
}

thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

}  // namespace

const std::vector<std::shared_ptr<Capture>>& captures() { return under_way(); }

// Which captures a call on this thread must respect: its own ones, unless they are relaxed; and,
// unless the thread says otherwise, the global ones of others.
cudaError_t refuse_in_capture() {
  const std::lock_guard<std::mutex> lock(registry());
  if (thread_mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  cudaError_t error = cudaSuccess;
  for (const auto& capture : under_way()) {
    const bool own = capture->thread == std::this_thread::get_id();
    const bool forbids = own ? capture->mode != cudaStreamCaptureModeRelaxed
                             : capture->mode == cudaStreamCaptureModeGlobal &&
                                   thread_mode == cudaStreamCaptureModeGlobal;
    if (!forbids) continue;
    capture->spoilt = true;
    error = cudaErrorStreamCaptureUnsupported;
  }
  return error;
}

cudaError_t refuse_in_capture_of(cudaStream_t handle) {
  const std::lock_guard<std::mutex> lock(registry());
  CUstream_st* const stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (!stream->capture) return cudaSuccess;
  stream->capture->spoilt = true;
  return cudaErrorStreamCaptureUnsupported;
}

}  // namespace tg::emulation

using namespace tg::emulation;

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  TG_STEP(device_state());
  if (!handle) return report(cudaErrorStreamCaptureUnsupported);
  const std::lock_guard<std::mutex> lock(registry());
  CUstream_st* const stream = find_stream(handle);
  if (!stream) return report(cudaErrorInvalidResourceHandle);
  if (stream->capture) return report(cudaErrorIllegalState);
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = handle;
  stream->capture->mode = mode;
  stream->capture->thread = std::this_thread::get_id();
  stream->captured = 0;
  under_way().push_back(stream->capture);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  *graph = nullptr;
  const std::lock_guard<std::mutex> lock(registry());
  CUstream_st* const stream = handle ? find_stream(handle) : nullptr;
  if (!stream || !stream->capture) return report(cudaErrorIllegalState);
  const std::shared_ptr<Capture> capture = stream->capture;
  if (capture->origin != handle) return report(cudaErrorStreamCaptureUnmatched);
  if (capture->mode != cudaStreamCaptureModeRelaxed &&
      capture->thread != std::this_thread::get_id())
    return report(cudaErrorStreamCaptureWrongThread);
  bool unjoined = false;
  stream->capture.reset();
  for (const auto& [other, open] : capture->joined) {
    if (CUstream_st* const joined = find_stream(other)) joined->capture.reset();
    unjoined |= open;
  }
  capture->ended = true;
  auto& all = under_way();
  all.erase(std::remove(all.begin(), all.end(), capture), all.end());
  TG_STEP(device_state());
  if (capture->spoilt) return report(cudaErrorStreamCaptureInvalidated);
  if (unjoined) return report(cudaErrorStreamCaptureUnjoined);
  *graph = new CUgraph_st{std::move(capture->nodes)};
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  *status = cudaStreamCaptureStatusNone;
  TG_STEP(device_state());
  const std::lock_guard<std::mutex> lock(registry());
  CUstream_st* const stream = find_stream(handle);
  if (!stream) return report(cudaErrorInvalidResourceHandle);
  if (stream->capture)
    *status = stream->capture->spoilt ? cudaStreamCaptureStatusInvalidated
                                      : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, thread_mode);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return device_state();
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  if (nodes) return report(cudaErrorNotSupported);
  *count = graph->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  *executable = nullptr;
  TG_STEP(device_state());
  *executable = new CUgraphExec_st{std::make_shared<const Nodes>(graph->nodes)};
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return device_state(); }

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  TG_STEP(device_state());
  TG_STEP(refuse_in_capture_of(stream));  // a graph within a graph: the project has none
  return enqueue(stream, [nodes = executable->nodes] {
    for (const auto& node : *nodes)
      if (!device_lost()) node();
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return device_state();
}
