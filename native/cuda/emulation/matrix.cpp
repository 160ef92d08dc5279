// The matrix units: ldmatrix, mma.sync and wgmma, with fragments and descriptors laid out as the
// PTX ISA says.
#include <string.h>

#include <algorithm>

#include "ptx.h"
#include "sums.h"
#include "units.h"
#include "warp.h"

namespace tg::emulation {

namespace {

float from_bf16(uint32_t bits) { return __uint_as_float(bits << 16); }
float low(uint32_t pair) { return from_bf16(pair & 0xFFFF); }
float high(uint32_t pair) { return from_bf16(pair >> 16); }
float from_tf32(uint32_t bits) { return __uint_as_float(bits & 0xFFFFE000u); }

template <class Lane>
void need_all(Lane* const* all, int size, const char* name) {
  for (int i = 0; i < size; ++i)
    if (!all[i]) fail("%s without all of its %d threads", name, size);
}

struct MmaLane {
  float* d;
  const uint32_t *a, *b;
};

// D[16, 8] += A[16, K] B[K, 8], half of the terms at a time
template <int K>
void multiply(const float (&a)[16][K], const float (&b)[K][8], MmaLane* const* all) {
  for (int lane = 0; lane < kWarp; ++lane)
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
      float terms[K];
      for (int k = 0; k < K; ++k) terms[k] = a[row][k] * b[k][column];
      float& d = all[lane]->d[i];
      for (int k = 0; k < K; k += K / 2) d = cut_sum(d, terms + k, K / 2, 1);
    }
}

}  // namespace

void ldmatrix(uint32_t (&d)[4], const void* shared, bool transposed) {
  need(75, "ldmatrix");
  check_shared(shared, 16, 16, "ldmatrix");
  struct Lane {
    const unsigned char* row;
    uint32_t* d;
    bool transposed;
  } own = {static_cast<const unsigned char*>(shared), d, transposed};
  meet_in_warp("ldmatrix", ~0u, own, [](Lane** all) {
    need_all(all, kWarp, "ldmatrix");
    for (int lane = 0; lane < kWarp; ++lane)
      for (int i = 0; i < 4; ++i) {
        uint16_t pair[2];
        for (int e = 0; e < 2; ++e) {
          int row = lane / 4, column = 2 * (lane % 4) + e;
          if (all[lane]->transposed) std::swap(row, column);
          memcpy(&pair[e], all[8 * i + row]->row + 2 * column, 2);
        }
        all[lane]->d[i] = pair[0] | uint32_t{pair[1]} << 16;
      }
  });
}

void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  need(80, "mma of bf16");
  MmaLane own = {d, a, b};
  meet_in_warp("mma.m16n8k16", ~0u, own, [](MmaLane** all) {
    need_all(all, kWarp, "mma.m16n8k16");
    float am[16][16], bm[16][8];
    for (int lane = 0; lane < kWarp; ++lane) {
      const int r = lane / 4, c = 2 * (lane % 4);
      for (int i = 0; i < 4; ++i) {
        const uint32_t pair = all[lane]->a[i];
        am[r + 8 * (i % 2)][c + 8 * (i / 2)] = low(pair);
        am[r + 8 * (i % 2)][c + 8 * (i / 2) + 1] = high(pair);
      }
      for (int i = 0; i < 2; ++i) {
        bm[c + 8 * i][r] = low(all[lane]->b[i]);
        bm[c + 8 * i + 1][r] = high(all[lane]->b[i]);
      }
    }
    multiply(am, bm, all);
  });
}

void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  need(80, "mma of tf32");
  MmaLane own = {d, a, b};
  meet_in_warp("mma.m16n8k8", ~0u, own, [](MmaLane** all) {
    need_all(all, kWarp, "mma.m16n8k8");
    float am[16][8], bm[8][8];
    for (int lane = 0; lane < kWarp; ++lane) {
      const int r = lane / 4, c = lane % 4;
      for (int i = 0; i < 4; ++i) am[r + 8 * (i % 2)][c + 4 * (i / 2)] = from_tf32(all[lane]->a[i]);
      for (int i = 0; i < 2; ++i) bm[c + 4 * i][r] = from_tf32(all[lane]->b[i]);
    }
    multiply(am, bm, all);
  });
}

