// Asynchronous copies and the barriers that tell of their end: cp.async, mbarrier, the bulk tensor
// copy engine.
#include <string.h>

#include "ptx.h"
#include "units.h"

namespace tg::emulation {

namespace {

// ---- mbarrier: the 64 bits, which programs may not look into ----
struct Mbarrier {
  int64_t missing, count;  // arrivals: still to come in this phase; in each phase
  int64_t bytes;           // announced and not yet come; negative if they came first
  unsigned parity;         // of the phase under way
};
constexpr int64_t kMost = (1 << 20) - 1;

Mbarrier read(const uint64_t* barrier) {
  const uint64_t bits = *barrier;
  if (bits >> 62 != 1) fail("an mbarrier that was not initialized");
  return {static_cast<int64_t>(bits & kMost), static_cast<int64_t>(bits >> 20 & kMost),
          static_cast<int64_t>(bits >> 40 & 0x1FFFFF) - kMost,
          static_cast<unsigned>(bits >> 61 & 1)};
}

void write(uint64_t* barrier, const Mbarrier& b) {
  *barrier = static_cast<uint64_t>(b.missing) | static_cast<uint64_t>(b.count) << 20 |
             static_cast<uint64_t>(b.bytes + kMost) << 40 | uint64_t{b.parity} << 61 |
             uint64_t{1} << 62;
}

// Some arrivals, some bytes announced, some come.
void update(Block& block, uint64_t* barrier, int arrivals, int64_t announced, int64_t come) {
  Mbarrier b = read(barrier);
  if (b.missing < arrivals)
    fail("more arrivals at an mbarrier than its count of %d", static_cast<int>(b.count));
  b.missing -= arrivals;
  b.bytes += announced - come;
  if (b.bytes > kMost || b.bytes < -kMost) fail("too many bytes for an mbarrier");
  if (b.missing == 0 && b.bytes == 0) {
    b.missing = b.count;
    b.parity ^= 1;
    std::vector<Waiter> left;
    for (const Waiter& waiter : units_of(block).waiters)
      if (waiter.barrier == barrier)
        wake(waiter.thread);
      else
        left.push_back(waiter);
    units_of(block).waiters.swap(left);
  }
  write(barrier, b);
}

}  // namespace

void mbarrier_init(uint64_t* barrier, uint32_t count) {
  need(80, "mbarrier.init");
  check_shared(barrier, 8, 8, "mbarrier.init");
  if (count == 0 || count > kMost) fail("an mbarrier for %u arrivals", count);
  write(barrier, {count, count, 0, 0});
}

void mbarrier_arrive(uint64_t* barrier, int rank, uint32_t bytes) {
  check_shared(barrier, 8, 8, "mbarrier.arrive");
  std::vector<Block>& blocks = running->block->cluster->blocks;
  if (rank >= static_cast<int>(blocks.size())) fail("the cluster has no block %d", rank);
  Block& block = rank < 0 ? *running->block : blocks[static_cast<size_t>(rank)];
  update(block, reinterpret_cast<uint64_t*>(counterpart(barrier, 8, block, "mbarrier.arrive")), 1,
         bytes, 0);
  maybe_yield();
}

bool mbarrier_test(const uint64_t* barrier, uint32_t parity) {
  check_shared(barrier, 8, 8, "mbarrier.try_wait");
  return read(barrier).parity != (parity & 1);
}

void mbarrier_wait(const uint64_t* barrier, uint32_t parity) {
  maybe_yield();
  while (!mbarrier_test(barrier, parity)) {
    units_of(*running->block).waiters.push_back({running, barrier});
    wait("mbarrier.try_wait", __cvta_generic_to_shared(barrier));
  }
}

// ---- cp.async ----
void cp_async(void* shared, const void* global, int bytes, int valid) {
  need(80, "cp.async");
  check_shared(shared, static_cast<size_t>(bytes), static_cast<size_t>(bytes), "cp.async");
  if (valid < 0 || valid > bytes) fail("cp.async of %d of %d bytes", valid, bytes);
  if (valid && reinterpret_cast<uintptr_t>(global) % static_cast<size_t>(bytes) != 0)
    fail("cp.async: %p is not aligned to %d bytes", global, bytes);
  char now[16];
  memcpy(now, global, static_cast<size_t>(valid));  // a bad address shows here, not at the wait
  asm volatile("" ::"r"(now) : "memory");
  memset(shared, kPoison, static_cast<size_t>(bytes));
  units_of(*running).copies.open.push_back({shared, global, bytes, valid});
}

void cp_async_commit() { units_of(*running).copies.commit(); }

void cp_async_wait(int pending) {
  units_of(*running).copies.wait(pending, [](const AsyncCopy& c) {
    memcpy(c.to, c.from, static_cast<size_t>(c.valid));
    memset(static_cast<char*>(c.to) + c.valid, 0, static_cast<size_t>(c.bytes - c.valid));
  });
}

// ---- cp.async.bulk.tensor ----
void check_map(const CUtensorMap* map) { (void)decode(map); }

void tma_load(void* shared, const CUtensorMap* encoded, uint64_t* barrier, unsigned blocks,
              const int* at, int rank) {
  need(90, "cp.async.bulk.tensor");
  const TensorMap map = decode(encoded);
  if (map.rank != rank) fail("a tensor map of %d dimensions with %d coordinates", map.rank, rank);
  const size_t bytes = map.box_bytes();
  check_shared(shared, bytes, 128, "cp.async.bulk.tensor");
  Cluster& cluster = *running->block->cluster;
  if (blocks == 0 || blocks >> cluster.blocks.size() != 0)
    fail("cp.async.bulk.tensor to blocks %#x of a cluster of %zu", blocks, cluster.blocks.size());
  for (Block& block : cluster.blocks) {
    if (!(blocks >> block.rank & 1)) continue;
    unsigned char* const to = counterpart(shared, bytes, block, "cp.async.bulk.tensor");
    auto* const tell =
        reinterpret_cast<uint64_t*>(counterpart(barrier, 8, block, "cp.async.bulk.tensor"));
    memset(to, kPoison, bytes);
    std::vector<int> place(at, at + rank);
    cluster.background.push_back([&block, map, to, tell, bytes, place] {
      if (block.alive == 0) fail("block %d has ended before a copy to it has", block.rank);
      load_box(map, place.data(), to);
      update(block, tell, 0, 0, static_cast<int64_t>(bytes));
    });
  }
}

}  // namespace tg::emulation
