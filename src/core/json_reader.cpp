// The one place that sees the JSON library, and of it only the event interface: its own value type
// copies and prints by recursion.
#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>

#include "sing/core/json.h"
#include "sing/core/utf8.h"

namespace sing {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_scalar_byte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' ||
         c == 'E';
}

// Length of the string that starts with the quote at `from`, quotes included; 0 when it never ends.
size_t string_length(std::string_view text, size_t from) {
  for (size_t i = from + 1; i < text.size(); ++i) {
    if (text[i] == '\\')
      ++i;
    else if (text[i] == '"')
      return i + 1 - from;
  }
  return 0;
}

// Applies the limits without allocating. Also refuses every byte that cannot start a token: the
// library would take a NUL for the end of the text and skip a byte order mark.
std::optional<Fault> scan(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.text_bytes) return Fault{"the JSON text is too long", text.size()};
  int depth = 0;
  size_t tokens = 0;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (is_space(c) || c == ',' || c == ':') {
      ++i;
      continue;
    }
    if (++tokens > limits.tokens) return Fault{"too many JSON tokens", i};
    if (c == '"') {
      const size_t length = string_length(text, i);
      if (length == 0) return Fault{"a JSON string never ends", i};
      if (length - 2 > limits.string_bytes) return Fault{"a JSON string is too long", i};
      i += length;
    } else if (c == '{' || c == '[') {
      if (++depth > limits.depth) return Fault{"JSON is nested too deeply", i};
      ++i;
    } else if (c == '}' || c == ']') {
      --depth;
      ++i;
    } else if (is_scalar_byte(c)) {
      const size_t from = i;
      while (i < text.size() && is_scalar_byte(text[i])) ++i;
      if (i - from > limits.number_bytes) return Fault{"a JSON number is too long", from};
    } else {
      return Fault{"a byte that JSON does not allow here: '" + printable(text.substr(i, 1)) + "'",
                   i};
    }
  }
  return std::nullopt;
}

// Lets us know how far the library has read.
struct CountingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at = nullptr;
  size_t* count = nullptr;

  reference operator*() const { return *at; }
  CountingIterator& operator++() {
    ++at;
    ++*count;
    return *this;
  }
  friend bool operator==(const CountingIterator& a, const CountingIterator& b) {
    return a.at == b.at;
  }
};

struct Adapter : nlohmann::json_sax<nlohmann::json> {
  explicit Adapter(JsonEvents& receiver) : events(receiver) {}

  bool null() override { return check(events.on_null()); }
  bool boolean(bool v) override { return check(events.on_boolean(v)); }
  bool number_integer(number_integer_t v) override { return check(events.on_integer(v)); }
  bool number_unsigned(number_unsigned_t v) override { return check(events.on_unsigned(v)); }
  bool number_float(number_float_t v, const string_t& text) override {
    // The library turns integers that do not fit into doubles; silently losing digits is not ours.
    if (text.find_first_of(".eE") == std::string::npos)
      return refuse("the integer " + printable(text) + " does not fit 64 bits");
    return check(events.on_number(v));
  }
  bool string(string_t& v) override { return check(events.on_string(v)); }
  bool binary(binary_t&) override { return refuse("binary value"); }
  bool start_object(std::size_t) override { return check(events.on_start_object()); }
  bool key(string_t& v) override { return check(events.on_key(v)); }
  bool end_object() override { return check(events.on_end_object()); }
  bool start_array(std::size_t) override { return check(events.on_start_array()); }
  bool end_array() override { return check(events.on_end_array()); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& e) override {
    // "[json.exception...] parse error at line 1, column 2: syntax error while parsing value -
    // invalid literal; last read: '...'": the middle says it, the rest may quote the whole file.
    std::string_view text = e.what();
    for (const std::string_view lead : {"while parsing ", ": ", "] "}) {
      if (const size_t at = text.find(lead); at != std::string_view::npos) {
        text.remove_prefix(at + lead.size());
        break;
      }
    }
    return refuse("not valid JSON: " + printable(text.substr(0, text.find("; last read")), 120));
  }

  bool check(bool accepted) { return accepted || refuse(events.refusal()); }
  bool refuse(std::string what) {
    reason = std::move(what);
    return false;
  }

  JsonEvents& events;
  std::string reason;
};

}  // namespace

JsonEvents::~JsonEvents() = default;

Result<size_t> read_json_events(std::string_view text, JsonEvents& events,
                                const JsonLimits& limits) {
  if (auto fault = scan(text, limits)) return *std::move(fault);
  size_t count = 0;
  Adapter adapter(events);
  const bool accepted =
      nlohmann::json::sax_parse(CountingIterator{text.data(), &count},
                                CountingIterator{text.data() + text.size(), nullptr}, &adapter);
  // The library has read one byte beyond what it refuses.
  if (!accepted) return Fault{adapter.reason, count == 0 ? 0 : count - 1};
  return text.size();
}

}  // namespace sing
