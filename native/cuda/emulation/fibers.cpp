// Switching stacks: by hand on x86-64, through ucontext elsewhere. The sanitizers are told.
#include "fibers.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if TG_FIBERS_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if TG_FIBERS_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#if defined(__x86_64__)
// tg_emulation_switch(void** save, void* load): pushes what a callee must keep, leaves the stack
// pointer at *save, and goes on where `load` was left.
asm(R"(
  .pushsection .text
  .type tg_emulation_switch, @function
  .local tg_emulation_switch
tg_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size tg_emulation_switch, .-tg_emulation_switch
  .type tg_emulation_start, @function
  .local tg_emulation_start
tg_emulation_start:
  movq %r12, %rdi
  callq *%r13
  ud2
  .size tg_emulation_start, .-tg_emulation_start
  .popsection
)");
extern "C" void tg_emulation_switch(void** save, void* load);
extern "C" void tg_emulation_start();
#endif

namespace tg::emulation {

namespace {

#if TG_FIBERS_ASAN || TG_FIBERS_TSAN || !defined(__OPTIMIZE__)
constexpr size_t kStack = 512 << 10;
#else
constexpr size_t kStack = 128 << 10;
#endif
constexpr size_t kGuard = 64 << 10;  // below it: an overflow faults

thread_local Fiber* came_from = nullptr;
thread_local unsigned colour = 0;

}  // namespace

Fiber::Fiber() {
#if TG_FIBERS_TSAN
  tsan_ = __tsan_get_current_fiber();
#endif
}

Fiber::Fiber(void (*entry)(void*), void* argument) : entry_(entry), argument_(argument) {
  mapped_ = kGuard + kStack;
  void* const memory = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kGuard, PROT_NONE) != 0) {
    fprintf(stderr, "CUDA emulation: no memory for the stack of a thread\n");
    abort();
  }
  mapping_ = static_cast<char*>(memory);
  bottom_ = mapping_ + kGuard;
  // Stacks that all began at the same offset in a page would share few sets of the cache.
  size_ = kStack - (colour++ % 16) * 256;
#if TG_FIBERS_TSAN
  tsan_ = __tsan_create_fiber(0);
#endif
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>(mapping_ + kGuard + size_);
  *--top = nullptr;
  *--top = nullptr;  // and one more, so that the entry's frame is aligned
  *--top = reinterpret_cast<void*>(tg_emulation_start);  // where the first switch returns to
  *--top = nullptr;                                      // rbp
  *--top = nullptr;                                      // rbx
  *--top = this;                                         // r12
  *--top = reinterpret_cast<void*>(begin);               // r13
  *--top = nullptr;                                      // r14
  *--top = nullptr;                                      // r15
  stack_pointer_ = top;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = mapping_ + kGuard;
  context_.uc_stack.ss_size = size_;
  context_.uc_link = nullptr;
  const uintptr_t self = reinterpret_cast<uintptr_t>(this);
  makecontext(&context_, reinterpret_cast<void (*)()>(+[](unsigned high, unsigned low) {
    begin(reinterpret_cast<Fiber*>(static_cast<uintptr_t>(high) << 32 | low));
  }),
              2, static_cast<unsigned>(static_cast<uint64_t>(self) >> 32),
              static_cast<unsigned>(self));
#endif
}

Fiber::~Fiber() {
  if (!mapping_) return;
#if TG_FIBERS_TSAN
  __tsan_destroy_fiber(tsan_);
#endif
#if TG_FIBERS_ASAN
  __asan_unpoison_memory_region(mapping_ + kGuard, kStack);  // frames that were never left
#endif
  munmap(mapping_, mapped_);
}

void Fiber::begin(Fiber* self) {
  self->arrived();
  self->entry_(self->argument_);
  abort();
}

void Fiber::arrived() {
#if TG_FIBERS_ASAN
  const void* bottom = nullptr;
  size_t size = 0;
  __sanitizer_finish_switch_fiber(fake_stack_, &bottom, &size);
  if (!came_from->mapping_) {  // the thread's own stack: only now are its bounds told
    came_from->bottom_ = bottom;
    came_from->size_ = size;
  }
#endif
}

void Fiber::switch_to(Fiber* to) {
  came_from = this;
#if TG_FIBERS_ASAN
  __sanitizer_start_switch_fiber(&fake_stack_, to->bottom_, to->size_);
#endif
#if TG_FIBERS_TSAN
  __tsan_switch_to_fiber(to->tsan_, 0);
#endif
#if defined(__x86_64__)
  tg_emulation_switch(&stack_pointer_, to->stack_pointer_);
#else
  swapcontext(&context_, &to->context_);
#endif
  arrived();
}

}  // namespace tg::emulation
