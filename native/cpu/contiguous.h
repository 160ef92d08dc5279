// Inputs of an op as contiguous memory: their own, or copies in the op's scratch. No kernels.
#pragma once

#include "../core/backend.h"
#include "copy.h"

namespace tg::cpu {

// The op's one scratch block: room for the copies that its inputs need, then `extra` bytes.
class Contiguous {
 public:
  Contiguous(ExecContext* ctx, const OpCall& call) : ctx_(ctx), call_(call) {}

  // Copies what lies out of order. Null `extra()` is right only if `extra` is 0.
  Status prepare(int64_t extra) {
    int64_t bytes = 0;
    for (int i = 0; i < call_.n_in; ++i)
      if (!call_.in[i].contiguous()) bytes += aligned(static_cast<int64_t>(call_.in[i].bytes()));
    char* block = nullptr;
    if (bytes + extra > 0) {
      block = static_cast<char*>(ctx_->scratch(ctx_->owner, static_cast<size_t>(bytes + extra)));
      if (!block)
        return ctx_->error->set(Status::out_of_memory, "%s: no memory for %lld bytes of scratch",
                                name_of(call_.op), static_cast<long long>(bytes + extra));
    }
    for (int i = 0; i < call_.n_in; ++i) {
      data_[i] = call_.in[i].data;
      if (call_.in[i].contiguous()) continue;
      copy_strided(*ctx_->threads, call_.in[i], block);
      data_[i] = block;
      block += aligned(static_cast<int64_t>(call_.in[i].bytes()));
    }
    extra_ = block;
    return Status::ok;
  }

  template <class T>
  const T* in(int i) const {
    return static_cast<const T*>(data_[i]);
  }
  char* extra() const { return extra_; }

  static int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

 private:
  ExecContext* ctx_;
  const OpCall& call_;
  const void* data_[6] = {};
  char* extra_ = nullptr;
};

}  // namespace tg::cpu
