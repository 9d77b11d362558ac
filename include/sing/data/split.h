#pragma once
#include <cstdint>
#include <string_view>

#include "sing/core/export.h"

namespace sing::data {

/// Parts of a data set. The values take part in sample generation: never renumber.
enum class Split : uint32_t { train = 0, val = 1, test = 2 };

/// "train", "val", "test".
SING_API std::string_view name_of(Split split);
/// Throws ConfigError E0263 that lists the known names.
SING_API Split split_from_name(std::string_view name);

}  // namespace sing::data