namespace {

constexpr int kGroup = 128;

template <class T, class F>
void meet_in_warpgroup(const char* name, const void* operation, T& own, F combine) {
  const int first = running->index / kGroup * kGroup;
  const uint64_t everyone[2] = {~uint64_t{0}, ~uint64_t{0}};
  meet(
      name, operation, first, kGroup, everyone, &own,
      [](void* f, void** all) { (*static_cast<F*>(f))(reinterpret_cast<T**>(all)); }, &combine);
}

Warpgroup& warpgroup() { return units_of(*running->block).warpgroups[running->index / kGroup]; }

// A matrix descriptor: bits 0-13 the address, 16-29 the leading and 32-45 the stride byte offset,
// each without its lowest four bits; 49-51 the base offset; 62-63 the swizzle.
struct Descriptor {
  uint32_t start, leading, stride;
  int swizzle;

  explicit Descriptor(uint64_t bits)
      : start(static_cast<uint32_t>(bits & 0x3FFF) << 4),
        leading(static_cast<uint32_t>(bits >> 16 & 0x3FFF) << 4),
        stride(static_cast<uint32_t>(bits >> 32 & 0x3FFF) << 4) {
    constexpr uint64_t kReserved =
        uint64_t{0x3} << 14 | uint64_t{0x3} << 30 | uint64_t{0x7} << 46 | uint64_t{0x3FF} << 52;
    if (bits & kReserved)
      fail("wgmma: reserved bits are set in the descriptor %#llx",
           static_cast<unsigned long long>(bits));
    if (bits >> 49 & 7) fail("wgmma: a base offset, which is not emulated");
    const int modes[4] = {CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                          CU_TENSOR_MAP_SWIZZLE_64B, CU_TENSOR_MAP_SWIZZLE_32B};
    swizzle = modes[bits >> 62];
  }

  // Where element k of line (column) mn is, of `size` bytes. The canonical layouts, in bytes: rows
  // of `span` bytes, 8 of them to a group.
  uint32_t address(int mn, int k, bool mn_major, int size) const {
    const int span = 16 << swizzle, per = 16 / size;
    int offset;
    if (swizzle == CU_TENSOR_MAP_SWIZZLE_NONE)
      offset = mn_major
                   ? mn % per * size + mn / per * int(stride) + k % 8 * 16 + k / 8 * int(leading)
                   : mn % 8 * 16 + mn / 8 * int(stride) + k % per * size + k / per * int(leading);
    else if (mn_major)
      offset =
          mn * size % span + mn * size / span * int(leading) + k % 8 * span + k / 8 * int(stride);
    else
      offset = mn % 8 * span + mn / 8 * int(stride) + k * size;
    return static_cast<uint32_t>(swizzled(start + static_cast<uint32_t>(offset), swizzle));
  }
};

// The operand's values: [16][n] of bfloat16 or [8][n] of tf32, as it is in shared memory now. The
// neighbours in 16 bytes lie together.
template <class T>
void fetch(const Block& block, uint64_t bits, int n, bool mn_major, float* to) {
  constexpr int size = sizeof(T), per = 16 / size;
  const Descriptor descriptor(bits);
  for (int k = 0; k < 2 * per; k += mn_major ? 1 : per)
    for (int i = 0; i < n; i += mn_major ? per : 1) {
      T values[per];
      memcpy(values, at_address(block, descriptor.address(i, k, mn_major, size), 16, "wgmma"), 16);
      for (int e = 0; e < per; ++e)
        to[mn_major ? k * n + i + e : (k + e) * n + i] =
            size == 2 ? from_bf16(values[e]) : from_tf32(values[e]);
    }
}

// D[64, n] (+)= A[64, 16] B[16, n], of tf32 half as many terms; D as the threads hold it.
void execute(const Block& block, const Wgmma& w, Accumulators& accumulators) {
  float a[16 * 64], b[16 * 256], terms[16 * 256];
  const auto fetched = w.tf32 ? fetch<uint32_t> : fetch<uint16_t>;
  fetched(block, w.a, 64, w.a_mn, a);
  fetched(block, w.b, w.n, w.b_mn, b);
  const int depth = w.tf32 ? 8 : 16;
  for (int m = 0; m < 64; ++m) {
    for (int k = 0; k < depth; ++k)
      for (int n = 0; n < w.n; ++n) terms[k * w.n + n] = a[k * 64 + m] * b[k * w.n + n];
    for (int n = 0; n < w.n; ++n) {
      const int thread = m / 16 * 32 + m % 8 * 4 + n % 8 / 2;
      const int which = n / 8 * 4 + m / 8 % 2 * 2 + n % 2;
      float& d = accumulators.values[static_cast<size_t>(thread * accumulators.count + which)];
      d = cut_sum(w.accumulate ? d : 0.0f, terms + n, depth, w.n);
    }
  }
}

struct WgmmaThread {
  float* d;
  Wgmma w;
};

// Takes the registers away from the threads until the work is waited for.
size_t seize(Warpgroup& group, WgmmaThread* const* all) {
  const int count = all[0]->w.n / 2;
  size_t which = 0;
  while (which < group.accumulators.size() && group.accumulators[which].registers[0] != all[0]->d)
    ++which;
  if (which == group.accumulators.size()) group.accumulators.emplace_back();
  Accumulators& seized = group.accumulators[which];
  if (seized.pending++ > 0) {
    if (seized.count != count) fail("wgmma of another width on accumulators that are at work");
    return which;
  }
  bool same = seized.count == count && !seized.values.empty();
  seized.count = count;
  seized.values.resize(static_cast<size_t>(kGroup * count));
  const size_t bytes = static_cast<size_t>(count) * sizeof(float);
  for (int t = 0; t < kGroup; ++t) {
    float* const values = seized.values.data() + t * count;
    same = same && memcmp(values, all[t]->d, bytes) == 0;
    seized.registers[t] = all[t]->d;
    memcpy(values, all[t]->d, bytes);
    memset(all[t]->d, kPoison, bytes);
  }
  if (!same && !group.fenced) fail("wgmma without a wgmma.fence after accumulators were touched");
  return which;
}

void finish(const Block& block, Warpgroup& group, const Wgmma& w) {
  Accumulators& accumulators = group.accumulators[w.accumulators];
  execute(block, w, accumulators);
  if (--accumulators.pending > 0) return;
  for (int t = 0; t < kGroup; ++t)
    memcpy(accumulators.registers[t], accumulators.values.data() + t * accumulators.count,
           static_cast<size_t>(accumulators.count) * sizeof(float));
}

const char kFence = 0, kCommit = 0, kWait = 0;

}  // namespace

