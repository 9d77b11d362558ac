#pragma once
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sing/config/diagnostic.h"
#include "sing/config/value.h"

namespace sing::config {

/// The fence around YAML: what is larger is refused before it costs anything.
struct YamlLimits {
  size_t bytes = size_t{1} << 20;
  int depth = 32;
  int nodes = 10000;
  size_t scalar_bytes = size_t{64} << 10;
};

/// Reads one YAML document. Anchors, aliases, tags, merge keys `<<`, second documents and duplicate
/// keys are refused; an empty document is an empty map. Errors are added to `problems`; nothing is
/// returned when they leave no tree worth reading (no YAML, or past a limit).
SING_API std::optional<Value> read_yaml(std::string_view text, const std::string& source_name,
                                        Problems& problems, const YamlLimits& limits = {});

/// The value of an override word, what follows position `start`: a list or map in flow style, a
/// quoted text, or a plain word taken as it stands (`null` is null).
SING_API std::optional<Value> read_override_value(const std::shared_ptr<const Source>& word,
                                                  size_t start, Problems& problems,
                                                  const YamlLimits& limits = {});

}  // namespace sing::config
