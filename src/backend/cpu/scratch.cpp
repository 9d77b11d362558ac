#include "backend/cpu/scratch.h"

#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "backend/cpu/cpu_runtime.h"
#include "sing/backend/memory.h"

namespace sing::backend::cpu {

Scratch::Scratch(size_t size) : data(cpu_runtime().allocate(size, {})), bytes(size) {
  book_memory(DeviceType::cpu, MemoryPurpose::workspace,
              static_cast<int64_t>(cpu_runtime().granted(size)));
}

Scratch::~Scratch() {
  book_memory(DeviceType::cpu, MemoryPurpose::workspace,
              -static_cast<int64_t>(cpu_runtime().granted(bytes)));
  cpu_runtime().release(data, bytes, {});
}

void* thread_workspace(size_t size) {
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  thread_local std::unique_ptr<void, Free> memory;
  thread_local size_t capacity = 0;
  if (size > capacity) {
    const size_t wanted = std::bit_ceil(std::max<size_t>(size, 1 << 16));
    memory.reset(std::aligned_alloc(256, wanted));
    if (memory == nullptr) {
      capacity = 0;
      throw_out_of_memory({}, wanted, 0);
    }
    capacity = wanted;
    std::memset(memory.get(), 0, wanted);  // touches the pages once, here
  }
  return memory.get();
}

}  // namespace sing::backend::cpu
