#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sing/config/schema.h"
#include "sing/nn/parameter.h"
#include "sing/optim/kinds.h"

namespace sing::optim {

/// Which tensors weight decay touches.
enum class DecayFilter : uint8_t {
  all,
  matrices,  ///< tensors of two or more dimensions
};
inline config::EnumNames<DecayFilter> enum_names(DecayFilter) {
  return {{"all", DecayFilter::all}, {"matrices", DecayFilter::matrices}};
}

/// Which parameters a group takes: all the given conditions must hold.
struct SING_API GroupMatch {
  std::vector<std::string> tags;    ///< any of these tags
  std::optional<std::string> name;  ///< pattern over the whole name, see nn::fits_pattern
  std::optional<int> ndim;          ///< number of dimensions

  bool matches(const nn::Parameter& parameter) const;
  /// "{tags: [norm], name: head.*}", for messages.
  std::string to_string() const;
  static void describe(config::Fields<GroupMatch>& f);
};

/// One line of `optimizer.groups`; what is not set comes from the host.
struct SING_API GroupRule {
  GroupMatch match;
  double lr_scale = 1;
  std::optional<double> weight_decay;
  std::optional<DecayFilter> decay;
  /// Instead of the optimizer's; the transforms ahead of it and the schedule's shape stay.
  std::optional<config::Component<host_kind>> host;
  bool freeze = false;  ///< leaves the optimizer and the tape

  static void describe(config::Fields<GroupRule>& f);
};

}  // namespace sing::optim
