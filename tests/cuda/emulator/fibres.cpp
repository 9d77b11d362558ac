#include "cuda/emulator/fibres.h"

namespace sing::emulator {

Fibre::Fibre(void (*main)()) : stack_(new char[kStack]) {
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_.get();
  context_.uc_stack.ss_size = kStack;
  context_.uc_link = nullptr;
  makecontext(&context_, main, 0);
}

void Fibre::enter() {
  if (!kJumps || !started_) {
    // swapcontext saves the signal mask each time, hence jumps where they are possible.
    if (kJumps && _setjmp(back_) != 0) return;
    started_ = true;
    swapcontext(&outside_, &context_);
    return;
  }
  if (_setjmp(back_) == 0) _longjmp(here_, 1);
}

void Fibre::leave() {
  if (!kJumps) {
    swapcontext(&context_, &outside_);
    return;
  }
  if (_setjmp(here_) == 0) _longjmp(back_, 1);
}

}  // namespace sing::emulator
