// Stacks that take turns on one thread of the host: what the threads of a block run on.
#pragma once

#include <stddef.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TG_FIBERS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TG_FIBERS_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TG_FIBERS_TSAN 1
#endif

namespace tg::emulation {

class Fiber {
 public:
  // The stack that the calling thread has.
  Fiber();
  // A stack of its own, on which entry(argument) begins at the first switch. It must not return.
  Fiber(void (*entry)(void*), void* argument);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Leaves this fiber, which must be the running one, for `to`; returns when someone comes back.
  void switch_to(Fiber* to);

 private:
  static void begin(Fiber* self);
  void arrived();

  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  char* mapping_ = nullptr;
  size_t mapped_ = 0;
#if defined(__x86_64__)
  void* stack_pointer_ = nullptr;
#else
  ucontext_t context_;
#endif
  const void* bottom_ = nullptr;  // of the stack, as AddressSanitizer wants to know it
  size_t size_ = 0;
  void* fake_stack_ = nullptr;
  void* tsan_ = nullptr;
};

}  // namespace tg::emulation
