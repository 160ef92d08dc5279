// How threads meet: barriers of a block and of a cluster, and operations that threads do together.
#include <string.h>

#include "execution.h"

namespace tg::emulation {

namespace {

void release(Barrier& barrier) {
  barrier.arrived = 0;
  for (Thread* thread : barrier.waiting) wake(thread);
  barrier.waiting.clear();
}

// Counts the running thread in; whether it was the last.
bool arrive(int id, int expected) {
  Block& block = *running->block;
  if (id < 0 || id > 15) fail("there is no barrier %d", id);
  if (expected % kWarp != 0 || expected > static_cast<int>(block.threads.size()))
    fail("barrier %d cannot be one of %d threads", id, expected);
  Barrier& barrier = block.barriers[id];
  if (barrier.arrived > 0 && barrier.expected != expected)
    fail("barrier %d is one of %d threads here, of %d for others", id, expected, barrier.expected);
  barrier.expected = expected;
  return ++barrier.arrived >= (expected ? expected : block.alive);
}

void finish_count(Block& block) {
  block.counted = block.predicates;
  block.came = block.barriers[0].arrived;
  block.predicates = 0;
}

void count_in(Cluster& cluster) {
  if (--cluster.missing > 0) return;
  cluster.missing = cluster.alive;
  ++cluster.phase;
  for (Thread* thread : cluster.waiting) wake(thread);
  cluster.waiting.clear();
}

// All of a meeting's threads that have not ended are there: does the work, lets them go.
bool complete(Block& block, size_t which) {
  Meeting* const meeting = block.meetings[which];
  int expected = 0;
  for (int i = 0; i < meeting->size; ++i) {
    const size_t thread = static_cast<size_t>(meeting->first + i);
    expected += (meeting->mask[i / 64] >> i % 64 & 1) && thread < block.threads.size() &&
                !block.threads[thread].finished;
  }
  if (meeting->arrived < expected) return false;
  block.meetings.erase(block.meetings.begin() + static_cast<ptrdiff_t>(which));
  meeting->work(meeting->context, meeting->operands.data());
  for (Thread* thread : meeting->waiting) wake(thread);
  delete meeting;
  return true;
}

}  // namespace

void barrier_sync(int id, int expected) {
  Block& block = *running->block;
  Barrier& barrier = block.barriers[id & 15];
  if (arrive(id, expected)) {
    if (id == 0) finish_count(block);
    release(barrier);
    maybe_yield();
  } else {
    barrier.waiting.push_back(running);
    wait(expected ? "bar.sync" : "__syncthreads", static_cast<uint64_t>(id));
  }
}

void barrier_arrive(int id, int expected) {
  if (expected == 0) fail("bar.arrive needs a number of threads");
  if (arrive(id, expected)) release(running->block->barriers[id]);
}

void cluster_arrive() {
  Cluster& cluster = *running->block->cluster;
  if (running->cluster_phase != cluster.phase)
    fail("barrier.cluster.arrive twice without a wait between");
  ++running->cluster_phase;
  count_in(cluster);
}

void cluster_wait() {
  Cluster& cluster = *running->block->cluster;
  if (cluster.phase >= running->cluster_phase) return;
  cluster.waiting.push_back(running);
  wait("barrier.cluster.wait");
}

void meet(const char* name, const void* operation, int first, int size, const uint64_t mask[2],
          void* operands, void (*work)(void* context, void** all), void* context) {
  Block& block = *running->block;
  const int place = running->index - first;
  if (!(mask[place / 64] >> place % 64 & 1))
    fail("%s: the mask %#llx lacks the thread itself", name,
         static_cast<unsigned long long>(mask[place / 64]));
  size_t which = 0;
  while (which < block.meetings.size()) {
    const Meeting& m = *block.meetings[which];
    if (m.first == first && m.size == size && memcmp(m.mask, mask, sizeof m.mask) == 0) break;
    ++which;
  }
  if (which == block.meetings.size()) {
    Meeting* const fresh =
        new Meeting{operation, name, first, size, {mask[0], mask[1]}, 0, {}, {}, work, context};
    fresh->operands.assign(static_cast<size_t>(size), nullptr);
    block.meetings.push_back(fresh);
  }
  Meeting& meeting = *block.meetings[which];
  if (meeting.operation != operation)
    fail("%s here, but %s by others of the same warp or warpgroup", name, meeting.name);
  meeting.operands[static_cast<size_t>(place)] = operands;
  meeting.context = context;
  ++meeting.arrived;
  if (complete(block, which)) {
    maybe_yield();
  } else {
    meeting.waiting.push_back(running);
    wait(name, mask[0]);
  }
}

void release_after_end(Thread* ended) {
  Block& block = *ended->block;
  for (int id = 0; id < 16; ++id) {
    Barrier& barrier = block.barriers[id];
    if (barrier.arrived > 0 && barrier.expected == 0 && barrier.arrived >= block.alive) {
      if (id == 0) finish_count(block);
      release(barrier);
    }
  }
  for (size_t i = block.meetings.size(); i-- > 0;) (void)complete(block, i);
  Cluster& cluster = *block.cluster;
  if (ended->cluster_phase == cluster.phase) count_in(cluster);
}

}  // namespace tg::emulation

using tg::emulation::running;

void __syncthreads() { tg::emulation::barrier_sync(0, 0); }

int __syncthreads_count(int predicate) {
  running->block->predicates += predicate != 0;
  tg::emulation::barrier_sync(0, 0);
  return running->block->counted;
}
int __syncthreads_and(int predicate) {
  return __syncthreads_count(predicate) == running->block->came;
}
int __syncthreads_or(int predicate) { return __syncthreads_count(predicate) > 0; }
