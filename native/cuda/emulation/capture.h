// What streams, events and graphs are made of.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "state.h"

namespace tg::emulation {

// Work that was enqueued while a stream captured, in the order of the calls: one that satisfies all
// dependencies.
using Nodes = std::vector<std::function<void()>>;

struct Capture {
  cudaStream_t origin;
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  Nodes nodes;
  bool spoilt = false, ended = false;
  std::map<cudaStream_t, bool> joined;  // other streams: true while their work has not come back
};

struct Item {
  std::function<void()> work;
  Done done;
};

}  // namespace tg::emulation

struct CUstream_st {
  explicit CUstream_st(bool blocks) : blocking(blocks), thread([this] { run(); }) {}

  const bool blocking;                              // with respect to the null stream
  std::shared_ptr<tg::emulation::Capture> capture;  // under way
  uint64_t captured = 0;                            // items of it

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<tg::emulation::Item> queue;
  uint64_t enqueued = 0, done = 0;
  bool closing = false;
  std::thread thread;  // last: it uses the others

 private:
  void run();
};

struct CUevent_st {
  unsigned flags;
  uint64_t records = 0, completed = 0;  // how often it was recorded, and how many of them are done
  std::chrono::steady_clock::time_point time;
  // When it was last recorded in a capture: which, by which stream, after how much of its work.
  std::shared_ptr<tg::emulation::Capture> capture;
  cudaStream_t stream = nullptr;
  uint64_t position = 0;
};

struct CUgraph_st {
  tg::emulation::Nodes nodes;
};

struct CUgraphExec_st {
  std::shared_ptr<const tg::emulation::Nodes> nodes;
};

namespace tg::emulation {

// The null stream for null. Null for one that does not exist. The registry must be locked.
CUstream_st* find_stream(cudaStream_t stream);
// Those under way.
const std::vector<std::shared_ptr<Capture>>& captures();

}  // namespace tg::emulation