void wgmma(const void* operation, float* d, uint64_t a, uint64_t b, int n, bool tf32, bool a_mn,
           bool b_mn, bool accumulate) {
  need(90, "wgmma");
  WgmmaThread own = {d, {a, b, n, tf32, a_mn, b_mn, accumulate, 0}};
  Warpgroup& group = warpgroup();
  meet_in_warpgroup("wgmma.mma_async", operation, own, [&group](WgmmaThread** all) {
    need_all(all, kGroup, "wgmma.mma_async");
    Wgmma w = all[0]->w;
    for (int t = 1; t < kGroup; ++t)
      if (all[t]->w.a != w.a || all[t]->w.b != w.b || all[t]->w.accumulate != w.accumulate)
        fail("wgmma with other descriptors in thread %d of the warpgroup than in its first", t);
    w.accumulators = seize(group, all);
    group.work.open.push_back(w);
  });
}

void wgmma_fence() {
  need(90, "wgmma");
  char none = 0;
  Warpgroup& group = warpgroup();
  meet_in_warpgroup("wgmma.fence", &kFence, none, [&group](char**) { group.fenced = true; });
}

void wgmma_commit() {
  need(90, "wgmma");
  char none = 0;
  Warpgroup& group = warpgroup();
  meet_in_warpgroup("wgmma.commit_group", &kCommit, none,
                    [&group](char**) { group.work.commit(); });
}

void wgmma_wait(int pending) {
  need(90, "wgmma");
  Warpgroup& group = warpgroup();
  const Block& block = *running->block;
  meet_in_warpgroup("wgmma.wait_group", &kWait, pending, [&](int** all) {
    for (int t = 1; t < kGroup; ++t)
      if (all[t] && *all[t] != **all) fail("wgmma.wait_group for different groups");
    group.work.wait(**all, [&](const Wgmma& w) { finish(block, group, w); });
    group.fenced = false;
  });
}

}  // namespace tg::emulation
