#pragma once
#include <span>
#include <string>
#include <string_view>

#include "sing/core/export.h"

namespace sing {

/// The candidate nearest to `word` by edits (insert, delete, replace, swap of neighbours), or ""
/// when none is near enough to be meant (more than a third of the letters differ, at least 2
/// allowed). Ties: the earlier candidate.
SING_API std::string nearest_name(std::string_view word, std::span<const std::string> candidates);

}  // namespace sing
