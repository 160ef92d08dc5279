// Tests of the emulated CUDA device: threads that wait for each other, mistakes that it must find,
// memory, streams and graphs. Its matrix and copy units: cuda_emulation_units_test.cpp.
#include <cuda_runtime.h>

#include <stdio.h>
#include <string.h>

#include <thread>
#include <vector>

#include "cuda/emulation_check.h"

namespace {

using namespace tg::emulation;
using tg::test::check;
using tg::test::dies;
using tg::test::enqueue;
using tg::test::exit_status;
using tg::test::launch;

// ---- threads of a block ----
template <class T>
__global__ void block_sum(const T* x, T* y, int n) {
  __shared__ T part[32];
  T sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    sum += x[i];
  for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (unsigned w = 1; w < blockDim.x / 32; ++w) sum += part[w];
  atomicAdd(y, sum);
}

template <class T>
void sums() {
  std::vector<T> x(10000);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(i % 7);
  T *dx, *dy, y = -1;
  cudaMalloc(&dx, x.size() * sizeof(T));
  cudaMalloc(&dy, sizeof(T));
  cudaMemcpy(dx, x.data(), x.size() * sizeof(T), cudaMemcpyHostToDevice);
  const T zero = 0;
  cudaMemcpy(dy, &zero, sizeof(T), cudaMemcpyHostToDevice);
  launch(block_sum<T>, dim3(5), dim3(256), dx, dy, static_cast<int>(x.size()));
  cudaMemcpy(&y, dy, sizeof(T), cudaMemcpyDeviceToHost);
  T expected = 0;
  for (T v : x) expected += v;
  check(y == expected, "a sum by shuffles, shared memory and atomics");
  cudaFree(dx);
  cudaFree(dy);
}

__global__ void lanes(int* out) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int* const mine = out + 16 * threadIdx.x;
  mine[0] = __shfl_up_sync(~0u, lane, 3);
  mine[1] = __shfl_down_sync(~0u, lane, 3, 8);
  mine[2] = __shfl_sync(~0u, lane, 9, 8);
  mine[3] = static_cast<int>(__shfl_xor_sync(~0u, 10.0 * lane, 5));
  mine[4] = static_cast<int>(__ballot_sync(~0u, lane % 3 == 0));
  mine[5] = __any_sync(~0u, lane == 7);
  mine[6] = __all_sync(~0u, lane != 7);
  if (lane < 16) {  // half a warp at a time
    mine[7] = __shfl_xor_sync(0xFFFFu, lane, 1);
  } else {
    mine[7] = __shfl_xor_sync(0xFFFF0000u, lane, 2);
  }
  mine[8] = __syncthreads_count(threadIdx.x % 5 == 0);
  mine[9] = __syncthreads_or(threadIdx.x == 40);
  mine[10] = __syncthreads_and(threadIdx.x != 40);
}

void warps() {
  const int n = 64;
  int out[16 * n], *d;
  cudaMalloc(&d, sizeof out);
  launch(lanes, dim3(1), dim3(n), d);
  cudaMemcpy(out, d, sizeof out, cudaMemcpyDeviceToHost);
  cudaFree(d);
  bool up = true, down = true, from = true, bits = true, votes = true, halves = true, counts = true;
  for (int t = 0; t < n; ++t) {
    const int lane = t % 32;
    const int* const o = out + 16 * t;
    up &= o[0] == (lane < 3 ? lane : lane - 3);
    down &= o[1] == (lane % 8 + 3 < 8 ? lane + 3 : lane);
    from &= o[2] == lane / 8 * 8 + 1;
    bits &= o[3] == 10 * (lane ^ 5);
    votes &= o[4] == 0x49249249 && o[5] == 1 && o[6] == 0;
    halves &= o[7] == (lane ^ (lane < 16 ? 1 : 2));
    counts &= o[8] == 13 && o[9] == 1 && o[10] == 0;
  }
  check(up, "__shfl_up_sync");
  check(down, "__shfl_down_sync in segments");
  check(from, "__shfl_sync in segments");
  check(bits, "__shfl_xor_sync of doubles");
  check(votes, "votes");
  check(halves, "different masks in one warp");
  check(counts, "__syncthreads_count, _or, _and");
}

