#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>

#include "backend/cuda/cudnn/choices.h"
#include "backend/cuda/cudnn/plan.h"
#include "backend/plan_cache.h"
#include "sing/core/device.h"

namespace sing::cuda::cudnn {

/// cuDNN on this process's device: one handle, the plans in use, and the choices behind them.
/// Thread-safe. SING_CUDA_PLANS=FILE keeps the choices: engines are read from there before cuDNN is
/// asked, and every new one is added.
class Library {
 public:
  /// Started by the first call; lives until the process ends. Throws BackendError.
  static Library& get();

  /// The plan for `key`, made from the graph that `make` builds when it is not known yet; null when
  /// cuDNN has no engine for it (asked once, then remembered).
  std::shared_ptr<const Plan> plan(const PlanKey& key, const PlanRules& rules,
                                   const std::function<Graph(const Target&)>& make);
  /// The plan for `key` that `choose` finds when it is not known yet; null is remembered as well.
  std::shared_ptr<const Plan> plan(
      const PlanKey& key, const std::function<std::unique_ptr<Plan>(const Target&)>& choose);
  /// For `choose`: what was kept for the key, or null; keeping it; whether that outlives the
  /// process.
  const EngineChoice* kept_choice(const PlanKey& key) const { return choices_.find(key); }
  void keep_choice(const PlanKey& key, std::string name, EngineChoice choice);
  bool has_file() const { return !file_.empty(); }

  /// Queues the plan on `stream` with scratch memory of its own, set to zero first when asked.
  void run(const Plan& plan, std::span<const std::pair<int64_t, void*>> tensors, Stream stream,
           bool zero_workspace = false);
  int64_t version() const { return version_; }

 private:
  Library();
  std::shared_ptr<const Plan> make_plan(const PlanKey& key, const PlanRules& rules,
                                        const std::function<Graph(const Target&)>& make);

  int64_t version_;
  cudnnHandle_t handle_ = nullptr;
  std::mutex handle_mutex_;  // a handle has one stream at a time
  backend::PlanCache<Plan> plans_;
  std::string file_;
  Choices choices_;
};

}  // namespace sing::cuda::cudnn
