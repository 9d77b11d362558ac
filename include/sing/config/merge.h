#pragma once
#include <functional>
#include <optional>
#include <string>

#include "sing/config/diagnostic.h"
#include "sing/config/value.h"

namespace sing::config {

/// Lays `over` on `base`: maps merge deeply, everything else is replaced whole. A map whose `name`
/// changes starts empty; a bare word X counts as {name: X}. The `name` of the whole config (`root`)
/// is the run's and changes nothing else.
SING_API void merge(Value& base, Value over, bool root = true);

using Environment = std::function<std::optional<std::string>(const std::string& name)>;

/// Replaces `${env:NAME}`, `${env:NAME:-default}` and `${path.to.key}` in every scalar. A path
/// leads to a scalar of the tree, or of `defaults` when the config does not say. Values taken from
/// the environment note it in their origin.
SING_API void interpolate(Value& tree, const Value& defaults, const Environment& environment,
                          Problems& problems);

}  // namespace sing::config
