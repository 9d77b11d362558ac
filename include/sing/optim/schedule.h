#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "sing/config/schema.h"
#include "sing/optim/kinds.h"

namespace sing::optim {

/// What turns durations into optimizer steps; 0 where it is not known.
struct RunLength {
  int64_t total_steps = 0;       ///< updates of the whole run
  int64_t steps_per_epoch = 0;   ///< updates of one epoch
  int64_t samples_per_step = 0;  ///< samples of one update
};

/// A duration in steps: epochs and samples rounded to the nearest step, a fraction of the run to at
/// least 1 unless it is 0. Throws ConfigError naming `key` for wall-clock time, tokens, or when the
/// needed length is not known.
SING_API int64_t resolve(const config::Duration& duration, const RunLength& run,
                         std::string_view key);

/// The learning rate as a pure function of the number of updates made. Evaluated in double.
class SING_API Schedule {
 public:
  virtual ~Schedule();
  /// `base`: the host's lr. `step`: updates already made, 0 for the first; past the end of the run
  /// the last value holds.
  virtual double at(double base, int64_t step) const = 0;
  /// Momentum (or beta1) of the update after `step` others, where the schedule moves it.
  virtual std::optional<double> momentum_at(int64_t /*step*/) const { return std::nullopt; }
};

}  // namespace sing::optim
