#pragma once
#include <string>

#include "sing/config/load.h"

namespace sing::config::detail {

/// Applies one override word to the tree: `key.sub=value`, `~key.sub` or `list+=x`.
void apply_override(Value& tree, const std::string& word, const StructSchema& root,
                    Problems& problems, const YamlLimits& limits);

}  // namespace sing::config::detail
