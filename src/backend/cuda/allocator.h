#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "sing/backend/runtime.h"

namespace sing::cuda {

/// Caching memory of one device. Sizes are rounded up to classes; small blocks are cut from slabs;
/// what is released waits in the list of its class and of its pool, and is used again by work that
/// is queued later on the same stream, hence without waiting. Blocks of a captured graph stay in
/// the pool of that graph: no other work may touch them while it can be replayed.
/// SING_CUDA_CACHE=off makes every tensor an allocation of its own, so that memory checkers see
/// where it ends.
class Allocator {
 public:
  Allocator();
  /// nullptr when there is no memory; then `limit` is what the device has.
  void* allocate(size_t bytes, cudaStream_t stream, int64_t* limit);
  void release(void* memory, size_t bytes, cudaStream_t stream) noexcept;
  /// The pool that allocations belong to from now on; 0 is the common one.
  void use_pool(int pool);
  /// A pool whose graph is gone: its blocks become common.
  void dissolve_pool(int pool);
  /// Gives large blocks that nobody uses back to the driver, which waits for the device.
  void trim();
  size_t granted(size_t bytes) const;
  backend::MemoryStatistics statistics() const;
  void reset_peak();
  /// The n-th allocation from now fails (0: never).
  void fail_allocation(int64_t nth);

 private:
  struct Key {
    int pool;
    cudaStream_t stream;
    size_t size;
    auto operator<=>(const Key&) const = default;
  };
  void* take(const Key& key);
  void* take_from_device(size_t bytes);
  bool give_back_free_blocks();

  mutable std::mutex mutex_;
  bool cached_;
  int pool_ = 0;
  std::map<Key, std::vector<void*>> free_;
  std::unordered_map<void*, int> pool_of_;  // blocks of pools other than the common one
  struct Slab {
    char* next = nullptr;
    size_t left = 0;
  };
  std::map<int, Slab> slabs_;  // by pool
  int64_t fail_in_ = 0;
  backend::MemoryStatistics statistics_;
};

}  // namespace sing::cuda