// ---- mistakes ----
__global__ void reversed_without_barrier(float* out) {
  __shared__ float tile[64];
  tile[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (out[threadIdx.x] < 0) __syncthreads();  // never: a barrier is missing
  out[threadIdx.x] = tile[63 - threadIdx.x];
}

__global__ void in_order_only(float* out) {  // right only if thread 0 comes first
  __shared__ float value;
  if (threadIdx.x == 0) value = 1;
  out[threadIdx.x] = value;
}

// How many of the results are poison.
template <class Kernel>
int poisoned(Kernel kernel) {
  float out[64] = {}, *d;
  cudaMalloc(&d, sizeof out);
  cudaMemcpy(d, out, sizeof out, cudaMemcpyHostToDevice);
  launch(kernel, dim3(1), dim3(64), d);
  cudaMemcpy(out, d, sizeof out, cudaMemcpyDeviceToHost);
  cudaFree(d);
  int n = 0;
  for (float x : out) n += x != x;
  return n;
}

__global__ void half_a_barrier() {
  if (threadIdx.x < 40)
    __syncthreads();
  else
    __syncwarp(1u << (threadIdx.x % 32) | 1u << ((threadIdx.x + 1) % 32));
}
__global__ void half_a_shuffle(int* out) {
  if (threadIdx.x < 16)
    out[threadIdx.x] = __shfl_xor_sync(~0u, 1, 1);
  else
    __syncthreads();
}
__global__ void nothing() {}
__global__ void polls() {
  __shared__ int flag;
  for (flag = 0; *const_cast<volatile int*>(&flag) == 0;) __nanosleep(100);
}

void mistakes() {
  check(poisoned(reversed_without_barrier) == 32, "a missing barrier shows in order");
  check(poisoned(in_order_only) == 0, "and one for thread 0 alone does not");
  int found = 0;
  for (options().seed = 1; options().seed <= 8; ++options().seed)
    found += poisoned(in_order_only) > 0;
  options().seed = 0;
  check(found >= 6, "but with seeds it does");
  check(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 232449) ==
            cudaErrorInvalidValue,
        "more shared memory than there is");
  check(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 232448) ==
            cudaSuccess,
        "all shared memory");
  launch(nothing, dim3(1), dim3(32), tg::test::Shared{232448});
  check(cudaGetLastError() == cudaErrorInvalidValue, "the last error stays until it is asked for");
  check(cudaGetLastError() == cudaSuccess, "and no longer");
}

// ---- memory, streams, graphs ----
__global__ void add(float* to, const float* step, float times) { *to += times * *step; }

