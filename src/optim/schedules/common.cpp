#include "optim/schedules/common.h"

#include "sing/core/error.h"

namespace sing::optim {

int64_t resolve(const config::Duration& duration, const RunLength& run, std::string_view key) {
  using Unit = config::Duration::Unit;
  const auto refuse = [&](const std::string& why) -> ConfigError {
    return ConfigError(std::string(key) + ": " + config::to_string(duration) + " " + why, {},
                       "write it in steps (100st) or epochs (5ep)", "E0222");
  };
  switch (duration.unit) {
    case Unit::steps:
      return std::llround(duration.value);
    case Unit::epochs:
      if (run.steps_per_epoch <= 0) throw refuse("needs to know the length of an epoch");
      return std::llround(duration.value * static_cast<double>(run.steps_per_epoch));
    case Unit::samples:
      if (run.samples_per_step <= 0) throw refuse("needs to know the samples of an update");
      return std::llround(duration.value / static_cast<double>(run.samples_per_step));
    case Unit::fraction: {
      if (run.total_steps <= 0) throw refuse("needs a run whose length is known in steps");
      const int64_t steps = std::llround(duration.value * static_cast<double>(run.total_steps));
      return duration.value > 0 ? std::max<int64_t>(1, steps) : steps;
    }
    case Unit::seconds:
    case Unit::tokens:
      break;
  }
  throw refuse("cannot be turned into steps");
}

int64_t total_of(const RunLength& run, std::string_view schedule) {
  if (run.total_steps <= 0)
    throw ConfigError(
        "schedule " + std::string(schedule) + " needs a run whose length is known in steps", {},
        "give train.duration in epochs (100ep) or steps (10000st)", "E0222");
  return run.total_steps;
}

void check_fits(int64_t parts, const RunLength& run, std::string_view schedule) {
  if (run.total_steps > 0 && parts > run.total_steps)
    throw ConfigError("schedule " + std::string(schedule) + ": its parts take " +
                          std::to_string(parts) + " steps, the run has " +
                          std::to_string(run.total_steps),
                      {}, "shorten warmup, or train longer", "E0223");
}

}  // namespace sing::optim
