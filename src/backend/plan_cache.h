#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace sing::backend {

/// What a library made ready for a problem, so that it is asked once (oneDNN, cuDNN, cuBLASLt).
/// The `capacity` plans used last, by what they depend on. That there is no plan is remembered as
/// well (null). Thread-safe; a plan that leaves the cache lives on with those who hold it. Making
/// one holds the lock, so that two threads do not make the same.
template <class Plan>
class PlanCache {
 public:
  using Key = std::vector<int64_t>;
  explicit PlanCache(size_t capacity) : capacity_(capacity) {}

  /// `make` returns a pointer to a plan, or null. When it throws, nothing is remembered.
  template <class Make>
  std::shared_ptr<const Plan> get(const Key& key, Make&& make) {
    const std::lock_guard lock(mutex_);
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return found->second->second;
    }
    std::shared_ptr<const Plan> plan = make();
    order_.emplace_front(key, plan);
    by_key_[key] = order_.begin();
    if (order_.size() > capacity_) {
      by_key_.erase(order_.back().first);
      order_.pop_back();
    }
    return plan;
  }
  size_t size() const {
    const std::lock_guard lock(mutex_);
    return order_.size();
  }

 private:
  using Order = std::list<std::pair<Key, std::shared_ptr<const Plan>>>;  // used last first
  const size_t capacity_;
  mutable std::mutex mutex_;
  Order order_;
  struct Hash {
    size_t operator()(const Key& key) const {
      uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a over words
      for (const int64_t word : key) hash = (hash ^ static_cast<uint64_t>(word)) * 0x100000001b3ull;
      return hash;
    }
  };
  std::unordered_map<Key, typename Order::iterator, Hash> by_key_;
};

}  // namespace sing::backend
