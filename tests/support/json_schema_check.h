#pragma once
#include <algorithm>
#include <cmath>
#include <regex>
#include <string>

#include "sing/config/value.h"
#include "sing/core/json.h"

namespace sing::testing {

/// A config value as an editor sees it: plain words typed by the YAML 1.2 core schema.
inline JsonValue as_editor_json(const config::Value& value) {
  if (value.is_null()) return nullptr;
  if (value.is_list()) {
    JsonValue list = JsonValue::array();
    for (const auto& item : value.items) list.push_back(as_editor_json(item));
    return list;
  }
  if (value.is_map()) {
    JsonValue map = JsonValue::object();
    for (const auto& entry : value.entries) map.set(entry.key, as_editor_json(entry.value));
    return map;
  }
  if (value.quoted) return value.text;
  if (value.text == "true" || value.text == "false") return value.text == "true";
  static const std::regex integer("[-+]?[0-9]+");
  static const std::regex real("[-+]?(\\.[0-9]+|[0-9]+(\\.[0-9]*)?)([eE][-+]?[0-9]+)?");
  if (value.text.size() < 18 && std::regex_match(value.text, integer))
    return std::stoll(value.text);
  if (std::regex_match(value.text, real)) return std::stod(value.text);
  return value.text;
}

/// Whether `value` fits `schema`, for the part of JSON Schema 2020-12 that SING writes.
inline bool fits_schema(const JsonValue& schema, const JsonValue& value, const JsonValue& root) {
  if (schema.is_boolean()) return schema.as_boolean();
  const auto has = [&](const char* key) { return schema.find(key); };
  const auto type_fits = [&](const std::string& type) {
    if (type == "null") return value.is_null();
    if (type == "boolean") return value.is_boolean();
    if (type == "string") return value.is_string();
    if (type == "array") return value.is_array();
    if (type == "object") return value.is_object();
    if (type == "number") return value.is_number();
    return type == "integer" && value.is_number() &&
           value.as_double() == std::floor(value.as_double());
  };
  if (const auto* ref = has("$ref"))
    if (!fits_schema(root.at("$defs").at(ref->as_string().substr(8)), value, root)) return false;
  if (const auto* condition = has("if")) {
    const auto* branch = has(fits_schema(*condition, value, root) ? "then" : "else");
    if (branch && !fits_schema(*branch, value, root)) return false;
  }
  if (const auto* any = has("anyOf")) {
    const auto& all = any->as_array();
    if (std::none_of(all.begin(), all.end(),
                     [&](const JsonValue& one) { return fits_schema(one, value, root); }))
      return false;
  }
  if (const auto* type = has("type")) {
    if (type->is_string() && !type_fits(type->as_string())) return false;
    if (type->is_array()) {
      const auto& all = type->as_array();
      if (std::none_of(all.begin(), all.end(),
                       [&](const JsonValue& one) { return type_fits(one.as_string()); }))
        return false;
    }
  }
  if (const auto* fixed = has("const"))
    if (!(*fixed == value)) return false;
  if (const auto* words = has("enum"))
    if (std::find(words->as_array().begin(), words->as_array().end(), value) ==
        words->as_array().end())
      return false;
  if (value.is_number()) {
    const double number = value.as_double();
    if (has("minimum") && number < has("minimum")->as_double()) return false;
    if (has("maximum") && number > has("maximum")->as_double()) return false;
    if (has("exclusiveMinimum") && number <= has("exclusiveMinimum")->as_double()) return false;
    if (has("exclusiveMaximum") && number >= has("exclusiveMaximum")->as_double()) return false;
  }
  if (value.is_string() && has("pattern") &&
      !std::regex_search(value.as_string(), std::regex(has("pattern")->as_string())))
    return false;
  if (value.is_array()) {
    const auto size = static_cast<int64_t>(value.as_array().size());
    if (has("minItems") && size < has("minItems")->as_integer()) return false;
    if (has("maxItems") && size > has("maxItems")->as_integer()) return false;
    if (const auto* items = has("items"))
      for (const JsonValue& item : value.as_array())
        if (!fits_schema(*items, item, root)) return false;
  }
  if (value.is_object()) {
    if (const auto* required = has("required"))
      for (const JsonValue& key : required->as_array())
        if (!value.find(key.as_string())) return false;
    const auto* properties = has("properties");
    const auto* others = has("additionalProperties");
    for (const auto& [key, member] : value.as_object()) {
      const JsonValue* known = properties ? properties->find(key) : nullptr;
      if (known ? !fits_schema(*known, member, root)
                : others && !fits_schema(*others, member, root))
        return false;
    }
  }
  return true;
}

}  // namespace sing::testing
