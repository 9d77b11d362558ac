#pragma once
#include <string>
#include <string_view>

#include "sing/config/type.h"

namespace sing::config::detail {

/// What the writer of an unknown key may have meant.
struct KeyHint {
  std::string key;   ///< a key of this schema, or ""
  std::string hint;  ///< for the diagnostic, or ""
};

/// Foreign words first, then the nearest key; of equally near ones, a key that `map` lacks.
/// `also_known`: one more key beside those of the schema ("name" of components). Exported for the
/// loader, which is in the other library.
SING_API KeyHint hint_for_key(std::string_view word, const StructSchema& schema, const Value& map,
                              std::string_view also_known);

/// The nearest of the names, of equally near ones the one not in `taken`.
std::string nearest_missing(std::string_view word, const std::vector<std::string>& names,
                            const Value& taken);

}  // namespace sing::config::detail
