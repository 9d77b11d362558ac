#include "sing/config/type.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "config/text.h"
#include "sing/config/component.h"
#include "sing/config/scalar.h"
#include "sing/core/suggest.h"

namespace sing::config {

std::string range_text(const Type& type) {
  const bool low = std::isfinite(type.low), high = std::isfinite(type.high);
  const auto limit = [&](double value) {
    return type.kind == TypeKind::integer && std::abs(value) < 1e15
               ? std::to_string(static_cast<int64_t>(value))
               : format_real(value);
  };
  if (low && high)
    return (type.low_open ? "in (" : "in [") + limit(type.low) + ", " + limit(type.high) +
           (type.high_open ? ")" : "]");
  if (low) return (type.low_open ? "> " : ">= ") + limit(type.low);
  if (high) return (type.high_open ? "< " : "<= ") + limit(type.high);
  return {};
}

namespace {

std::string unit_text(const std::vector<Duration::Unit>& units) {
  static constexpr const char* kExamples[] = {"10ep",      "500st",    "15min",
                                              "1Msamples", "1Mtokens", "5%"};
  if (units.empty()) return "10ep, 500st, 15min or 5%";
  std::vector<std::string> examples;
  for (const Duration::Unit unit : units) examples.push_back(kExamples[static_cast<size_t>(unit)]);
  return detail::comma_list(examples);
}

std::string plain_type_text(const Type& type) {
  switch (type.kind) {
    case TypeKind::boolean:
      return "true or false";
    case TypeKind::integer:
      return "a whole number";
    case TypeKind::real:
      return "a number";
    case TypeKind::text:
      return type.choices.empty() ? "text" : "one of: " + detail::comma_list(type.choices);
    case TypeKind::choice:
      return "one of: " + detail::comma_list(type.choices);
    case TypeKind::duration:
      return "a duration such as " + unit_text(type.units);
    case TypeKind::list: {
      const std::string of = type.element ? " of " + type_text(*type.element) : "";
      if (type.min_items == type.max_items)
        return "a list of " + std::to_string(type.min_items) +
               (type.element ? ", each " + type_text(*type.element) : "");
      return "a list" + (of.empty() ? "" : ", each item " + type_text(*type.element));
    }
    case TypeKind::map:
      return "a map" + (type.element ? ", each value " + type_text(*type.element) : std::string());
    case TypeKind::structure:
      return "a map";
    case TypeKind::component:
      return "a " + type.components().kind() + ": a name, or {name: ..., options}";
    case TypeKind::any:
      break;
  }
  return "anything";
}

}  // namespace

std::string type_text(const Type& type) {
  std::string text = plain_type_text(type);
  if (const std::string range = range_text(type); !range.empty()) text += " " + range;
  if (type.nullable) text += ", or " + (type.unset_word.empty() ? "null" : type.unset_word);
  return text;
}

void Reader::error(const char* error_code, std::string what, const Value& value, std::string hint) {
  const bool at_key = value.origin.line == 0 && key_origin != nullptr;
  problems_.error(error_code, std::move(what), at_key ? *key_origin : value.origin,
                  std::move(hint));
}

void Reader::read_child(std::string_view key, const Origin& at, const Type& type,
                        const Value& value, void* out) {
  const size_t length = path_.size();
  const Origin* outer = key_origin;
  path_ = detail::join(path_, key);
  if (at.line > 0) key_origin = &at;
  type.read(type, value, out, *this);
  path_.resize(length);
  key_origin = outer;
}

namespace detail {

Type& leaf(Type& type) {
  Type* at = &type;
  while (at->element) at = at->element.get();
  return *at;
}

namespace {

// The text of a scalar; reports anything else. Quoted words are as good as plain ones: the schema
// types them.
const std::string* scalar_text(const Type& type, const Value& value, Reader& reader) {
  if (value.is_scalar()) return &value.text;
  if (value.is_null()) {
    const bool empty = value.text.empty();
    reader.error(code::kNotSet,
                 reader.subject() + (empty ? " has no value" : " may not be null") +
                     "; it must be " + type_text(type),
                 value, empty ? "write a value, or leave the key out" : "");
    return nullptr;
  }
  reader.error(code::kWrongType,
               reader.subject() + " must be " + type_text(type) + "; got " + describe_value(value),
               value);
  return nullptr;
}

template <class T>
std::optional<T> accept(const Type& type, const Value& value, Parsed<T> parsed, Reader& reader) {
  if (!parsed.value)
    reader.error(parsed.out_of_range ? code::kOutOfRange : code::kWrongType,
                 reader.subject() + " must be " + type_text(type) + "; got " +
                     describe_value(value) + (parsed.out_of_range ? ", which is out of range" : ""),
                 value, parsed.hint);
  return parsed.value;
}

bool in_range(const Type& type, const Value& value, double number, Reader& reader) {
  const bool low = type.low_open ? number > type.low : number >= type.low;
  const bool high = type.high_open ? number < type.high : number <= type.high;
  if ((low && high) || (type.infinite && std::isinf(number))) return true;
  reader.error(code::kOutOfRange,
               reader.subject() + " must be " + range_text(type) + "; got " + shorten(value.text),
               value);
  return false;
}

template <class T>
void read_integer(const Type& type, const Value& value, void* out, Reader& reader) {
  const std::string* text = scalar_text(type, value, reader);
  if (!text) return;
  const auto store = [&](auto number) {
    if (!in_range(type, value, static_cast<double>(number), reader)) return;
    if (!std::in_range<T>(number)) {
      reader.error(code::kOutOfRange,
                   reader.subject() + " must be at most " +
                       std::to_string(std::numeric_limits<T>::max()) + "; got " + shorten(*text),
                   value);
      return;
    }
    *static_cast<T*>(out) = static_cast<T>(number);
  };
  if constexpr (std::is_signed_v<T>) {
    if (const auto number = accept(type, value, parse_integer(*text), reader)) store(*number);
  } else {
    if (const auto number = accept(type, value, parse_unsigned(*text), reader)) store(*number);
  }
}

template <class T>
Type integer() {
  Type type;
  type.kind = TypeKind::integer;
  if (!std::is_signed_v<T>) type.low = 0;
  type.read = &read_integer<T>;
  type.write = [](const Type&, const void* in) {
    return Value::scalar(std::to_string(*static_cast<const T*>(in)));
  };
  return type;
}

template <class T>
Type real() {
  Type type;
  type.kind = TypeKind::real;
  type.read = [](const Type& t, const Value& value, void* out, Reader& reader) {
    const std::string* text = scalar_text(t, value, reader);
    if (!text) return;
    const auto number = accept(t, value, parse_real(*text, t.percent, t.infinite), reader);
    if (number && in_range(t, value, *number, reader))
      *static_cast<T*>(out) = static_cast<T>(*number);
  };
  type.write = [](const Type&, const void* in) {
    return Value::scalar(format_real(static_cast<double>(*static_cast<const T*>(in))));
  };
  return type;
}

}  // namespace

Type boolean_type() {
  Type type;
  type.kind = TypeKind::boolean;
  type.read = [](const Type& t, const Value& value, void* out, Reader& reader) {
    const std::string* text = scalar_text(t, value, reader);
    if (!text) return;
    if (const auto flag = accept(t, value, parse_bool(*text), reader))
      *static_cast<bool*>(out) = *flag;
  };
  type.write = [](const Type&, const void* in) {
    return Value::scalar(*static_cast<const bool*>(in) ? "true" : "false");
  };
  return type;
}

Type real_type(bool single) {
  return single ? real<float>() : real<double>();
}

Type integer_type(size_t bytes, bool is_signed) {
  if (bytes == 1) return is_signed ? integer<int8_t>() : integer<uint8_t>();
  if (bytes == 2) return is_signed ? integer<int16_t>() : integer<uint16_t>();
  if (bytes == 4) return is_signed ? integer<int32_t>() : integer<uint32_t>();
  return is_signed ? integer<int64_t>() : integer<uint64_t>();
}

Type text_type() {
  Type type;
  type.kind = TypeKind::text;
  type.read = [](const Type& t, const Value& value, void* out, Reader& reader) {
    if (!t.choices.empty()) {
      if (const auto index = read_choice(t, value, reader))
        *static_cast<std::string*>(out) = t.choices[*index];
    } else if (const std::string* text = scalar_text(t, value, reader)) {
      *static_cast<std::string*>(out) = *text;
    }
  };
  type.write = [](const Type&, const void* in) {
    return Value::scalar(*static_cast<const std::string*>(in));
  };
  return type;
}

Type duration_type() {
  Type type;
  type.kind = TypeKind::duration;
  type.read = [](const Type& t, const Value& value, void* out, Reader& reader) {
    const std::string* text = scalar_text(t, value, reader);
    if (!text) return;
    const auto duration = accept(t, value, parse_duration(*text), reader);
    if (!duration || !in_range(t, value, duration->value, reader)) return;
    if (!t.units.empty() &&
        std::find(t.units.begin(), t.units.end(), duration->unit) == t.units.end()) {
      reader.error(code::kOutOfRange,
                   reader.subject() + " cannot be given in this unit; write " + unit_text(t.units) +
                       "; got " + shorten(*text),
                   value);
      return;
    }
    *static_cast<Duration*>(out) = *duration;
  };
  type.write = [](const Type&, const void* in) {
    return Value::scalar(to_string(*static_cast<const Duration*>(in)));
  };
  return type;
}

Type any_type() {
  Type type;
  type.kind = TypeKind::any;
  type.read = [](const Type&, const Value& value, void* out, Reader&) {
    *static_cast<Value*>(out) = value;
  };
  type.write = [](const Type&, const void* in) { return *static_cast<const Value*>(in); };
  return type;
}

std::optional<size_t> read_choice(const Type& type, const Value& value, Reader& reader) {
  const std::string* text = scalar_text(type, value, reader);
  if (!text) return std::nullopt;
  const auto found = std::find(type.choices.begin(), type.choices.end(), *text);
  if (found != type.choices.end()) return static_cast<size_t>(found - type.choices.begin());
  const std::string near = nearest_name(*text, type.choices);
  reader.error(code::kUnknownWord,
               reader.subject() + " must be " + type_text(type) + "; got " + describe_value(value),
               value, near.empty() ? "" : "did you mean '" + near + "'?");
  return std::nullopt;
}

bool is_unset(const Type& type, const Value& value) {
  if (value.is_null()) return !value.text.empty();
  return value.is_scalar() && !type.unset_word.empty() && value.text == type.unset_word;
}

Value write_unset(const Type& type) {
  return type.unset_word.empty() ? Value::none() : Value::scalar(type.unset_word);
}

bool check_list(const Type& type, const Value& value, Reader& reader) {
  if (!value.is_list()) {
    const bool null = value.is_null();
    reader.error(
        null ? code::kNotSet : code::kWrongType,
        reader.subject() + " must be " + type_text(type) + "; got " + describe_value(value), value,
        value.is_scalar() ? "write [" + shorten(value.text) + "]" : "");
    return false;
  }
  if (value.items.size() >= type.min_items && value.items.size() <= type.max_items) return true;
  // Only an exact length bounds a list from above.
  const std::string wanted = type.min_items == type.max_items ? "" : "at least ";
  reader.error(code::kOutOfRange,
               reader.subject() + " must have " + wanted + std::to_string(type.min_items) +
                   (type.min_items == 1 ? " item" : " items") + "; got " +
                   std::to_string(value.items.size()),
               value);
  return false;
}

bool check_map(const Type& type, const Value& value, Reader& reader) {
  if (value.is_map()) return true;
  reader.error(value.is_null() ? code::kNotSet : code::kWrongType,
               reader.subject() + " must be " + type_text(type) + "; got " + describe_value(value),
               value);
  return false;
}

}  // namespace detail
}  // namespace sing::config
