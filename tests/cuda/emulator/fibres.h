#pragma once
// Stacks to switch between, for the threads of an emulated block.
#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <memory>

namespace sing::emulator {

#if defined(__SANITIZE_ADDRESS__)
// The sanitizer follows swapcontext, not jumps between stacks.
inline constexpr bool kJumps = false;
#else
inline constexpr bool kJumps = true;
#endif

class Fibre {
 public:
  static constexpr size_t kStack = size_t{64} << 10;
  /// `main` never returns; it leaves with `leave`.
  explicit Fibre(void (*main)());
  /// Runs the fibre until it leaves.
  void enter();
  /// Back to where enter() was called; continues here at the next enter().
  void leave();

 private:
  std::unique_ptr<char[]> stack_;
  ucontext_t context_, outside_;
  jmp_buf here_, back_;
  bool started_ = false;
};

}  // namespace sing::emulator
