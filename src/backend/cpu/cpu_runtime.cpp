#include "backend/cpu/cpu_runtime.h"

#include <sys/mman.h>

#include <bit>
#include <cstdlib>
#include <cstring>

#include "sing/core/error.h"
#include "sing/core/thread_pool.h"

namespace sing::backend {
namespace cpu {
namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kSlab = size_t{4} << 20;
constexpr size_t kLargest = size_t{1} << 46;  // more than any address space offers

// An arena would hide overruns from the address sanitizer: every tensor is its own block there.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kPlainAllocations = true;
#else
constexpr bool kPlainAllocations = false;
#endif

/// The class a size belongs to: 256, 512, 768, 1024, then four sizes per power of two.
size_t class_of(size_t bytes) {
  if (bytes <= kAlignment) return kAlignment;
  const size_t step = std::max(kAlignment, std::bit_floor(bytes - 1) / 4);
  return (bytes + step - 1) / step * step;
}

std::string gib(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GiB", static_cast<double>(bytes) / (1 << 30));
  return text;
}

}  // namespace

void* CpuRuntime::allocate(size_t bytes, Stream) {
  const std::lock_guard lock(mutex_);
  const bool planted_failure = fail_in_ > 0 && --fail_in_ == 0;
  if (planted_failure || bytes > kLargest)
    throw OutOfMemoryError("out of memory: " + gib(static_cast<int64_t>(bytes)) + " asked, " +
                               gib(statistics_.in_use) + " in use by tensors",
                           {}, "use a smaller data.batch_size with train.accumulate", "E0601");
  const size_t size = class_of(bytes);
  void* memory = nullptr;
  if (kPlainAllocations) {
    memory = take_from_system(size);
  } else if (const auto it = free_.find(size); it != free_.end() && !it->second.empty()) {
    memory = it->second.back();
    it->second.pop_back();
  } else if (size <= kSlab / 8) {
    if (slab_left_ < size) {
      slab_ = static_cast<char*>(take_from_system(kSlab));
      slab_left_ = kSlab;
    }
    memory = slab_;
    slab_ += size;
    slab_left_ -= size;
  } else {
    memory = take_from_system(size);
  }
  ++statistics_.allocations;
  statistics_.in_use += static_cast<int64_t>(size);
  statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
  return memory;
}

void* CpuRuntime::take_from_system(size_t bytes) {
  void* memory = nullptr;
  if (kPlainAllocations) {
    memory = std::aligned_alloc(kAlignment, bytes);
  } else {
    // Pages are touched now, once, rather than inside a timed kernel.
    memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) memory = nullptr;
  }
  if (memory == nullptr)
    throw OutOfMemoryError("out of memory: the system refused " + gib(static_cast<int64_t>(bytes)) +
                               ", tensors hold " + gib(statistics_.in_use),
                           {}, "use a smaller data.batch_size with train.accumulate", "E0601");
  ++statistics_.requests;
  statistics_.reserved += static_cast<int64_t>(bytes);
  return memory;
}

void CpuRuntime::release(void* memory, size_t bytes, Stream) noexcept {
  const std::lock_guard lock(mutex_);
  const size_t size = class_of(bytes);
  statistics_.in_use -= static_cast<int64_t>(size);
  if (kPlainAllocations) {
    statistics_.reserved -= static_cast<int64_t>(size);
    std::free(memory);
    return;
  }
  try {
    free_[size].push_back(memory);
  } catch (const std::bad_alloc&) {
    // The block is lost to the cache; a destructor has nothing better to do.
  }
}

void CpuRuntime::copy(void* to, const void* from, size_t bytes, CopyKind, Stream) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void CpuRuntime::fill_zero(void* to, size_t bytes, Stream) {
  constexpr int64_t kGrain = 1 << 18;
  parallel_ranges(static_cast<int64_t>(bytes), kGrain, [&](int64_t begin, int64_t end) {
    std::memset(static_cast<char*>(to) + begin, 0, static_cast<size_t>(end - begin));
  });
}

MemoryStatistics CpuRuntime::memory() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void CpuRuntime::reset_peak() {
  const std::lock_guard lock(mutex_);
  statistics_.peak = statistics_.in_use;
}

std::string CpuRuntime::description() const {
  return std::to_string(num_threads()) + " threads, " + cpu_isa();
}

void CpuRuntime::fail_allocation(int64_t nth) {
  const std::lock_guard lock(mutex_);
  fail_in_ = nth;
}

CpuRuntime& cpu_runtime() {
  static CpuRuntime* runtime = new CpuRuntime;  // never destroyed: outlives every static tensor
  return *runtime;
}

}  // namespace cpu

void fail_cpu_allocation(int64_t nth) {
  cpu::cpu_runtime().fail_allocation(nth);
}

}  // namespace sing::backend
