#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "sing/core/export.h"

namespace sing {

/// Inserted, deleted or replaced letters and swaps of neighbours that turn `a` into `b` (optimal
/// string alignment; no letter is edited twice).
SING_API size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate nearest to `word` by these edits, or "" when none is near enough to be meant: more
/// than one edit for a word of up to three letters, more than two or a third of its letters for a
/// longer one. Ties: the earlier candidate.
SING_API std::string nearest_name(std::string_view word, std::span<const std::string> candidates);

}  // namespace sing
