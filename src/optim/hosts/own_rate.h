#pragma once
// For hosts whose rate is a rule of their own.
#include <string>

#include "optim/schedules/constant.h"
#include "sing/optim/optimizer.h"

namespace sing::optim {

/// Refuses every schedule but a constant one without warm-up.
inline void refuse_schedule(const OptimizerConfig& config, config::Checker& c,
                            const std::string& what, const std::string& hint) {
  const auto* constant = config.schedule.options_as<ConstantOptions>();
  if (constant == nullptr || constant->warmup.value != 0)
    c.fail("schedule", what + " has a rate of its own, which no schedule may change", hint);
}

}  // namespace sing::optim
