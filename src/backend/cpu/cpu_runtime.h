#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "sing/backend/runtime.h"

namespace sing::backend::cpu {

/// Caching arena: sizes are rounded up to classes (four per power of two); released blocks wait in
/// the list of their class and are never given back, so a training loop asks the system for nothing
/// once it has seen every size. Only before it fails it gives free blocks back and tries again.
class CpuRuntime final : public DeviceRuntime {
 public:
  /// `untouched`: address space without memory behind it and without a limit, for a rehearsal.
  enum class Pages { populated, untouched };
  explicit CpuRuntime(Pages pages = Pages::populated);
  ~CpuRuntime() override;
  void* allocate(size_t bytes, Stream stream) override;
  void release(void* memory, size_t bytes, Stream stream) noexcept override;
  void copy(void* to, const void* from, size_t bytes, CopyKind kind, Stream stream) override;
  void fill_zero(void* to, size_t bytes, Stream stream) override;
  Stream stream(int) override { return {}; }
  void synchronize(Stream) override {}
  MemoryStatistics memory() const override;
  void reset_peak() override;
  std::string description() const override;
  size_t granted(size_t bytes) const override;

  void fail_allocation(int64_t nth);
  int64_t limit() const;
  void set_limit(int64_t bytes);
  /// Whether `memory` lies in what was taken from the system; only of an untouched arena.
  bool owns(const void* memory) const;

 private:
  // These want the lock held; nullptr when there is no memory.
  void* take(size_t size);
  void* take_from_system(size_t bytes);
  void* ask_system(size_t bytes);
  bool give_back_free_blocks();

  const Pages pages_;
  std::map<const char*, size_t> mapped_;  // untouched: begin and size of all there is
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;  // by class size
  char* slab_ = nullptr;                       // small blocks are cut from slabs
  size_t slab_left_ = 0;
  int64_t fail_in_ = 0;
  int64_t limit_;
  MemoryStatistics statistics_;
};

CpuRuntime& cpu_runtime();
/// The arena that stands in for the real one while a Rehearsal lives; nullptr otherwise.
CpuRuntime* rehearsal_of_this_thread();
CpuRuntime* rehearsal_of_any_thread();

}  // namespace sing::backend::cpu
