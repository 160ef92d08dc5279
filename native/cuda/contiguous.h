// Inputs of an op as contiguous memory: their own, or copies in the op's scratch. run_copy takes
// none of that for itself.
#pragma once

#include "copy.h"
#include "launch.h"

namespace tg::cuda {

class Contiguous {
 public:
  Contiguous(ExecContext* ctx, const OpCall& call) : ctx_(ctx), call_(call) {}

  // Copies those of `inputs` (bit i: in[i]) that lie out of order; then `extra` bytes are left
  // over. The op asks for no other scratch.
  Status prepare(uint32_t inputs, size_t extra) {
    size_t bytes = aligned(extra);
    for (int i = 0; i < call_.n_in; ++i)
      if (copies(inputs, i)) bytes += aligned(call_.in[i].bytes());
    char* block = nullptr;
    if (bytes > 0) {
      block = static_cast<char*>(scratch(ctx_, bytes));
      if (!block) return Status::out_of_memory;
    }
    extra_ = block;
    block += aligned(extra);
    const ExecContext::Trace trace = ctx_->trace;
    for (int i = 0; i < call_.n_in; ++i) {
      data_[i] = call_.in[i].data;
      if (!copies(inputs, i)) continue;
      OpCall copy{op_clone, &call_.in[i], 1, call_.in[i], {}, 0};
      copy.out.data = data_[i] = block;
      contiguous_strides(copy.out.shape, copy.out.strides);
      TG_TRY(run_copy(ctx_, copy));
      block += aligned(call_.in[i].bytes());
    }
    ctx_->trace = trace;
    return Status::ok;
  }

  template <class T>
  const T* in(int i) const {
    return static_cast<const T*>(data_[i]);
  }
  void* extra() const { return extra_; }

  static size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

 private:
  bool copies(uint32_t inputs, int i) const {
    return (inputs >> i & 1) && !call_.in[i].contiguous();
  }

  ExecContext* ctx_;
  const OpCall& call_;
  void* data_[6] = {};
  char* extra_ = nullptr;
};

}  // namespace tg::cuda
