// What the library exports: devices, memory, copies and graphs. Kernels are behind backend.h.
#include <cuda_runtime.h>

#include <new>

#include "backend.h"
#include "device.h"

namespace tg {

struct DeviceGraph {
  cudaGraphExec_t executable;
};

struct DeviceMark {
  cudaEvent_t event;
};

namespace cuda {

Status failed(Error* error, const char* what, cudaError_t code) {
  (void)cudaGetLastError();  // so that the next call does not report it again
  const bool memory = code == cudaErrorMemoryAllocation;
  return error->set(memory ? Status::out_of_memory : Status::device, "%s: CUDA: %s (%s)", what,
                    cudaGetErrorString(code), cudaGetErrorName(code));
}

namespace {

Status count(Error* error, int* devices) {
  *devices = 0;
  TG_CUDA("cuda", cudaGetDeviceCount(devices));
  return Status::ok;
}

Status describe(Error* error, int index, DeviceInfo* info) {
  cudaDeviceProp properties;
  TG_CUDA("cuda", cudaGetDeviceProperties(&properties, index));
  *info = {};
  std::snprintf(info->name, sizeof info->name, "%s", properties.name);
  info->capability = properties.major * 10 + properties.minor;
  info->multiprocessors = properties.multiProcessorCount;
  info->memory = properties.totalGlobalMem;
  TG_CUDA("cuda", cudaDriverGetVersion(&info->driver));
  TG_CUDA("cuda", cudaRuntimeGetVersion(&info->runtime));
  return Status::ok;
}

Status set_up(Error* error, Device* device) {
  TG_CUDA("cuda", cudaSetDevice(device->index));
  int major, minor, shared;
  const auto attribute = [&](int* value, cudaDeviceAttr which) {
    return cudaDeviceGetAttribute(value, which, device->index);
  };
  TG_CUDA("cuda", attribute(&major, cudaDevAttrComputeCapabilityMajor));
  TG_CUDA("cuda", attribute(&minor, cudaDevAttrComputeCapabilityMinor));
  TG_CUDA("cuda", attribute(&device->multiprocessors, cudaDevAttrMultiProcessorCount));
  TG_CUDA("cuda", attribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin));
  device->capability = major * 10 + minor;
  device->shared_memory = static_cast<size_t>(shared);
  if (device->capability < 80)
    return error->set(Status::device,
                      "cuda: device %d has compute capability %d.%d, but 8.0 is needed",
                      device->index, major, minor);
  TG_CUDA("cuda", cudaDeviceGetDefaultMemPool(&device->pool, device->index));
  TG_CUDA("cuda", cudaStreamCreateWithFlags(&device->stream, cudaStreamNonBlocking));
  constexpr size_t kBytes = sizeof(unsigned) * Device::kArrivals;
  void* arrivals;
  TG_CUDA("cuda", cudaMallocAsync(&arrivals, kBytes, device->stream));
  device->arrivals = static_cast<unsigned*>(arrivals);
  TG_CUDA("cuda", cudaMemsetAsync(arrivals, 0, kBytes, device->stream));
  return Status::ok;
}

Status open(Error* error, int index, Device** result) {
  Device* device = new (std::nothrow) Device{};
  if (!device) return error->set(Status::out_of_memory, "cuda: no memory for a device");
  device->index = index;
  const Status status = set_up(error, device);
  if (status != Status::ok) {
    if (device->stream) (void)cudaStreamDestroy(device->stream);
    delete device;
    return status;
  }
  *result = device;
  return Status::ok;
}

// Which device a thread talks to is the runtime's state of that thread.
void enter(Device* device) { (void)cudaSetDevice(device->index); }

void close(Device* device) {
  enter(device);
  (void)cudaFreeAsync(device->arrivals, device->stream);
  (void)cudaStreamSynchronize(device->stream);
  (void)cudaStreamDestroy(device->stream);
  (void)cudaGetLastError();
  delete device;
}

void* allocate(Device* device, size_t bytes) {
  enter(device);
  void* memory = nullptr;
  if (cudaMallocAsync(&memory, bytes, device->stream) == cudaSuccess) return memory;
  (void)cudaGetLastError();
  return nullptr;
}

void release(Device* device, void* memory) {
  enter(device);
  (void)cudaFreeAsync(memory, device->stream);
  (void)cudaGetLastError();
}

Status free_memory(Device* device, Error* error, size_t* bytes) {
  enter(device);
  size_t total;
  TG_CUDA("cuda", cudaMemGetInfo(bytes, &total));
  return Status::ok;
}

// From pageable memory the runtime copies to a buffer of its own before it returns.
Status upload(Device* device, Error* error, void* to, const void* from, size_t bytes) {
  enter(device);
  if (bytes == 0) return Status::ok;
  TG_CUDA("upload", cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, device->stream));
  TG_CUDA("upload", cudaStreamSynchronize(device->stream));
  return Status::ok;
}

Status finish(Device* device, Error* error) {
  enter(device);
  TG_CUDA("cuda", cudaStreamSynchronize(device->stream));
  return Status::ok;
}

Status download(Device* device, Error* error, void* to, const void* from, size_t bytes) {
  enter(device);
  if (bytes > 0)
    TG_CUDA("data", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, device->stream));
  TG_CUDA("data", cudaStreamSynchronize(device->stream));
  return Status::ok;
}

struct Notice {
  void (*done)(void*, bool);
  void* arg;
};

