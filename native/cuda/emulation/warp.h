// Operations of the threads of a warp together: votes and shuffles.
#pragma once

#include <string.h>

#include "execution.h"

namespace tg::emulation {

// Each thread of the warp that `mask` names brings an object; the last calls combine(all), where
// all[lane] is null for who takes no part. Threads that do not pass the same F do not match.
template <class T, class F>
void meet_in_warp(const char* name, unsigned mask, T& own, F combine) {
  static const char operation = 0;
  const uint64_t wide[2] = {mask, 0};
  meet(
      name, &operation, running->index - running->lane, kWarp, wide, &own,
      [](void* f, void** all) { (*static_cast<F*>(f))(reinterpret_cast<T**>(all)); }, &combine);
}

// from(lane) says whose value a lane gets: itself if that lies outside its segment.
template <class T, class From>
T shuffle(const char* name, unsigned mask, T value, From from) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
  struct Lane {
    T value, result;
    int source;
  } own = {value, value, from(running->lane)};
  meet_in_warp(name, mask, own, [](Lane** all) {
    for (int lane = 0; lane < kWarp; ++lane) {
      if (!all[lane]) continue;
      if (const Lane* const source = all[all[lane]->source])
        all[lane]->result = source->value;
      else  // of a thread that takes no part: undefined
        memset(static_cast<void*>(&all[lane]->result), kPoison, sizeof(T));
    }
  });
  return own.result;
}

inline int check_width(int width) {
  if (width < 1 || width > kWarp || (width & (width - 1)) != 0)
    fail("a shuffle of width %d: it must be a power of two up to 32", width);
  return width;
}

}  // namespace tg::emulation

inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) {
  char none = 0;
  tg::emulation::meet_in_warp("__syncwarp", mask, none, [](char**) {});
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize) {
  tg::emulation::check_width(width);
  return tg::emulation::shuffle("__shfl_sync", mask, value, [=](int lane) {
    return (lane & ~(width - 1)) | (source & (width - 1));
  });
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize) {
  tg::emulation::check_width(width);
  return tg::emulation::shuffle("__shfl_up_sync", mask, value, [=](int lane) {
    return static_cast<int>(delta) > (lane & (width - 1)) ? lane : lane - static_cast<int>(delta);
  });
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize) {
  tg::emulation::check_width(width);
  return tg::emulation::shuffle("__shfl_down_sync", mask, value, [=](int lane) {
    const int within = (lane & (width - 1)) + static_cast<int>(delta);
    return within >= width ? lane : lane + static_cast<int>(delta);
  });
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize) {
  tg::emulation::check_width(width);
  return tg::emulation::shuffle("__shfl_xor_sync", mask, value, [=](int lane) {
    const int source = lane ^ bits;  // a later segment's lane is out of reach, an earlier one's not
    return source >= (lane & ~(width - 1)) + width ? lane : source & (warpSize - 1);
  });
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
  struct Lane {
    bool predicate;
    unsigned votes;
  } own = {predicate != 0, 0};
  tg::emulation::meet_in_warp("__ballot_sync", mask, own, [](Lane** all) {
    unsigned votes = 0;
    for (int i = 0; i < warpSize; ++i) votes |= unsigned{all[i] && all[i]->predicate} << i;
    for (int i = 0; i < warpSize; ++i)
      if (all[i]) all[i]->votes = votes;
  });
  return own.votes;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }

// The threads of the warp that have not ended: all of them may be here together.
inline unsigned __activemask() {
  const tg::emulation::Thread& self = *tg::emulation::running;
  const auto& threads = self.block->threads;
  unsigned active = 0;
  for (int i = 0; i < warpSize; ++i) {
    const size_t k = static_cast<size_t>(self.index - self.lane + i);
    active |= unsigned{k < threads.size() && !threads[k].finished} << i;
  }
  return active;
}
