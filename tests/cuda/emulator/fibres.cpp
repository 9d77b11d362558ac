#include "cuda/emulator/fibres.h"

#include <sys/mman.h>

#include "cuda/emulator/emulator.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace sing::emulator {

Fibre::Fibre(void (*main)()) {
  void* pages = mmap(nullptr, kGuard + kStack, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED || mprotect(pages, kGuard, PROT_NONE) != 0)
    fail("no memory for the stacks of a block");
  pages_ = static_cast<char*>(pages);
  getcontext(&context_);
  context_.uc_stack.ss_sp = pages_ + kGuard;
  context_.uc_stack.ss_size = kStack;
  context_.uc_link = nullptr;
  makecontext(&context_, main, 0);
}

void Fibre::enter() {
#if defined(__SANITIZE_ADDRESS__)
  void* own = nullptr;
  __sanitizer_start_switch_fiber(&own, pages_ + kGuard, kStack);
  swapcontext(&outside_, &context_);
  __sanitizer_finish_switch_fiber(own, nullptr, nullptr);
#else
  if (!started_) {
    // swapcontext saves the signal mask each time, hence jumps from then on.
    if (_setjmp(back_) != 0) return;
    started_ = true;
    swapcontext(&outside_, &context_);
    return;
  }
  if (_setjmp(back_) == 0) _longjmp(here_, 1);
#endif
}

void Fibre::leave() {
#if defined(__SANITIZE_ADDRESS__)
  void* own = nullptr;
  __sanitizer_start_switch_fiber(&own, outside_stack_, outside_size_);
  swapcontext(&context_, &outside_);
  __sanitizer_finish_switch_fiber(own, &outside_stack_, &outside_size_);
#else
  if (_setjmp(here_) == 0) _longjmp(back_, 1);
#endif
}

void Fibre::entered() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &outside_stack_, &outside_size_);
#endif
}

}  // namespace sing::emulator
