#include <limits>

#include "sing/core/json.h"
#include "sing/core/utf8.h"

namespace sing {
namespace {

constexpr const char* kKinds[] = {"null",     "a boolean", "an integer", "an integer",
                                  "a number", "a string",  "an array",   "an object"};

[[noreturn]] void wanted(const char* what, size_t index) {
  throw DataError(std::string("JSON: wanted ") + what + ", got " + kKinds[index], {}, {}, "E0313");
}

}  // namespace

// Out of line: inlined into callers, the variant's moves make g++ 12 warn of memory it thinks
// unset.
JsonValue::JsonValue() = default;
JsonValue::JsonValue(const JsonValue& other) = default;
JsonValue::JsonValue(JsonValue&& other) noexcept = default;
JsonValue& JsonValue::operator=(const JsonValue& other) = default;
JsonValue& JsonValue::operator=(JsonValue&& other) noexcept = default;
JsonValue::~JsonValue() = default;

JsonValue JsonValue::array(Array items) {
  JsonValue value;
  value.content_ = std::move(items);
  return value;
}

JsonValue JsonValue::object(Object members) {
  JsonValue value;
  value.content_ = std::move(members);
  return value;
}

bool JsonValue::as_boolean() const {
  if (const auto* v = std::get_if<bool>(&content_)) return *v;
  wanted("a boolean", content_.index());
}

int64_t JsonValue::as_integer() const {
  if (const auto* v = std::get_if<int64_t>(&content_)) return *v;
  wanted("an integer of 63 bits", content_.index());
}

uint64_t JsonValue::as_unsigned() const {
  if (const auto* v = std::get_if<uint64_t>(&content_)) return *v;
  if (const auto* v = std::get_if<int64_t>(&content_); v != nullptr && *v >= 0)
    return static_cast<uint64_t>(*v);
  wanted("an integer that is not negative", content_.index());
}

double JsonValue::as_double() const {
  if (const auto* v = std::get_if<double>(&content_)) return *v;
  if (const auto* v = std::get_if<int64_t>(&content_)) return static_cast<double>(*v);
  if (const auto* v = std::get_if<uint64_t>(&content_)) return static_cast<double>(*v);
  if (const auto* v = std::get_if<std::string>(&content_)) {
    if (*v == "nan") return std::numeric_limits<double>::quiet_NaN();
    if (*v == "inf") return std::numeric_limits<double>::infinity();
    if (*v == "-inf") return -std::numeric_limits<double>::infinity();
  }
  wanted("a number", content_.index());
}

const std::string& JsonValue::as_string() const {
  if (const auto* v = std::get_if<std::string>(&content_)) return *v;
  wanted("a string", content_.index());
}

const JsonValue::Array& JsonValue::as_array() const {
  if (const auto* v = std::get_if<Array>(&content_)) return *v;
  wanted("an array", content_.index());
}

const JsonValue::Object& JsonValue::as_object() const {
  if (const auto* v = std::get_if<Object>(&content_)) return *v;
  wanted("an object", content_.index());
}

const JsonValue* JsonValue::find(std::string_view key) const {
  if (const auto* members = std::get_if<Object>(&content_))
    for (const auto& [name, value] : *members)
      if (name == key) return &value;
  return nullptr;
}

const JsonValue& JsonValue::at(std::string_view key) const {
  if (const JsonValue* value = find(key)) return *value;
  throw DataError("JSON: the key '" + printable(key) + "' is missing", {}, {}, "E0313");
}

JsonValue& JsonValue::set(std::string_view key, JsonValue value) {
  if (is_null()) content_ = Object{};
  auto* members = std::get_if<Object>(&content_);
  if (members == nullptr) wanted("an object", content_.index());
  for (auto& [name, old] : *members) {
    if (name == key) {
      old = std::move(value);
      return *this;
    }
  }
  members->emplace_back(std::string(key), std::move(value));
  return *this;
}

JsonValue& JsonValue::push_back(JsonValue value) {
  if (is_null()) content_ = Array{};
  auto* items = std::get_if<Array>(&content_);
  if (items == nullptr) wanted("an array", content_.index());
  items->push_back(std::move(value));
  return *this;
}

}  // namespace sing
