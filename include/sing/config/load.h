#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sing/config/bind.h"
#include "sing/config/merge.h"
#include "sing/config/print.h"
#include "sing/config/yaml.h"

namespace sing::config {

struct LoadRequest {
  std::vector<std::string> files;      ///< later wins; "-" is standard input
  std::vector<std::string> overrides;  ///< `key.sub=value`, `~key.sub`, `list+=x`, in order
  YamlLimits limits;
  /// What `${env:NAME}` sees; empty: the process environment.
  Environment environment;
};

/// Reads and merges the files (with their `extends`), applies the overrides and `${...}`. What is
/// wrong is added to `problems`; nothing is returned when a file could not be read at all, since
/// keys that seem to be missing would then only confuse.
SING_API std::optional<Value> load_tree(const LoadRequest& request, const StructSchema& root,
                                        Problems& problems);

template <class Root>
struct Loaded {
  Root config;
  Value written;  ///< the merged tree; find_path("a.b") tells what the user wrote
  std::vector<Diagnostic> warnings;  ///< from Checker::warn
  std::vector<std::pair<std::string, std::string>> derived;

  std::string print_full() const { return to_yaml(to_value(config)); }
  std::string print_minimal() const {
    return to_yaml(minimal(schema_of<Root>(), to_value(config)));
  }
  std::string print_origin() const {
    return to_yaml_with_origins(to_value(config), written, derived);
  }
  std::string hash() const { return config_hash(to_value(config)); }
};

/// Files and overrides to a typed config. Throws ConfigErrors with everything that is wrong.
template <class Root>
Loaded<Root> load(const LoadRequest& request) {
  Problems problems;
  Loaded<Root> result;
  Reader reader(problems);
  if (std::optional<Value> tree = load_tree(request, schema_of<Root>(), problems)) {
    result.written = std::move(*tree);
    read_struct(schema_of<Root>(), result.written, &result.config, reader, "the config");
  }
  problems.raise();
  result.warnings.assign(problems.warnings().begin(), problems.warnings().end());
  result.derived = std::move(reader.derived);
  return result;
}

}  // namespace sing::config
