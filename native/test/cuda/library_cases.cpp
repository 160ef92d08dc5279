// Memory, copies and graphs of the device library itself.
#include <string.h>

#include "cases.h"

namespace tg::test {

namespace {

void copies(Harness& h) {
  const DeviceLibrary& l = h.library;
  std::vector<int> from(1000), to(1000, -1);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<int>(i);
  const size_t bytes = from.size() * sizeof(int);
  void* const a = l.allocate(h.device, bytes);
  void* const b = l.allocate(h.device, bytes);
  h.check(a && b, "two small blocks");
  h.check(l.upload(h.device, &h.error, a, from.data(), bytes) == Status::ok, "upload");
  h.check(l.copy(h.device, &h.error, b, a, bytes) == Status::ok, "copy");
  h.check(l.clear(h.device, &h.error, b, 40) == Status::ok, "clear");
  h.check(l.download(h.device, &h.error, to.data(), b, bytes) == Status::ok, "download");
  for (int i = 0; i < 10; ++i) from[static_cast<size_t>(i)] = 0;
  h.check(from == to, "what was copied");
  l.release(h.device, a);
  l.release(h.device, b);
  h.check(l.allocate(h.device, size_t{1} << 50) == nullptr, "a block of 2^50 bytes");
  size_t left = 0;
  h.check(l.free_memory(h.device, &h.error, &left) == Status::ok && left > 0, "free memory");
}

// A graph reads its host memory when it runs, not when it is recorded.
void graphs(Harness& h) {
  const DeviceLibrary& l = h.library;
  double* const host = static_cast<double*>(l.allocate_host(h.device, 2 * sizeof(double)));
  void* const device = l.allocate(h.device, 2 * sizeof(double));
  h.check(host && device, "pinned memory");
  DeviceGraph* graph = nullptr;
  h.check(l.begin_graph(h.device, &h.error) == Status::ok, "begin_graph");
  l.upload_later(h.device, &h.error, device, host, sizeof(double));
  l.fetch_later(h.device, &h.error, host + 1, device, sizeof(double));
  h.check(l.end_graph(h.device, &h.error, &graph) == Status::ok && graph, "end_graph: %s",
          h.error.message());
  for (double value = 3; graph && value < 6; ++value) {
    host[0] = value;
    host[1] = 0;
    h.check(l.run_graph(h.device, &h.error, graph) == Status::ok, "run_graph");
    h.check(l.finish(h.device, &h.error) == Status::ok, "finish");
    h.check(host[1] == value, "a graph copies %g: %g", value, host[1]);
  }
  if (graph) l.drop_graph(h.device, graph);
  l.release(h.device, device);
  l.release_host(h.device, host);
}

void later(Harness& h) {
  const DeviceLibrary& l = h.library;
  float from = 2.5f, to = 0;
  int filled = -1;
  void* const device = l.allocate(h.device, sizeof from);
  l.upload(h.device, &h.error, device, &from, sizeof from);
  const Status status = l.download_later(
      h.device, &h.error, &to, device, sizeof to,
      [](void* arg, bool ok) { *static_cast<int*>(arg) = ok; }, &filled);
  h.check(status == Status::ok, "download_later: %s", h.error.message());
  h.check(l.finish(h.device, &h.error) == Status::ok, "finish");
  h.check(filled == 1 && to == from, "a later download arrived: %d, %g", filled,
          static_cast<double>(to));
  l.release(h.device, device);
}

// A mark is behind what was asked for before it, each time that it is set.
void marks(Harness& h) {
  const DeviceLibrary& l = h.library;
  double* const host = static_cast<double*>(l.allocate_host(h.device, 2 * sizeof(double)));
  void* const device = l.allocate(h.device, sizeof(double));
  DeviceMark* mark = nullptr;
  for (double value = 1; value < 4; ++value) {
    host[0] = value;
    l.upload_later(h.device, &h.error, device, host, sizeof(double));
    l.fetch_later(h.device, &h.error, host + 1, device, sizeof(double));
    DeviceMark* const before = mark;
    h.check(l.set_mark(h.device, &h.error, &mark) == Status::ok && mark, "set_mark");
    h.check(!before || mark == before, "a mark is moved");
    h.check(l.reach_mark(h.device, &h.error, mark) == Status::ok, "reach_mark");
    h.check(host[1] == value, "what was before the mark is done: %g, not %g", host[1], value);
  }
  l.drop_mark(h.device, mark);
  l.release(h.device, device);
  l.release_host(h.device, host);
}

void devices(Harness& h) {
  int count = 0;
  h.check(h.library.count(&h.error, &count) == Status::ok && count > 0, "devices: %d", count);
  DeviceInfo info;
  h.check(h.library.describe(&h.error, 0, &info) == Status::ok && strlen(info.name) > 0 &&
              info.capability >= 80 && info.multiprocessors > 0 && info.memory > 0,
          "device 0 is described");
  h.check(h.library.describe(&h.error, 9999, &info) == Status::device, "device 9999 is none");
  Device* other = nullptr;
  h.check(h.library.open(&h.error, 9999, &other) == Status::device && !other,
          "device 9999 does not open");
}

// The words for notes at the ends of what they can hold.
void notes(Harness& h) {
  FaultSource source;
  const auto words = [&](int64_t position, uint32_t value, const char* expected) {
    const Status status = source.describe(&h.error, fault_note(position, value), " (then)");
    h.check(status == Status::range_error && !strcmp(h.error.message(), expected), "a note gave %s",
            h.error.message());
  };
  source.op = op_indexSelect;
  source.axis = 2;
  source.size = int64_t{1} << 40;
  words(0, ~0u, "indexSelect: index[0] is -1, but axis 2 has size 1099511627776 (then)");
  source.op = op_crossEntropyBackward;
  source.size = 10;
  words(0xFFFFFFFD, 1u << 31,
        "crossEntropy: target[4294967293] is -2147483648, but there are 10 classes (then)");
  words(int64_t{1} << 50, ~0u,
        "crossEntropy: target[4294967294] or a later one is -1, but there are 10 classes (then)");
  source.op = op_crossEntropy;
  source.probabilities = true;
  words(123, 0xBE800000, "crossEntropy: target[12, 3] is -0.25, no probability (then)");
  h.check(fault_note(3, 0) > fault_note(4, ~0u) && fault_note(int64_t{1} << 50, ~0u) > 0,
          "notes in their order");
}

}  // namespace

void library_cases(Harness& h) {
  notes(h);
  devices(h);
  copies(h);
  graphs(h);
  later(h);
  marks(h);
}

}  // namespace tg::test