void CUDART_CB notify(cudaStream_t, cudaError_t status, void* arg) {
  Notice* const notice = static_cast<Notice*>(arg);
  notice->done(notice->arg, status == cudaSuccess);
  delete notice;
}

Status download_later(Device* device, Error* error, void* to, const void* from, size_t bytes,
                      void (*done)(void*, bool), void* arg) {
  enter(device);
  Notice* const notice = new (std::nothrow) Notice{done, arg};
  if (!notice) return error->set(Status::out_of_memory, "data: no memory for a callback");
  cudaError_t code = bytes
                         ? cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, device->stream)
                         : cudaSuccess;
  // Unlike a host function, a callback is called after a failure, too.
  if (code == cudaSuccess) code = cudaStreamAddCallback(device->stream, notify, notice, 0);
  if (code == cudaSuccess) return Status::ok;
  delete notice;
  return failed(error, "data", code);
}

Status copy(Device* device, Error* error, void* to, const void* from, size_t bytes) {
  enter(device);
  if (bytes > 0)
    TG_CUDA("copy", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, device->stream));
  return Status::ok;
}

Status clear(Device* device, Error* error, void* to, size_t bytes) {
  enter(device);
  if (bytes > 0) TG_CUDA("clear", cudaMemsetAsync(to, 0, bytes, device->stream));
  return Status::ok;
}

// Relaxed: what is recorded may ask for scratch on the way, which comes from another stream.
Status begin_graph(Device* device, Error* error) {
  enter(device);
  TG_CUDA("graph", cudaStreamBeginCapture(device->stream, cudaStreamCaptureModeRelaxed));
  return Status::ok;
}

Status end_graph(Device* device, Error* error, DeviceGraph** result) {
  enter(device);
  cudaGraph_t graph = nullptr;
  TG_CUDA("graph", cudaStreamEndCapture(device->stream, &graph));
  cudaGraphExec_t executable = nullptr;
  const cudaError_t code = cudaGraphInstantiate(&executable, graph, 0);
  (void)cudaGraphDestroy(graph);
  if (code != cudaSuccess) return failed(error, "graph", code);
  *result = new (std::nothrow) DeviceGraph{executable};
  if (*result) return Status::ok;
  (void)cudaGraphExecDestroy(executable);
  return error->set(Status::out_of_memory, "graph: no memory");
}

Status run_graph(Device* device, Error* error, DeviceGraph* graph) {
  enter(device);
  TG_CUDA("graph", cudaGraphLaunch(graph->executable, device->stream));
  return Status::ok;
}

void drop_graph(Device* device, DeviceGraph* graph) {
  enter(device);
  (void)cudaGraphExecDestroy(graph->executable);
  (void)cudaGetLastError();
  delete graph;
}

void* allocate_host(Device* device, size_t bytes) {
  enter(device);
  void* memory = nullptr;
  if (cudaMallocHost(&memory, bytes) == cudaSuccess) return memory;
  (void)cudaGetLastError();
  return nullptr;
}

void release_host(Device* device, void* memory) {
  enter(device);
  (void)cudaFreeHost(memory);
  (void)cudaGetLastError();
}

Status upload_later(Device* device, Error* error, void* to, const void* from, size_t bytes) {
  enter(device);
  if (bytes > 0)
    TG_CUDA("upload", cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, device->stream));
  return Status::ok;
}

Status fetch_later(Device* device, Error* error, void* to, const void* from, size_t bytes) {
  enter(device);
  if (bytes > 0)
    TG_CUDA("data", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, device->stream));
  return Status::ok;
}

Status make_mark(Error* error, DeviceMark** result) {
  DeviceMark* const mark = new (std::nothrow) DeviceMark{};
  if (!mark) return error->set(Status::out_of_memory, "cuda: no memory for a mark");
  const cudaError_t code = cudaEventCreateWithFlags(&mark->event, cudaEventDisableTiming);
  if (code == cudaSuccess) {
    *result = mark;
    return Status::ok;
  }
  delete mark;
  return failed(error, "cuda", code);
}

Status set_mark(Device* device, Error* error, DeviceMark** mark) {
  enter(device);
  if (!*mark) TG_TRY(make_mark(error, mark));
  TG_CUDA("cuda", cudaEventRecord((*mark)->event, device->stream));
  return Status::ok;
}

Status reach_mark(Device* device, Error* error, DeviceMark* mark) {
  enter(device);
  TG_CUDA("cuda", cudaEventSynchronize(mark->event));
  return Status::ok;
}

void drop_mark(Device* device, DeviceMark* mark) {
  enter(device);
  (void)cudaEventDestroy(mark->event);
  (void)cudaGetLastError();
  delete mark;
}

constexpr DeviceLibrary kLibrary = {
    kDeviceAbi,    kBackendAbi,    device_fingerprint(),
    "cuda",        count,          describe,
    open,          close,          allocate,
    release,       free_memory,    upload,
    download,      download_later, copy,
    clear,         finish,         begin_graph,
    end_graph,     run_graph,      drop_graph,
    allocate_host, release_host,   upload_later,
    fetch_later,   set_mark,       reach_mark,
    drop_mark,     &kBackend,
};

}  // namespace
}  // namespace cuda
}  // namespace tg

extern "C" __attribute__((visibility("default"))) const tg::DeviceLibrary*
tapegrad_device_library() {
  return &tg::cuda::kLibrary;
}
