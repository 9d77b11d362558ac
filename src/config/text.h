#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "sing/core/utf8.h"

// Small text helpers of this room.
namespace sing::config::detail {

/// Code points of valid UTF-8 (bytes that do not continue a character).
inline int count_characters(std::string_view text) {
  int count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

/// Fit for a message: printable, and cut with "..." past the limit.
inline std::string shorten(std::string_view text, size_t limit = 60) {
  return printable(text, limit);
}

inline std::string join(std::string_view path, std::string_view key) {
  return path.empty() ? std::string(key) : std::string(path) + "." + std::string(key);
}

template <class Words>
std::string comma_list(const Words& words) {
  std::string result;
  for (const auto& word : words) {
    if (!result.empty()) result += ", ";
    result += word;
  }
  return result;
}

}  // namespace sing::config::detail
