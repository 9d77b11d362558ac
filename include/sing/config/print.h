#pragma once
#include <string>
#include <utility>
#include <vector>

#include "sing/config/type.h"

namespace sing::config {

/// YAML text that reads back as the same tree. Nesting in block style, lists of scalars in a line.
SING_API std::string to_yaml(const Value& tree);

/// The tree in one line: "[0.9, 0.999]", "{name: sing}".
SING_API std::string to_yaml_line(const Value& tree);

/// `complete` (from to_value) with the place each value came from as a comment beside it, looked up
/// in `written`, the merged tree the config was read from. `derived`: see Reader::derived.
SING_API std::string to_yaml_with_origins(
    const Value& complete, const Value& written,
    const std::vector<std::pair<std::string, std::string>>& derived = {});

/// What differs from the defaults, and required keys; reads back as the same config.
SING_API Value minimal(const StructSchema& schema, const Value& complete);

/// SHA-256 of the complete tree's YAML text: equal exactly for equal configs.
SING_API std::string config_hash(const Value& complete);

}  // namespace sing::config
