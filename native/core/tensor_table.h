// Tensors behind handles. A handle is a number that JavaScript holds: slot and generation, so that
// one whose tensor is gone is recognised and never reaches another tensor's memory.
#pragma once

#include "op.h"
#include "storage.h"

namespace tg {

struct Tensor {
  Storage* storage = nullptr;  // null: the slot is free
  TensorView view;             // view.data points at the first element
  uint32_t generation = 1;
  uint32_t next_free = 0;
  void* owner = nullptr;  // what the binding needs to learn that JavaScript dropped the tensor
};

class TensorTable {
 public:
  TensorTable() = default;
  ~TensorTable();
  TensorTable(const TensorTable&) = delete;
  TensorTable& operator=(const TensorTable&) = delete;

  // A free slot, or null when memory is short. It becomes live once its storage is set.
  Tensor* add(uint32_t* slot);
  // The tensor behind a handle, or null if the handle never was one, or its tensor is gone.
  Tensor* find(double handle);
  void remove(uint32_t slot);

  double handle_of(uint32_t slot) const;
  uint32_t slots() const { return slots_; }
  uint32_t live() const { return live_; }
  Tensor& at(uint32_t slot) { return chunks_[slot / kChunk][slot % kChunk]; }
  const Tensor& at(uint32_t slot) const { return chunks_[slot / kChunk][slot % kChunk]; }

 private:
  // Chunks never move, so that a Tensor* stays valid while others are added.
  static constexpr uint32_t kChunk = 1024, kMaxChunks = 1 << 14, kNone = UINT32_MAX;
  static constexpr double kSlots = 16777216.0;  // 2^24: handle = generation · 2^24 + slot < 2^53
  static constexpr uint32_t kMaxGeneration = (1u << 29) - 1;

  Tensor* chunks_[kMaxChunks] = {};
  uint32_t slots_ = 0, live_ = 0, free_ = kNone;
};

}  // namespace tg
