#pragma once
#include <cstddef>

namespace sing::backend::cpu {

/// Workspace of one kernel call, from the arena (so it costs no system call in the steady state).
/// Uninitialised, aligned to 256 bytes. Everything is out of line: vector code includes this.
class Scratch {
 public:
  explicit Scratch(size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void* data;
  size_t bytes;
};

/// This thread's own workspace of at least `bytes`, aligned to 256: for what one chunk of a
/// parallel loop needs, so that it stays in that core's cache from chunk to chunk. Valid until the
/// next call on this thread; freed when the thread ends.
void* thread_workspace(size_t bytes);

}  // namespace sing::backend::cpu
