#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "sing/config/component.h"
#include "sing/config/type.h"

// Tools over all keys that a root schema can reach.
namespace sing::config {

/// JSON Schema (draft 2020-12) of the config files of this root, for editors. A file with `extends`
/// may leave keys and names to the file it starts from; every other file must be whole.
SING_API std::string json_schema(const StructSchema& root, std::string_view title);

/// One key. Its path is written "optimizer.transforms[]{sing}.eps": [] for the items of a list, {}
/// for the values of a free map, {name} behind the key of a component.
struct KeyInfo {
  std::string path;
  const Field* field = nullptr;
  std::string component;  ///< name of the component whose option it is, or ""
  Value standard;         ///< the default; null too when there is none
};

/// Every key reachable from the root, through every registered component, in the order they print.
/// A kind inside itself is not entered again.
SING_API std::vector<KeyInfo> all_keys(const StructSchema& root);

/// Every component kind reachable from the root, sorted by its name.
SING_API std::vector<const ComponentKindBase*> all_kinds(const StructSchema& root);

/// What a key ("optimizer.host.lr" or its end: "lr"), a component ("adamw"), a kind ("host") or an
/// error code of this room ("E0201") means, as text for people; ends with a newline. Throws
/// ConfigError with the nearest known word.
SING_API std::string explain(const StructSchema& root, std::string_view what);

}  // namespace sing::config
