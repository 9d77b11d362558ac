#pragma once
#include <memory>

#include "sing/backend/kernel_slot.h"
#include "sing/core/export.h"

namespace sing::backend {

namespace cpu {
class CpuRuntime;
}

/// Runs code for its allocations alone. While it lives, CPU tensors that this thread makes get
/// address space that nobody touches, and no kernel, copy or fill of this thread runs; values are
/// therefore zero or meaningless, but shapes are checked and the allocator does exactly what it
/// would do, so `runtime({}).memory()` (which counts the rehearsal on this thread) shows what a run
/// would hold. Code that writes tensors by itself touches real pages; `kernel_path()` tells it not
/// to. Every tensor made under it must be gone at its end. One at a time in a process: a second
/// thread waits.
class SING_API Rehearsal {
 public:
  Rehearsal();
  ~Rehearsal();
  Rehearsal(const Rehearsal&) = delete;
  Rehearsal& operator=(const Rehearsal&) = delete;

 private:
  KernelPathGuard no_kernels_;
  std::unique_ptr<cpu::CpuRuntime> arena_;
};

}  // namespace sing::backend
