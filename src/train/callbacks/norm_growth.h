#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "sing/optim/optimizer.h"
#include "sing/train/events.h"

namespace sing::train {

/// Looks for raw gradients of norm tensors (tag `norm`) that keep growing. SING gives each tensor a
/// step of the same length whatever its gradient, so it keeps driving them: the remedy of the paper
/// is to freeze them (section 5.4). Says so once per process; nothing of it is training state.
class SING_API NormGrowth {
 public:
  static constexpr int64_t kWindow = 100;  ///< steps whose mean is one measurement
  static constexpr int64_t kRises = 5;     ///< measurements in a row, each above the one before
  static constexpr double kFactor = 4;     ///< and in all

  /// After an update. The warning's text the first time they grow.
  std::optional<std::string> observe(const optim::Optimizer& optimizer);

 private:
  double sum_ = 0;  // of the window so far
  int64_t steps_ = 0, rises_ = 0;
  double first_ = 0, last_ = 0;  // means: where the rise began, and of the window before
  bool told_ = false;
};

/// Warns W0531; for runs with `sing`.
class NormGrowthCallback : public Callback {
 public:
  void on_event(Event event, Trainer& trainer) override;
  bool wants_numbers(const Trainer&) const override { return false; }
  bool within_step() const override { return false; }

 private:
  NormGrowth growth_;
};

}  // namespace sing::train
