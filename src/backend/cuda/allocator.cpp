#include "backend/cuda/allocator.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "backend/size_class.h"
#include "kernels/cuda/backend.h"

namespace sing::cuda {
namespace {

constexpr size_t kSlab = size_t{16} << 20;
constexpr size_t kSlabBlock = kSlab / 8;  // larger blocks stand alone

bool caching() {
  const char* text = std::getenv("SING_CUDA_CACHE");
  return text == nullptr || std::strcmp(text, "off") != 0;
}

}  // namespace

Allocator::Allocator() : cached_(caching()) {}

size_t Allocator::granted(size_t bytes) const {
  return cached_ ? backend::class_of(bytes) : std::max<size_t>(bytes, 1);
}

void* Allocator::allocate(size_t bytes, cudaStream_t stream, int64_t* limit) {
  const std::lock_guard lock(mutex_);
  constexpr size_t kLargest = size_t{1} << 46;
  const bool planted_failure = fail_in_ > 0 && --fail_in_ == 0;
  void* memory = nullptr;
  const size_t size = bytes > kLargest ? bytes : granted(bytes);
  if (!planted_failure && bytes <= kLargest) memory = take({pool_, stream, size});
  if (memory == nullptr) {
    size_t free = 0, total = 0;
    *limit = cudaMemGetInfo(&free, &total) == cudaSuccess ? static_cast<int64_t>(total) : 0;
    return nullptr;
  }
  if (pool_ != 0) pool_of_[memory] = pool_;
  ++statistics_.allocations;
  statistics_.in_use += static_cast<int64_t>(size);
  statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
  return memory;
}

void* Allocator::take(const Key& key) {
  if (!cached_ && key.pool == 0) return take_from_device(key.size);
  if (const auto it = free_.find(key); it != free_.end() && !it->second.empty()) {
    void* memory = it->second.back();
    it->second.pop_back();
    return memory;
  }
  if (!cached_ || key.size > kSlabBlock) return take_from_device(key.size);
  Slab& slab = slabs_[key.pool];
  if (slab.left < key.size) {
    void* fresh = take_from_device(kSlab);
    if (fresh == nullptr) return nullptr;
    slab = {static_cast<char*>(fresh), kSlab};
  }
  void* memory = slab.next;
  slab.next += key.size;
  slab.left -= key.size;
  return memory;
}

void* Allocator::take_from_device(size_t bytes) {
  void* memory = nullptr;
  cudaError_t status = cudaMalloc(&memory, bytes);
  // Free blocks of other sizes may be what is missing. Not while a graph is captured: giving back
  // waits for the device.
  if (status == cudaErrorMemoryAllocation && pool_ == 0 && give_back_free_blocks()) {
    cudaGetLastError();
    status = cudaMalloc(&memory, bytes);
  }
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // is reported by the caller and must not be found again
    return nullptr;
  }
  check(status, "taking memory");  // an earlier kernel may have failed
  ++statistics_.requests;
  statistics_.reserved += static_cast<int64_t>(bytes);
  return memory;
}

bool Allocator::give_back_free_blocks() {
  bool any = false;
  for (auto& [key, blocks] : free_) {
    if (key.size <= kSlabBlock || key.pool != 0) continue;
    for (void* memory : blocks) {
      cudaFree(memory);  // waits for the device
      statistics_.reserved -= static_cast<int64_t>(key.size);
      any = true;
    }
    blocks.clear();
  }
  return any;
}

void Allocator::trim() {
  const std::lock_guard lock(mutex_);
  give_back_free_blocks();
}

void Allocator::release(void* memory, size_t bytes, cudaStream_t stream) noexcept {
  const std::lock_guard lock(mutex_);
  const size_t size = granted(bytes);
  statistics_.in_use -= static_cast<int64_t>(size);
  try {
    // What is given back during a capture may be used at every launch, wherever it came from.
    int pool = pool_;
    if (const auto it = pool_of_.find(memory); it != pool_of_.end()) {
      pool = it->second;
      pool_of_.erase(it);
    }
    if (!cached_ && pool == 0) {  // blocks of a graph stay: it writes to them at every launch
      statistics_.reserved -= static_cast<int64_t>(size);
      cudaFree(memory);
      return;
    }
    free_[{pool, stream, size}].push_back(memory);
  } catch (const std::bad_alloc&) {
    // The block is lost to the cache; a destructor has nothing better to do.
  }
}

void Allocator::use_pool(int pool) {
  const std::lock_guard lock(mutex_);
  pool_ = pool;
}

void Allocator::dissolve_pool(int pool) {
  const std::lock_guard lock(mutex_);
  for (auto it = free_.begin(); it != free_.end();) {
    if (it->first.pool != pool) {
      ++it;
      continue;
    }
    const Key common{0, it->first.stream, it->first.size};
    std::vector<void*> blocks = std::move(it->second);
    it = free_.erase(it);
    if (!cached_) {
      for (void* memory : blocks) cudaFree(memory);
      statistics_.reserved -= static_cast<int64_t>(common.size * blocks.size());
      continue;
    }
    auto& list = free_[common];
    list.insert(list.end(), blocks.begin(), blocks.end());
  }
  std::erase_if(pool_of_, [&](const auto& entry) { return entry.second == pool; });
  if (const auto it = slabs_.find(pool); it != slabs_.end()) {
    Slab& common = slabs_[0];
    if (it->second.left > common.left) common = it->second;
    slabs_.erase(pool);
  }
}

backend::MemoryStatistics Allocator::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void Allocator::reset_peak() {
  const std::lock_guard lock(mutex_);
  statistics_.peak = statistics_.in_use;
}

void Allocator::fail_allocation(int64_t nth) {
  const std::lock_guard lock(mutex_);
  fail_in_ = nth;
}

}  // namespace sing::cuda
