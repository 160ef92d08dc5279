#include "tensor_table.h"

#include <new>

namespace tg {

TensorTable::~TensorTable() {
  for (uint32_t i = 0; i < slots_ / kChunk; ++i) delete[] chunks_[i];
}

Tensor* TensorTable::add(uint32_t* slot) {
  if (free_ == kNone) {
    const uint32_t chunk = slots_ / kChunk;
    if (chunk == kMaxChunks) return nullptr;
    chunks_[chunk] = new (std::nothrow) Tensor[kChunk];
    if (!chunks_[chunk]) return nullptr;
    for (uint32_t i = kChunk; i-- > 0;) {
      chunks_[chunk][i].next_free = free_;
      free_ = slots_ + i;
    }
    slots_ += kChunk;
  }
  *slot = free_;
  Tensor& tensor = at(free_);
  free_ = tensor.next_free;
  ++live_;
  return &tensor;
}

Tensor* TensorTable::find(double handle) {
  if (!(handle >= kSlots && handle < 9007199254740992.0)) return nullptr;
  const uint64_t bits = static_cast<uint64_t>(handle);
  if (static_cast<double>(bits) != handle) return nullptr;
  const uint32_t slot = static_cast<uint32_t>(bits & 0xFFFFFF),
                 generation = static_cast<uint32_t>(bits >> 24);
  if (slot >= slots_) return nullptr;
  Tensor& tensor = at(slot);
  return tensor.storage && tensor.generation == generation ? &tensor : nullptr;
}

void TensorTable::remove(uint32_t slot) {
  Tensor& tensor = at(slot);
  tensor.storage = nullptr;
  tensor.owner = nullptr;
  --live_;
  // A slot whose generations are used up is retired rather than let an old handle match again.
  if (tensor.generation == kMaxGeneration) return;
  ++tensor.generation;
  tensor.next_free = free_;
  free_ = slot;
}

double TensorTable::handle_of(uint32_t slot) const {
  return static_cast<double>(at(slot).generation) * kSlots + static_cast<double>(slot);
}

}  // namespace tg
