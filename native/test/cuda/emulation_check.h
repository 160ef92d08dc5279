// What the tests of the emulated device share: checks, launches, and deaths in a child process.
#pragma once

#include <cuda_runtime.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>

#include "../../cuda/emulation/options.h"

namespace tg::test {

inline std::atomic<int> passed{0}, failed{0};
inline void check(bool ok, const char* what) {
  ok ? ++passed : ++failed;
  if (!ok) printf("FAILED: %s\n", what);
}
inline int summary() {
  printf("%d passed, %d failed\n", passed.load(), failed.load());
  return failed != 0;
}

// kernel(arguments…), on `stream`.
template <class... Parameters, class... Arguments>
cudaError_t enqueue(cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                    size_t shared, unsigned cluster, Arguments... arguments) {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = cluster;  // along x
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  const cudaLaunchConfig_t config = {grid, block, shared, stream, &attribute, 1};
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

// The same on a stream of its own, behind what the null stream does, waited for.
struct Shared {
  size_t bytes;
  unsigned cluster = 1;
};
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, Shared shared,
                   Arguments... arguments) {
  cudaStream_t stream;
  cudaError_t error = cudaStreamCreate(&stream);
  if (error != cudaSuccess) return error;
  error = enqueue(stream, kernel, grid, block, shared.bytes, shared.cluster, arguments...);
  if (error == cudaSuccess) error = cudaStreamSynchronize(stream);
  (void)cudaStreamDestroy(stream);
  return error;
}
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, Arguments... arguments) {
  return launch(kernel, grid, block, Shared{0}, arguments...);
}

// Whether action() aborts with a message that contains `text`, in a child process: one that is made
// while this process has a single thread, or its streams would have none there.
template <class Action>
bool dies(Action action, const char* text) {
  int ends[2];
  if (pipe(ends) != 0) return false;
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 2);
    close(ends[0]);
    close(ends[1]);
    action();
    _exit(0);
  }
  close(ends[1]);
  std::string said;
  char piece[4096];
  for (ssize_t n; (n = read(ends[0], piece, sizeof piece)) > 0;)
    said.append(piece, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  const bool found = said.find(text) != std::string::npos;
  if (!found) printf("expected “%s” in:\n%s", text, said.c_str());
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && found;
}

// What a child process that runs action() exits with; 128 and the number if by a signal.
template <class Action>
int exit_status(Action action) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    if (!freopen("/dev/null", "w", stderr)) _exit(0);
    action();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace tg::test
