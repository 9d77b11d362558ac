#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "sing/core/export.h"
#include "sing/core/result.h"

namespace sing {

/// What a JSON text may ask of us. A scan that allocates nothing applies these before the parser
/// copies a byte.
struct JsonLimits {
  int depth = 32;                  ///< nested arrays and objects
  size_t string_bytes = 1u << 20;  ///< one string or key, as written
  size_t tokens = 50'000'000;      ///< values, keys, brackets
  size_t number_bytes = 128;       ///< one number, as written
  size_t text_bytes = size_t{1} << 32;
};

/// Receives a JSON text piece by piece. Returning false ends the reading with `refusal()` as the
/// reason. Duplicate keys are the receiver's business (JsonValue refuses them).
class SING_API JsonEvents {
 public:
  virtual ~JsonEvents();
  virtual bool on_null() = 0;
  virtual bool on_boolean(bool value) = 0;
  virtual bool on_integer(int64_t value) = 0;    ///< only with a minus sign
  virtual bool on_unsigned(uint64_t value) = 0;  ///< no sign, no fraction, no exponent
  virtual bool on_number(double value) = 0;      ///< with a fraction or an exponent
  virtual bool on_string(std::string_view value) = 0;
  virtual bool on_key(std::string_view value) = 0;
  virtual bool on_start_object() = 0;
  virtual bool on_end_object() = 0;
  virtual bool on_start_array() = 0;
  virtual bool on_end_array() = 0;
  virtual std::string refusal() const = 0;
};

/// Reads one JSON text (RFC 8259, strict UTF-8, nothing but white space after the value) under
/// `limits`. Integers that do not fit 64 bits and numbers beyond a double are refused. Returns the
/// number of bytes read, or the fault with its byte position. Throws only what `events` throws.
SING_API Result<size_t> read_json_events(std::string_view text, JsonEvents& events,
                                         const JsonLimits& limits = {});

/// One JSON value. Objects keep the order in which members were set. Integers are exact over all of
/// int64 and uint64; a double that is not finite is written as the string "nan", "inf" or "-inf",
/// which as_double() understands, so that a state with such numbers reads back unchanged.
class SING_API JsonValue {
 public:
  using Array = std::vector<JsonValue>;
  using Member = std::pair<std::string, JsonValue>;
  using Object = std::vector<Member>;

  JsonValue();  ///< null
  JsonValue(const JsonValue& other);
  JsonValue(JsonValue&& other) noexcept;
  JsonValue& operator=(const JsonValue& other);
  JsonValue& operator=(JsonValue&& other) noexcept;
  ~JsonValue();
  JsonValue(std::nullptr_t) {}                // NOLINT: all implicit, so that
  JsonValue(bool value) : content_(value) {}  // NOLINT: values read as text
  template <std::integral T>
  requires(!std::same_as<T, bool>) JsonValue(T value) {  // NOLINT
    if (std::in_range<int64_t>(value))
      content_ = static_cast<int64_t>(value);
    else
      content_ = static_cast<uint64_t>(value);
  }
  JsonValue(double value) : content_(value) {}                         // NOLINT
  JsonValue(std::string value) : content_(std::move(value)) {}         // NOLINT
  JsonValue(std::string_view value) : content_(std::string(value)) {}  // NOLINT
  JsonValue(const char* value) : content_(std::string(value)) {}       // NOLINT
  static JsonValue array(Array items = {});
  static JsonValue object(Object members = {});

  bool is_null() const { return content_.index() == 0; }
  bool is_boolean() const { return content_.index() == 1; }
  bool is_integer() const { return content_.index() == 2 || content_.index() == 3; }
  bool is_signed() const { return content_.index() == 2; }  ///< an integer that fits int64
  bool is_number() const { return is_integer() || content_.index() == 4; }
  bool is_string() const { return content_.index() == 5; }
  bool is_array() const { return content_.index() == 6; }
  bool is_object() const { return content_.index() == 7; }

  // The value as a type; DataError E0313 "wanted an integer, got a string" when it is another one.
  bool as_boolean() const;
  int64_t as_integer() const;
  uint64_t as_unsigned() const;
  double as_double() const;  ///< integers too, and "nan", "inf", "-inf"
  const std::string& as_string() const;
  const Array& as_array() const;
  const Object& as_object() const;

  /// The member `key` of an object, or null when there is none or this is no object.
  const JsonValue* find(std::string_view key) const;
  /// The member `key`. DataError E0313 that names the key when it is missing.
  const JsonValue& at(std::string_view key) const;
  /// Adds or replaces a member (a null value becomes an object first).
  JsonValue& set(std::string_view key, JsonValue value);
  /// Appends to an array (a null value becomes an array first).
  JsonValue& push_back(JsonValue value);

  friend bool operator==(const JsonValue& a, const JsonValue& b) = default;

 private:
  std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string, Array, Object>
      content_;
};

/// Reads one value; duplicate keys are refused.
SING_API Result<JsonValue> read_json(std::string_view text, const JsonLimits& limits = {});
/// The same, throwing DataError E0310 with `name` and the byte position.
SING_API JsonValue parse_json(std::string_view text, const std::string& name,
                              const JsonLimits& limits = {});

struct JsonStyle {
  int indent = 0;                  ///< 0: one line, no spaces
  bool nonfinite_as_null = false;  ///< for readers that know no "nan" (metrics)
};
/// Members in the order they were set, doubles as the shortest text that reads back the same
/// (always with a point or an exponent). Text that is not UTF-8 is a DataError E0314.
SING_API std::string to_json(const JsonValue& value, const JsonStyle& style = {});
/// `text` in quotes, escaped.
SING_API std::string json_quoted(std::string_view text);

}  // namespace sing
