// What one Node.js environment (the main thread, or a worker) owns: an engine, the mailbox through
// which numbers travel without a call each, and the weak references by which it learns which
// tensors JavaScript has dropped. Lives in the environment's instance data; there are no statics.
#pragma once

#include <napi.h>

#include "programs.h"
#include "reads.h"

namespace tg::binding {

// Where things lie in the mailbox, a Float64Array that JavaScript and C++ share.
struct Mailbox {
  static constexpr int kAttrCount = 0, kAttrs = 1, kMaxAttrs = 120;
  static constexpr int kScalars = 127;  // bit set of operands that are numbers
  static constexpr int kDType = 128, kDims = 129, kShape = 130, kIsView = 138, kStrides = 140;
  static constexpr int kLength = 160;
};

class Environment {
 public:
  Environment(Napi::Env env, const Backend& backend, const char* isa);
  ~Environment();

  static Environment& of(napi_env env);

  Engine& engine() { return engine_; }
  Programs& programs() { return programs_; }
  Reads& reads() { return reads_; }
  const char* isa() const { return isa_; }
  double* mailbox() { return mailbox_; }
  Napi::Value mailbox_array() { return mailbox_array_.Value(); }

  // Ties a fresh tensor to the JavaScript object that stands for it, writes its dtype and shape
  // into the mailbox, and returns its handle.
  napi_value publish(napi_env env, uint32_t slot, napi_value owner, bool is_view);
  void describe(const TensorView& view, bool is_view);
  // Frees a tensor; false if the handle's tensor is gone already.
  bool dispose(napi_env env, double handle);
  // Frees every tensor whose object was collected; returns their number.
  uint32_t sweep(napi_env env);
  // Frees every tensor of the function that was being recorded.
  void drop_symbolic(napi_env env);
  // Call before memory is taken: sweeps now and then, so that a loop that never returns to the
  // event loop does not outgrow the collector's work.
  void before_allocation(napi_env env);
  // Throws the engine's newest error; always returns null.
  napi_value raise(napi_env env, Status status);

 private:
  void report_memory(napi_env env, int64_t slack);
  bool collected_since(napi_env env);
  static bool relieve(void* self);

  napi_env env_;
  Engine engine_;
  Programs programs_;
  Reads reads_;
  const char* isa_;
  double* mailbox_ = nullptr;
  Napi::Reference<Napi::Value> mailbox_array_;
  napi_ref sentinel_ = nullptr;
  int64_t reported_bytes_ = 0;
  uint32_t runs_since_sweep_ = 0;
  size_t bytes_at_sweep_ = 0;
};

}  // namespace tg::binding
