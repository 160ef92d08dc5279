// The lives of a block's units, and addresses of shared memory.
#include "units.h"

#include "intrinsics.h"
#include "options.h"
#include "symbols.h"

namespace tg::emulation {

namespace {

// Dynamic shared memory begins at 1,024, as it does where the system keeps the first of it;
// variables (of blocks outside clusters) are at addresses that fit no descriptor.
constexpr uint32_t kDynamic = 1024, kVariables = 0x80000000u;

}  // namespace

void reset_units(Block& block) {
  delete block.units;
  block.units = nullptr;
}

void check_units_at_end(const Thread& thread) {
  const Units* const units = thread.block->units;
  if (!units) return;
  const Warpgroup& group = units->warpgroups[thread.index / 128];
  if (!group.work.idle()) fail("the thread ends before its wgmma has been waited for");
}

Units& units_of(Block& block) {
  if (!block.units) block.units = new Units;
  return *block.units;
}

ThreadUnits& units_of(Thread& thread) {
  Units& units = units_of(*thread.block);
  if (units.threads.empty()) units.threads.resize(thread.block->threads.size());
  return units.threads[static_cast<size_t>(thread.index)];
}

void need(int capability, const char* instruction) {
  if (options().capability < capability)
    fail("%s needs compute capability %d.%d", instruction, capability / 10, capability % 10);
}

void check_shared(const void* address, size_t bytes, size_t alignment, const char* what) {
  const Block& block = *running->block;
  const size_t offset =
      static_cast<size_t>(static_cast<const unsigned char*>(address) - block.shared);
  const bool dynamic =
      block.shared && offset < block.shared_bytes && bytes <= block.shared_bytes - offset;
  if (!dynamic && (block.cluster->blocks.size() > 1 || !in_shared_array(address, bytes)))
    fail("%s: %p is not in this block's shared memory", what, address);
  if (reinterpret_cast<uintptr_t>(address) % alignment != 0)
    fail("%s: %p is not aligned to %zu bytes", what, address, alignment);
}

unsigned char* counterpart(const void* address, size_t bytes, Block& block, const char* what) {
  if (block.cluster->blocks.size() == 1) {  // variables, too
    check_shared(address, bytes, 1, what);
    return const_cast<unsigned char*>(static_cast<const unsigned char*>(address));
  }
  const Block& own = *running->block;
  const size_t offset =
      static_cast<size_t>(static_cast<const unsigned char*>(address) - own.shared);
  if (offset >= own.shared_bytes || bytes > own.shared_bytes - offset)
    fail("%s: %p is not in this block's dynamic shared memory", what, address);
  if (block.alive == 0)
    fail("%s: block %d of the cluster has ended, and its shared memory with it", what, block.rank);
  return block.shared + offset;
}

const unsigned char* at_address(const Block& block, uint32_t address, size_t bytes,
                                const char* what) {
  if (address < kDynamic || address - kDynamic + bytes > block.shared_bytes)
    fail("%s: address %#x is outside of the %zu bytes of dynamic shared memory", what, address,
         block.shared_bytes);
  return block.shared + (address - kDynamic);
}

}  // namespace tg::emulation

using namespace tg::emulation;

size_t __cvta_generic_to_shared(const void* pointer) {
  check_shared(pointer, 0, 1, "__cvta_generic_to_shared");
  const Block& block = *running->block;
  const size_t offset =
      static_cast<size_t>(static_cast<const unsigned char*>(pointer) - block.shared);
  if (block.shared && offset < block.shared_bytes) return kDynamic + offset;
  return kVariables + offset_of_shared_array(pointer);
}

void* __cvta_shared_to_generic(size_t address) {
  if (address >= kVariables) return shared_array_at(address - kVariables);
  return const_cast<unsigned char*>(
      at_address(*running->block, static_cast<uint32_t>(address), 1, "__cvta_shared_to_generic"));
}
