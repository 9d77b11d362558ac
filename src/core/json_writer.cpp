#include <array>
#include <charconv>
#include <cmath>

#include "sing/core/json.h"
#include "sing/core/utf8.h"

namespace sing {
namespace {

template <class T>
void append_number(std::string& out, T value) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  out.append(text.data(), end);
}

void append_double(std::string& out, double value, const JsonStyle& style) {
  if (!std::isfinite(value)) {
    out += style.nonfinite_as_null ? "null"
           : std::isnan(value)     ? "\"nan\""
           : value > 0             ? "\"inf\""
                                   : "\"-inf\"";
    return;
  }
  const size_t from = out.size();
  append_number(out, value);  // the shortest text that reads back the same
  if (out.find_first_of(".e", from) == std::string::npos) out += ".0";
}

void append_quoted(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  if (!is_utf8(text))
    throw DataError("text that is not UTF-8 cannot be written as JSON: '" + printable(text) + "'",
                    {}, {}, "E0314");
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out += {'\\', c};
    else if (c == '\n')
      out += "\\n";
    else if (byte < 0x20 || byte == 0x7f)
      out += {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
    else
      out += c;
  }
  out += '"';
}

class Writer {
 public:
  Writer(std::string& out, const JsonStyle& style) : out_(out), style_(style) {}

  void write(const JsonValue& value, int level) {
    if (value.is_null())
      out_ += "null";
    else if (value.is_boolean())
      out_ += value.as_boolean() ? "true" : "false";
    else if (value.is_string())
      append_quoted(out_, value.as_string());
    else if (value.is_array())
      write_all(value.as_array(), '[', ']', level,
                [&](const JsonValue& item) { write(item, level + 1); });
    else if (value.is_object())
      write_all(value.as_object(), '{', '}', level, [&](const JsonValue::Member& member) {
        append_quoted(out_, member.first);
        out_ += style_.indent > 0 ? ": " : ":";
        write(member.second, level + 1);
      });
    else if (!value.is_integer())
      append_double(out_, value.as_double(), style_);
    else if (value.is_signed())
      append_number(out_, value.as_integer());
    else
      append_number(out_, value.as_unsigned());
  }

 private:
  template <class Items, class F>
  void write_all(const Items& items, char open, char close, int level, F&& each) {
    out_ += open;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += ',';
      new_line(level + 1);
      each(items[i]);
    }
    if (!items.empty()) new_line(level);
    out_ += close;
  }
  void new_line(int level) {
    if (style_.indent > 0)
      out_ += '\n' + std::string(static_cast<size_t>(style_.indent * level), ' ');
  }

  std::string& out_;
  const JsonStyle& style_;
};

}  // namespace

std::string to_json(const JsonValue& value, const JsonStyle& style) {
  std::string out;
  Writer(out, style).write(value, 0);
  return out;
}

std::string json_quoted(std::string_view text) {
  std::string out;
  append_quoted(out, text);
  return out;
}

}  // namespace sing
