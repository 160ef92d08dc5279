// Runs the same call on the CPU and on a device library, and compares. The cases are in the files
// beside this one, one function per family; ../cuda_test.cpp calls them.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "../../core/device_library.h"
#include "../../core/infer.h"
#include "../../core/thread_pool.h"

namespace tg::test {

// A tensor in host memory.
struct Value {
  TensorView view;
  std::vector<double> memory;  // double: aligned for every dtype
  size_t bytes() const { return memory.size() * sizeof(double); }
  // Element i of the row-major order, as a number.
  double number(int64_t i) const;
  void set(int64_t i, double value);
};

// How a tensor lies in memory: row-major, any order of axes, or also sliced, reversed and repeated.
enum class Layout { contiguous, permuted, any };

// |device - cpu| ≤ absolute · terms[i] + relative · |cpu| for element i, widened for bfloat16 by
// its rounding. Without `terms`: of about 1.
struct Tolerance {
  double relative = 0, absolute = 0;
  const std::vector<double>* terms = nullptr;
};
// That of one float operation's rounding, times `ulps`, for the dtype that is computed in.
Tolerance ulps(double count, DType computed);

Shape shape_of(std::initializer_list<int64_t> sizes);

class Harness {
 public:
  // `filter`: part of a family's name, or null. `small`: for tools that slow everything down, of
  // the cases of each op and dtype only the 1st, 4th, 16th, …, and none that is large.
  Harness(const DeviceLibrary& library, Device* device, const Backend& cpu, const char* filter,
          bool small);
  ~Harness();
  Harness(const Harness&) = delete;
  Harness& operator=(const Harness&) = delete;

  // Whether cases of this name were asked for.
  bool wants(const char* family) const;

  // Random numbers: the same in every run, and after restart().
  uint64_t next();
  void restart() { state_ = kSeed; }
  int64_t pick(int64_t low, int64_t high);  // both included
  double uniform(double low, double high);

  // Numbers in [low, high); integers for int32, 0 and 1 for bool.
  Value random(DType dtype, const Shape& shape, Layout layout = Layout::contiguous, double low = -2,
               double high = 2);
  Value number(DType dtype, double value);
  Shape random_shape(int dims, int64_t most_elements);

  // Infers and runs op on both; counts a failure unless both results agree, or both fail with the
  // same status. `attrs` as infer() takes them. Bits of `numbers` name in[i] that stay in host
  // memory. False if the case is left out.
  bool compare(Op op, const std::vector<Value*>& in, const std::vector<double>& attrs,
               Tolerance tolerance, uint32_t numbers = 0);
  // As compare, with memory that both write to: `call(backend, context, views)` runs on each, then
  // every value is compared. `what` up to a colon is what a small run counts the cases of.
  template <class Call>
  bool compare_memory(const char* what, const std::vector<Value*>& values, Tolerance tolerance,
                      Call call);
  void check(bool ok, const char* format, ...) __attribute__((format(printf, 3, 4)));
  // Counts a failure for each op of the schema that no case has computed on the device.
  void check_complete();

  // Copies of a value's whole memory on the device; the view's data is inside.
  struct Mirror {
    TensorView view;
    void* memory;
  };
  Mirror upload(const Value& value);
  void download(const Mirror& mirror, Value* value);  // value: as it was uploaded
  void drop(const Mirror& mirror);

  const DeviceLibrary& library;
  Device* const device;
  const Backend& cpu_backend;
  ExecContext cpu, cuda;
  // What calls on the device note of their operands: FaultNotes::any and a call's note. First
  // cleared, and asked for or not; then what it is.
  struct Notes {
    uint64_t any, call;
  };
  void expect_notes(bool asked = true);
  Notes notes();
  Error error;
  int passed = 0, failed = 0;

 private:
  struct Block {
    Harness* harness;
    bool on_device;
    void* memory;
    size_t bytes;
  };
  Notes* notes_ = nullptr;  // on the device
  static void* scratch(void* owner, size_t bytes);
  static void* operands(void* owner, size_t bytes);
  static void* grow(Block* block, size_t bytes);
  // Whether a run that may be small has this case.
  bool takes(const std::string& what, const std::vector<Value*>& values);
  bool agree(const Value& expected, const Value& got, Tolerance tolerance, const char* what,
             const std::string& call);
  std::string describe(const std::vector<Value*>& in, const std::vector<double>& attrs) const;

  ThreadPool threads_{1};
  const char* filter_;
  const bool small_;
  std::map<std::string, int> seen_;  // cases so far, by what they are of
  bool computed_[kOps] = {};
  static constexpr uint64_t kSeed = 88172645463325252u;
  uint64_t state_ = kSeed;
  struct Owner {
    Block scratch, operands;
  } owners_[2];
};

template <class Call>
bool Harness::compare_memory(const char* what, const std::vector<Value*>& values,
                             Tolerance tolerance, Call call) {
  if (!takes(what, values)) return false;
  std::vector<Mirror> mirrors;
  std::vector<TensorView> host, device_views;
  for (Value* value : values) {
    mirrors.push_back(upload(*value));
    host.push_back(value->view);
    device_views.push_back(mirrors.back().view);
  }
  const Status expected = call(cpu_backend, &cpu, host.data());
  const Status got = call(*library.backend, &cuda, device_views.data());
  check(expected == got, "%s: status %s on the CPU, %s on the device: %s", what, code_of(expected),
        code_of(got), error.message());
  for (size_t i = 0; i < values.size(); ++i) {
    Value result = *values[i];
    result.view.data = reinterpret_cast<char*>(result.memory.data()) +
                       (static_cast<char*>(values[i]->view.data) -
                        reinterpret_cast<char*>(values[i]->memory.data()));
    download(mirrors[i], &result);
    drop(mirrors[i]);
    agree(*values[i], result, tolerance, what, "value " + std::to_string(i));
  }
  return true;
}

}  // namespace tg::test
