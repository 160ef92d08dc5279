// Atomic operations. Blocks run one after the other, but streams of other threads of the host may
// run at the same time.
#pragma once

#include <string.h>

namespace tg::emulation {

// Replaces *address by f(*address); returns what was there.
template <class T, class F>
T atomically(T* address, F f) {
  T old;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  for (;;) {
    T next = f(old);
    if (__atomic_compare_exchange(address, &old, &next, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
      return old;
  }
}

template <class T>
struct Same {
  using type = T;
};

}  // namespace tg::emulation

// The value's type is the address's.
#define TG_ATOMIC(name, expression)                                                    \
  template <class T>                                                                   \
  T name(T* address, typename tg::emulation::Same<T>::type value) {                    \
    return tg::emulation::atomically(address, [&](T old) -> T { return expression; }); \
  }
TG_ATOMIC(atomicAdd, static_cast<T>(old + value))
TG_ATOMIC(atomicSub, static_cast<T>(old - value))
TG_ATOMIC(atomicExch, ((void)old, value))
TG_ATOMIC(atomicMin, value < old ? value : old)
TG_ATOMIC(atomicMax, value > old ? value : old)
TG_ATOMIC(atomicAnd, static_cast<T>(old& value))
TG_ATOMIC(atomicOr, static_cast<T>(old | value))
TG_ATOMIC(atomicXor, static_cast<T>(old ^ value))
TG_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
#undef TG_ATOMIC

template <class T>
T atomicCAS(T* address, typename tg::emulation::Same<T>::type expected,
            typename tg::emulation::Same<T>::type value) {
  return tg::emulation::atomically(address,
                                   [&](T old) -> T { return old == expected ? value : old; });
}
