#pragma once
#include <cstdint>
#include <string>

#include "sing/core/export.h"

namespace sing::config {

/// A length of training or an interval: "10ep", "5000st", "15min", "1Gsamples", "5%" of the run.
struct Duration {
  enum class Unit : uint8_t { epochs, steps, seconds, samples, tokens, fraction };

  double value = 0;  ///< in `unit`; whole for steps, samples and tokens; 5% is 0.05
  Unit unit = Unit::steps;

  bool operator==(const Duration&) const = default;

  static constexpr Duration epochs(double value) { return {value, Unit::epochs}; }
  static constexpr Duration steps(double value) { return {value, Unit::steps}; }
  static constexpr Duration seconds(double value) { return {value, Unit::seconds}; }
  static constexpr Duration minutes(double value) { return {value * 60, Unit::seconds}; }
  static constexpr Duration fraction(double value) { return {value, Unit::fraction}; }
};

/// In the grammar of the config, readable back without loss: "100ep", "15min", "2.5%".
SING_API std::string to_string(const Duration& duration);

}  // namespace sing::config
