#pragma once
// Stacks to switch between, for the threads of an emulated block.
#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>

namespace sing::emulator {

/// Kept for the life of the process. A page that nobody may touch lies below its stack.
class Fibre {
 public:
  static constexpr size_t kStack = size_t{64} << 10;
  static constexpr size_t kGuard = 4096;
  /// `main` never returns; it leaves with `leave`.
  explicit Fibre(void (*main)());
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;
  /// The first thing `main` calls.
  void entered();
  /// Runs the fibre until it leaves.
  void enter();
  /// Back to where enter() was called; continues here at the next enter().
  void leave();
  bool guards(const void* address) const { return address >= pages_ && address < pages_ + kGuard; }

 private:
  char* pages_;
  ucontext_t context_, outside_;
  jmp_buf here_, back_;
  bool started_ = false;
  const void* outside_stack_ = nullptr;  // for the sanitizer
  size_t outside_size_ = 0;
};

}  // namespace sing::emulator
