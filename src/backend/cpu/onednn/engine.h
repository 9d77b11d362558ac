#pragma once
// What every oneDNN (2.6) wrapper shares. Primitives run one-threaded inside chunks of our own
// pool, so results depend on the chunks (fixed by the problem) and never on the thread count.
#include <cstdint>
#include <dnnl.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "sing/core/dtype.h"
#include "sing/core/error.h"

namespace sing::backend::onednn {

/// The process-wide CPU engine, limited to the instruction set in use.
const dnnl::engine& engine();
/// This thread's stream.
dnnl::stream& stream();

/// oneDNN sees one thread on the calling thread while it lives.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

/// `kernel` as a fast kernel of slot `op`: false where oneDNN does not implement the problem (the
/// reference takes over), BackendError for any other failure of the library.
template <class Args>
bool guarded(const char* op, bool (*kernel)(const Args&), const Args& args) {
  try {
    return kernel(args);
  } catch (const dnnl::error& e) {
    if (e.status == dnnl_unimplemented) return false;
    throw BackendError(std::string(op) + ": oneDNN says: " + e.what());
  }
}

/// f32 always; bf16 where the processor multiplies it natively.
bool serves(DType dtype);
dnnl::memory::data_type data_type(DType dtype);

/// Memory of the CPU arena, released at the end of the scope.
class Workspace {
 public:
  explicit Workspace(size_t bytes);
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  void* data() const { return data_; }

 private:
  size_t bytes_;
  void* data_;
};

/// Plans by problem description; the least recently used one leaves when it is full. Thread-safe.
template <class Plan>
class PlanCache {
 public:
  using Key = std::vector<int64_t>;
  explicit PlanCache(size_t limit) : limit_(limit) {}

  template <class Make>
  std::shared_ptr<const Plan> get(const Key& key, Make&& make) {
    const std::lock_guard lock(mutex_);
    Entry& entry = plans_[key];
    entry.used = ++clock_;
    if (!entry.plan) {
      try {
        entry.plan = make();
      } catch (...) {
        plans_.erase(key);
        throw;
      }
      if (plans_.size() > limit_) drop_oldest();
    }
    return entry.plan;
  }
  size_t size() const {
    const std::lock_guard lock(mutex_);
    return plans_.size();
  }

 private:
  struct Entry {
    std::shared_ptr<const Plan> plan;
    uint64_t used = 0;
  };
  struct Hash {
    size_t operator()(const Key& key) const {
      uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a over words
      for (const int64_t word : key) hash = (hash ^ static_cast<uint64_t>(word)) * 0x100000001b3ull;
      return hash;
    }
  };
  void drop_oldest() {
    auto oldest = plans_.begin();
    for (auto it = plans_.begin(); it != plans_.end(); ++it)
      if (it->second.used < oldest->second.used) oldest = it;
    plans_.erase(oldest);
  }

  size_t limit_;
  uint64_t clock_ = 0;
  mutable std::mutex mutex_;
  std::unordered_map<Key, Entry, Hash> plans_;
};

}  // namespace sing::backend::onednn