void memory() {
  float fresh = 0, *d = nullptr, *pinned = nullptr;
  check(cudaMalloc(&d, 100) == cudaSuccess && reinterpret_cast<uintptr_t>(d) % 256 == 0,
        "cudaMalloc");
  cudaMemcpy(&fresh, d + 24, 4, cudaMemcpyDeviceToHost);
  check(fresh != fresh, "fresh memory is poison");
  check(cudaMemcpy(&fresh, d + 25, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue,
        "a copy from behind the end");
  check(cudaMemcpy(d, &fresh, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue,
        "a copy in the wrong direction");
  check(cudaFree(d + 1) == cudaErrorInvalidValue, "no allocation");
  options().memory = 1000;
  void* more = &fresh;
  check(cudaMalloc(&more, 901) == cudaErrorMemoryAllocation && !more, "the limit");
  size_t left, total;
  check(cudaMemGetInfo(&left, &total) == cudaSuccess && left == 900 && total == 1000,
        "what is left");
  options().memory = size_t{1} << 30;
  check(cudaMallocHost(&pinned, 64) == cudaSuccess && cudaFreeHost(pinned) == cudaSuccess,
        "pinned");
  check(cudaFree(d) == cudaSuccess && cudaFree(nullptr) == cudaSuccess, "cudaFree");
  check(cudaFree(d) == cudaErrorInvalidValue, "twice");
  options().devices = 0;
  int count = 7;
  check(cudaGetDeviceCount(&count) == cudaErrorNoDevice && count == 0, "no device");
  options().driver = false;
  check(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver, "an old driver");
  options() = Options();
  (void)cudaGetLastError();
}

void streams() {
  cudaStream_t a, b;
  cudaEvent_t event;
  cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  static std::atomic<int> order;
  static std::atomic<bool> hold;
  static int seen[2];
  const auto slow = [](void* to) {
    while (hold) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    *static_cast<int*>(to) = ++order;
  };
  const auto quick = [](void* to) { *static_cast<int*>(to) = ++order; };
  hold = true;
  cudaLaunchHostFunc(a, slow, &seen[0]);
  check(cudaStreamQuery(a) == cudaErrorNotReady, "work is under way");
  cudaEventRecord(event, a);
  check(cudaEventQuery(event) == cudaErrorNotReady, "and the event is not there");
  cudaStreamWaitEvent(b, event);
  cudaLaunchHostFunc(b, quick, &seen[1]);
  hold = false;
  check(cudaStreamSynchronize(b) == cudaSuccess && seen[0] == 1 && seen[1] == 2,
        "a stream waits for another's event");
  check(cudaEventSynchronize(event) == cudaSuccess && cudaEventQuery(event) == cudaSuccess, "done");

  // Memory is there when its stream has come so far: what other streams write earlier is lost.
  float early = 3, *late;
  hold = true;
  cudaLaunchHostFunc(a, slow, &seen[0]);
  cudaMallocAsync(&late, 4, a);
  cudaMemcpyAsync(late, &early, 4, cudaMemcpyHostToDevice, b);
  cudaStreamSynchronize(b);
  hold = false;
  cudaMemcpyAsync(&early, late, 4, cudaMemcpyDeviceToHost, a);
  check(early != early, "memory of another stream, too early");
  cudaFreeAsync(late, a);

  // From pageable memory a copy has read when it returns, though it is done later.
  float value = 3, back = 0, *d;
  cudaMalloc(&d, 4);
  hold = true;
  cudaLaunchHostFunc(a, slow, &seen[0]);
  cudaMemcpyAsync(d, &value, 4, cudaMemcpyHostToDevice, a);
  value = 4;
  hold = false;
  cudaMemcpyAsync(&back, d, 4, cudaMemcpyDeviceToHost, a);
  check(back == 3, "pageable memory");
  // So does cudaMemcpy: a stream that does not mind the null stream may see what was there before.
  seen[0] = 0;
  hold = true;
  cudaLaunchHostFunc(nullptr, slow, &seen[0]);
  cudaMemcpy(d, &value, 4, cudaMemcpyHostToDevice);
  check(seen[0] == 0, "cudaMemcpy to the device does not wait for the copy");
  hold = false;
  check(cudaMemcpy(&back, d, 4, cudaMemcpyDeviceToHost) == cudaSuccess && seen[0] != 0 && back == 4,
        "cudaMemcpy to the host does");
  setenv("TAPEGRAD_EMULATION_WAITS", "0", 1);
  check(cudaStreamSynchronize(a) == cudaErrorNotPermitted &&
            cudaEventSynchronize(event) == cudaErrorNotPermitted &&
            cudaFree(d) == cudaErrorNotPermitted &&
            cudaMemcpyAsync(&back, d, 4, cudaMemcpyDeviceToHost, a) == cudaErrorNotPermitted &&
            cudaMemcpyAsync(d, &value, 4, cudaMemcpyHostToDevice, a) == cudaSuccess,
        "waits that are forbidden");
  unsetenv("TAPEGRAD_EMULATION_WAITS");
  check(cudaStreamSynchronize(a) == cudaSuccess, "and allowed again");
  cudaFree(d);
  cudaEventDestroy(event);
  check(cudaStreamDestroy(a) == cudaSuccess && cudaStreamDestroy(b) == cudaSuccess, "destroyed");
  check(cudaStreamDestroy(a) == cudaErrorInvalidResourceHandle, "and unknown then");
  (void)cudaGetLastError();
}

// Copies that come late, and a host that does not wait for them.
void late_copies(bool waits) {
  options().copy_delay = 20000;
  cudaStream_t stream;
  float *d, *from, *to;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  cudaMalloc(&d, 4);
  cudaMallocHost(&from, 4);
  cudaMallocHost(&to, 4);
  *from = 3;
  *to = 7;
  cudaMemcpyAsync(d, from, 4, cudaMemcpyHostToDevice, stream);
  cudaMemcpyAsync(to, d, 4, cudaMemcpyDeviceToHost, stream);
  const bool early = *to == *to;
  if (!waits) *from = 4;
  cudaStreamSynchronize(stream);
  check(!early && *to == 3, "what a copy will fill is poison until then");
  cudaFree(d);
  cudaFreeHost(from);
  cudaFreeHost(to);
  cudaStreamDestroy(stream);
  options().copy_delay = 0;
}

void graphs() {
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  float *d, zero = 0, step = 1, result = -1;
  cudaMalloc(&d, 8);
  cudaMemcpyAsync(d, &zero, 4, cudaMemcpyHostToDevice, stream);
  cudaMemcpyAsync(d + 1, &step, 4, cudaMemcpyHostToDevice, stream);
  const auto value = [&] {
    cudaMemcpyAsync(&result, d, 4, cudaMemcpyDeviceToHost, stream);
    cudaStreamSynchronize(stream);
    return result;
  };
  float times = 10;
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  enqueue(stream, add, dim3(1), dim3(1), 0, 1, d, d + 1, times);
  times = 1000;
  enqueue(stream, add, dim3(1), dim3(1), 0, 1, d, d + 1, 1.0f);
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  check(cudaStreamEndCapture(stream, &graph) == cudaSuccess, "a capture");
  size_t nodes = 0;
  check(cudaGraphGetNodes(graph, nullptr, &nodes) == cudaSuccess && nodes == 2, "of two nodes");
  check(value() == 0, "does nothing yet");
  cudaGraphInstantiate(&executable, graph);
  cudaGraphDestroy(graph);
  cudaGraphLaunch(executable, stream);
  check(value() == 11, "arguments are as they were, by value");
  step = 2;
  cudaMemcpyAsync(d + 1, &step, 4, cudaMemcpyHostToDevice, stream);
  cudaGraphLaunch(executable, stream);
  check(value() == 33, "memory is as it is then");
  cudaGraphExecDestroy(executable);

  const auto spoils = [&](auto call) {
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    const bool refused = call() == cudaErrorStreamCaptureUnsupported;
    const bool spoilt = cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated;
    (void)cudaGetLastError();
    return refused && spoilt && !graph;
  };
  void* memory;
  check(spoils([&] { return cudaStreamSynchronize(stream); }), "waiting spoils a capture");
  check(spoils([&] { return cudaMalloc(&memory, 4); }), "cudaMalloc spoils it");
  check(spoils([&] { return cudaMemcpy(&result, d, 4, cudaMemcpyDeviceToHost); }),
        "cudaMemcpy, too");
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  check(cudaMallocAsync(&memory, 4, stream) == cudaErrorStreamCaptureUnsupported,
        "cudaMallocAsync");
  std::thread([&] {
    float* other = nullptr;
    check(cudaMalloc(&other, 4) == cudaSuccess && cudaFree(other) == cudaSuccess,
          "other threads are not concerned");
  }).join();
  check(cudaStreamEndCapture(stream, &graph) == cudaSuccess, "the capture is not spoilt");
  cudaGraphDestroy(graph);
  cudaFree(d);
  cudaStreamDestroy(stream);
  (void)cudaGetLastError();
}

void many_threads() {
  std::vector<std::thread> threads;
  for (int k = 0; k < 4; ++k)
    threads.emplace_back([] {
      for (int i = 0; i < 5; ++i) sums<int>();
    });
  for (auto& t : threads) t.join();
}

// In a process of its own, since nothing works afterwards.
bool loses_device() {
  options().fail_launch = 2;
  const bool before = launch(nothing, dim3(1), dim3(1)) == cudaSuccess;
  const bool at = launch(nothing, dim3(1), dim3(1)) == cudaErrorLaunchFailure;
  float* d = nullptr;
  const bool after = cudaMalloc(&d, 4) == cudaErrorLaunchFailure &&
                     cudaGetLastError() == cudaErrorLaunchFailure &&
                     cudaGetLastError() == cudaErrorLaunchFailure;
  return before && at && after;
}

// Kernels and copies on guarded memory, and, unless the device is alone, the host.
void touches_guarded(bool device_alone) {
  options().guard = true;
  sums<float>();
  float *d[3] = {}, *big = nullptr;
  for (float*& p : d) cudaMalloc(&p, 1000);
  cudaFree(d[1]);
  cudaFree(d[0]);
  cudaMalloc(&big, 2000);
  const bool reused = big == d[0];
  sums<int>();
  if (!device_alone) *static_cast<volatile float*>(big) = 1;
  cudaFree(big);
  cudaFree(d[2]);
  _exit(tg::test::failed == 0 && reused ? 42 : 2);
}

// First, while the process has one thread: others are not in a child.
void deaths() {
  check(dies([] { launch(half_a_barrier, dim3(1), dim3(64)); }, "thread (40, 0, 0)"),
        "a deadlock is reported with who waits where");
  check(dies([] { launch(half_a_barrier, dim3(1), dim3(64)); }, "at __syncthreads"),
        "and for what");
  check(dies([] { launch(half_a_shuffle, dim3(1), dim3(32), static_cast<int*>(nullptr)); },
             "__shfl_xor_sync"),
        "a shuffle that not all of its mask reach");
  check(dies([] { launch(polls, dim3(1), dim3(2)); }, "are polling"), "polling for ever");
  check(dies([] { launch(nothing, dim3(1), dim3(1025)); }, "1,024 threads"), "too many threads");
  check(dies([] { launch(nothing, dim3(1), dim3(32), tg::test::Shared{49153}); }, "48 KiB"),
        "shared memory that was not asked for");
  check(dies(
            [] {
              fprintf(stderr, loses_device() ? "lost as it should be" : "?");
              abort();
            },
            "lost as it should be"),
        "a lost device");
  check(dies([] { late_copies(false); }, "have changed before they were copied"),
        "host memory that is written while a copy may read it");
  check(exit_status([] { touches_guarded(true); }) == 42, "guarded memory");
  const int status = exit_status([] { touches_guarded(false); });
  check(status != 42 && status != 2, "the host must not touch it");
}

}  // namespace

int main() {
  deaths();
  mistakes();
  for (options().seed = 0; options().seed < 4; ++options().seed) {
    sums<float>();
    sums<double>();
    sums<unsigned long long>();
    warps();
  }
  options().seed = 0;
  memory();
  streams();
  late_copies(true);
  graphs();
  many_threads();
  return tg::test::summary();
}
