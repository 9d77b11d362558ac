#pragma once
#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <string_view>

#include "sing/optim/schedule.h"

namespace sing::optim {

/// Throws ConfigError naming the schedule when the length of the run is not known.
int64_t total_of(const RunLength& run, std::string_view schedule);
/// Throws ConfigError when `parts` steps do not fit into the run.
void check_fits(int64_t parts, const RunLength& run, std::string_view schedule);

/// Linear warm-up whose first update is not at 0: lr (s + 1) / W for s < W.
inline double warmed(double base, int64_t step, int64_t warmup) {
  return base * static_cast<double>(step + 1) / static_cast<double>(warmup);
}
/// 1 at q = 0, 0 at q = 1.
inline double half_cosine(double q) {
  return 0.5 * (1 + std::cos(std::numbers::pi * q));
}
inline constexpr config::Duration kNoSteps = config::Duration::steps(0);

}  // namespace sing::optim
