#include "backend/cpu/cpu_runtime.h"

#include <sys/mman.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "backend/size_class.h"
#include "sing/backend/memory.h"
#include "sing/core/thread_pool.h"

namespace sing::backend {
namespace cpu {
namespace {

constexpr size_t kSlab = size_t{4} << 20;
constexpr size_t kSlabBlock = kSlab / 8;      // larger blocks stand alone
constexpr size_t kLargest = size_t{1} << 46;  // more than any address space offers

// An arena would hide overruns from the address sanitizer: every tensor is its own block there.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kPlainAllocations = true;
#elif defined(__has_feature)  // clang says it so
constexpr bool kPlainAllocations = __has_feature(address_sanitizer);
#else
constexpr bool kPlainAllocations = false;
#endif

/// A number in a file of the kernel; 0 when there is none ("max").
int64_t number_in(const char* path) {
  int64_t value = 0;
  if (std::FILE* file = std::fopen(path, "r")) {
    long long read = 0;
    if (std::fscanf(file, "%lld", &read) == 1) value = read;
    std::fclose(file);
  }
  return value;
}

/// Memory and swap of the machine, or what the control group of a container allows.
int64_t machine_limit() {
  struct sysinfo info {};
  int64_t limit = int64_t{1} << 46;
  if (sysinfo(&info) == 0)
    limit =
        static_cast<int64_t>(info.totalram + info.totalswap) * static_cast<int64_t>(info.mem_unit);
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"})
    if (const int64_t group = number_in(path); group > 0) limit = std::min(limit, group);
  return limit;
}

}  // namespace

CpuRuntime::CpuRuntime(Pages pages)
    : pages_(pages),
      limit_(pages == Pages::populated ? machine_limit() : static_cast<int64_t>(kLargest)) {}

CpuRuntime::~CpuRuntime() {
  for (const auto& [memory, bytes] : mapped_) munmap(const_cast<char*>(memory), bytes);
}

void* CpuRuntime::allocate(size_t bytes, Stream stream) {
  if (CpuRuntime* rehearsal = rehearsal_of_this_thread(); rehearsal != nullptr && rehearsal != this)
    return rehearsal->allocate(bytes, stream);
  void* memory = nullptr;
  int64_t limit = 0;
  {
    const std::lock_guard lock(mutex_);
    const bool planted_failure = fail_in_ > 0 && --fail_in_ == 0;
    const size_t size = bytes > kLargest ? bytes : class_of(bytes);
    if (!planted_failure && bytes <= kLargest) memory = take(size);
    if (memory != nullptr) {
      ++statistics_.allocations;
      statistics_.in_use += static_cast<int64_t>(size);
      statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
      return memory;
    }
    if (!planted_failure &&
        size > static_cast<size_t>(std::max<int64_t>(0, limit_ - statistics_.reserved)))
      limit = limit_;
  }
  throw_out_of_memory({}, bytes, limit);
}

void* CpuRuntime::take(size_t size) {
  if (kPlainAllocations && pages_ == Pages::populated) return take_from_system(size);
  if (const auto it = free_.find(size); it != free_.end() && !it->second.empty()) {
    void* memory = it->second.back();
    it->second.pop_back();
    return memory;
  }
  if (size > kSlabBlock) return take_from_system(size);
  if (slab_left_ < size) {
    void* slab = take_from_system(kSlab);
    if (slab == nullptr) return nullptr;
    slab_ = static_cast<char*>(slab);
    slab_left_ = kSlab;
  }
  void* memory = slab_;
  slab_ += size;
  slab_left_ -= size;
  return memory;
}

void* CpuRuntime::take_from_system(size_t bytes) {
  void* memory = ask_system(bytes);
  // Free blocks of other sizes may be what is missing.
  if (memory == nullptr && give_back_free_blocks()) memory = ask_system(bytes);
  return memory;
}

void* CpuRuntime::ask_system(size_t bytes) {
  if (statistics_.reserved > limit_ || bytes > static_cast<size_t>(limit_ - statistics_.reserved))
    return nullptr;
  void* memory = nullptr;
  if (pages_ == Pages::untouched) {
    memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    mapped_.emplace(static_cast<const char*>(memory), bytes);
  } else if (kPlainAllocations) {
    memory = std::aligned_alloc(kBlockAlignment, bytes);
  } else {
    // Pages are touched now, once, rather than inside a timed kernel.
    memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) memory = nullptr;
  }
  if (memory == nullptr) return nullptr;
  ++statistics_.requests;
  statistics_.reserved += static_cast<int64_t>(bytes);
  return memory;
}

bool CpuRuntime::give_back_free_blocks() {
  bool any = false;
  if (pages_ == Pages::untouched) return any;
  for (auto it = free_.upper_bound(kSlabBlock); it != free_.end(); ++it) {
    for (void* memory : it->second) {
      munmap(memory, it->first);
      statistics_.reserved -= static_cast<int64_t>(it->first);
      any = true;
    }
    it->second.clear();
  }
  return any;
}

void CpuRuntime::release(void* memory, size_t bytes, Stream stream) noexcept {
  if (CpuRuntime* rehearsal = rehearsal_of_any_thread();
      rehearsal != nullptr && rehearsal != this && rehearsal->owns(memory))
    return rehearsal->release(memory, bytes, stream);
  const std::lock_guard lock(mutex_);
  const size_t size = class_of(bytes);
  statistics_.in_use -= static_cast<int64_t>(size);
  if (kPlainAllocations && pages_ == Pages::populated) {
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
  if (bytes > 0 && rehearsal_of_this_thread() == nullptr) std::memcpy(to, from, bytes);
}

void CpuRuntime::fill_zero(void* to, size_t bytes, Stream) {
  if (rehearsal_of_this_thread() != nullptr) return;
  constexpr int64_t kGrain = 1 << 18;
  parallel_ranges(static_cast<int64_t>(bytes), kGrain, [&](int64_t begin, int64_t end) {
    std::memset(static_cast<char*>(to) + begin, 0, static_cast<size_t>(end - begin));
  });
}

bool CpuRuntime::owns(const void* memory) const {
  const std::lock_guard lock(mutex_);
  const auto* at = static_cast<const char*>(memory);
  const auto after = mapped_.upper_bound(at);
  if (after == mapped_.begin()) return false;
  const auto& [begin, bytes] = *std::prev(after);
  return at < begin + bytes;
}

MemoryStatistics CpuRuntime::memory() const {
  if (const CpuRuntime* rehearsal = rehearsal_of_this_thread();
      rehearsal != nullptr && rehearsal != this)
    return rehearsal->memory();
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void CpuRuntime::reset_peak() {
  if (CpuRuntime* rehearsal = rehearsal_of_this_thread(); rehearsal != nullptr && rehearsal != this)
    return rehearsal->reset_peak();
  const std::lock_guard lock(mutex_);
  statistics_.peak = statistics_.in_use;
}

std::string CpuRuntime::description() const {
  return std::to_string(num_threads()) + " threads, " + cpu_isa();
}

size_t CpuRuntime::granted(size_t bytes) const {
  return class_of(bytes);
}

int64_t CpuRuntime::limit() const {
  const std::lock_guard lock(mutex_);
  return limit_;
}

void CpuRuntime::set_limit(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  limit_ = bytes > 0 ? bytes : machine_limit();
  give_back_free_blocks();  // what is cached counts too
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

int64_t cpu_memory_limit() {
  return cpu::cpu_runtime().limit();
}

void limit_cpu_memory(int64_t bytes) {
  cpu::cpu_runtime().set_limit(bytes);
}

}  // namespace sing::backend
