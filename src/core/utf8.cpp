#include "sing/core/utf8.h"

#include <cstdint>

namespace sing {
namespace {

struct Decoded {
  uint32_t code = 0;
  size_t length = 0;  // 0: not well formed
};

Decoded decode(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() - at < length) return {};
  uint32_t code = lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = (code << 6) | (byte(i) & 0x3fu);
  }
  const uint32_t smallest = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000;
  if (code < smallest || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
  return {code, length};
}

bool is_printable(uint32_t code) {
  return code >= 0x20 && !(code >= 0x7f && code < 0xa0) && code != 0x2028 && code != 0x2029 &&
         code != 0xfeff;
}

}  // namespace

size_t utf8_error(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Decoded d = decode(text, at);
    if (d.length == 0) return at;
    at += d.length;
  }
  return at;
}

bool is_printable_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Decoded d = decode(text, at);
    if (d.length == 0 || !is_printable(d.code)) return false;
    at += d.length;
  }
  return true;
}

std::string printable(std::string_view text, size_t limit) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string shown;
  for (size_t at = 0; at < text.size();) {
    if (shown.size() >= limit) return shown + "...";
    const Decoded d = decode(text, at);
    if (d.length != 0 && is_printable(d.code)) {
      shown.append(text.substr(at, d.length));
      at += d.length;
    } else {
      const auto byte = static_cast<uint8_t>(text[at++]);
      shown += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return shown;
}

}  // namespace sing
