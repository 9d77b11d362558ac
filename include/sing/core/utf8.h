#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "sing/core/export.h"

namespace sing {

/// Index of the first byte that is not part of well-formed UTF-8 (RFC 3629: shortest form, no
/// surrogates, at most U+10FFFF), or text.size() when all of it is.
SING_API size_t utf8_error(std::string_view text);
inline bool is_utf8(std::string_view text) {
  return utf8_error(text) == text.size();
}

/// Well-formed UTF-8 without control characters (C0, DEL, C1) and without U+2028, U+2029, U+FEFF:
/// what may be shown on a terminal as one line.
SING_API bool is_printable_utf8(std::string_view text);

/// `text` made fit for an error message: what is not printable becomes \xNN, and what is longer
/// than `limit` bytes is cut with "...".
SING_API std::string printable(std::string_view text, size_t limit = 80);

}  // namespace sing
