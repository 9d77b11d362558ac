#pragma once
#include <cmath>
#include <cstdint>

#include "sing/config/duration.h"
#include "sing/train/console.h"

namespace sing::train {

/// When something that happens again and again is due: every N steps, or every so many seconds.
class Interval {
 public:
  Interval(const config::Duration& every, int64_t steps_per_epoch) {
    using Unit = config::Duration::Unit;
    if (every.unit == Unit::seconds)
      seconds_ = every.value;
    else if (every.unit == Unit::epochs)
      // In units of steps from the start, so that 0.5ep falls where it should in odd epochs too.
      step_ = every.value * static_cast<double>(steps_per_epoch);
    else
      step_ = every.value;
    if (step_ > 0) step_ = std::max(step_, 1.0);
    last_ = monotonic_seconds();
  }
  /// At the end of update number `step`.
  bool due(int64_t step) const {
    if (seconds_ > 0) return monotonic_seconds() - last_ >= seconds_;
    const double before = std::floor(static_cast<double>(step - 1) / step_ + 1e-9);
    return std::floor(static_cast<double>(step) / step_ + 1e-9) > before;
  }
  void done() { last_ = monotonic_seconds(); }
  bool by_time() const { return seconds_ > 0; }
  /// Seconds until it is due, for intervals by time.
  double seconds_left() const { return seconds_ - (monotonic_seconds() - last_); }

 private:
  double step_ = 0, seconds_ = 0, last_ = 0;
};

}  // namespace sing::train
