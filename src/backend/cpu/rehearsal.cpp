#include "sing/backend/rehearsal.h"

#include <atomic>
#include <mutex>

#include "backend/cpu/cpu_runtime.h"
#include "sing/core/error.h"

namespace sing::backend {
namespace {

thread_local cpu::CpuRuntime* t_arena = nullptr;
std::atomic<cpu::CpuRuntime*> g_arena{nullptr};

std::mutex& one_at_a_time() {
  static std::mutex mutex;
  return mutex;
}

}  // namespace

namespace cpu {

CpuRuntime* rehearsal_of_this_thread() {
  return t_arena;
}
CpuRuntime* rehearsal_of_any_thread() {
  return g_arena.load(std::memory_order_acquire);
}

}  // namespace cpu

Rehearsal::Rehearsal() : no_kernels_(KernelPath::none) {
  SING_ASSERT(t_arena == nullptr);
  one_at_a_time().lock();
  arena_ = std::make_unique<cpu::CpuRuntime>(cpu::CpuRuntime::Pages::untouched);
  t_arena = arena_.get();
  g_arena.store(t_arena, std::memory_order_release);
}

Rehearsal::~Rehearsal() {
  g_arena.store(nullptr, std::memory_order_release);
  t_arena = nullptr;
  arena_.reset();
  one_at_a_time().unlock();
}

}  // namespace sing::backend
