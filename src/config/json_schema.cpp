#include <cmath>
#include <map>
#include <utility>

#include "sing/config/describe.h"
#include "sing/config/scalar.h"
#include "sing/core/json.h"

namespace sing::config {
namespace {

JsonValue strings(const std::vector<std::string>& words) {
  JsonValue list = JsonValue::array();
  for (const std::string& word : words) list.push_back(word);
  return list;
}

JsonValue object(std::initializer_list<JsonValue::Member> members) {
  return JsonValue::object({members.begin(), members.end()});
}

JsonValue pattern(std::string regex) {
  return object({{"type", "string"}, {"pattern", std::move(regex)}});
}

// A scalar as the JSON value an editor would show.
JsonValue json_default(const Type& type, const Value& value) {
  if (value.is_null()) return nullptr;
  if (value.is_list()) {
    JsonValue list = JsonValue::array();
    for (const Value& item : value.items)
      list.push_back(json_default(type.element ? *type.element : type, item));
    return list;
  }
  if (value.is_map()) {
    const Value* name = value.find("name");
    return type.kind == TypeKind::component && name ? JsonValue(name->text) : JsonValue::object();
  }
  if (type.kind == TypeKind::boolean) return value.text == "true";
  if (type.kind == TypeKind::integer)
    if (const auto number = parse_integer(value.text); number.value) return *number.value;
  if (type.kind == TypeKind::real)
    if (const auto number = parse_real(value.text); number.value) return *number.value;
  return value.text;
}

// Writes the schema of one reading: `partial` files may leave out names and required keys.
class SchemaWriter {
 public:
  SchemaWriter(bool partial, std::map<std::string, JsonValue>& definitions)
      : partial_(partial), definitions_(definitions) {}

  JsonValue structure(const StructSchema& schema, const Value& defaults) {
    JsonValue properties = JsonValue::object();
    JsonValue required = JsonValue::array();
    for (const Field& field : schema.fields) {
      const Value* standard = defaults.find(field.name);
      properties.set(field.name, this->field(field, standard));
      const bool chosen = field.type.kind == TypeKind::component && !field.type.nullable &&
                          standard && standard->is_null();
      if ((field.required || chosen) && !partial_) required.push_back(field.name);
    }
    JsonValue result =
        object({{"type", "object"}, {"properties", properties}, {"additionalProperties", false}});
    if (!required.as_array().empty()) result.set("required", required);
    return result;
  }

 private:
  JsonValue field(const Field& field, const Value* standard) {
    if (field.reserved)
      return object({{"description", field.help}, {"type", strings({"string", "array"})}});
    JsonValue result = type(field.type, standard);
    result.set("description", field.help);
    if (standard && !field.required && field.type.kind != TypeKind::structure)
      result.set("default", json_default(field.type, *standard));
    return result;
  }

  JsonValue type(const Type& type, const Value* standard) {
    JsonValue choices = JsonValue::array();
    plain(type, standard, choices);
    if (type.nullable) choices.push_back(object({{"type", "null"}}));
    if (!type.unset_word.empty()) choices.push_back(object({{"const", type.unset_word}}));
    const bool scalar = type.kind != TypeKind::list && type.kind != TypeKind::map &&
                        type.kind != TypeKind::structure && type.kind != TypeKind::any &&
                        type.kind != TypeKind::component;
    if (scalar) choices.push_back(pattern("\\$\\{.+\\}"));
    if (choices.as_array().size() == 1) return choices.as_array().front();
    return object({{"anyOf", choices}});
  }

  void plain(const Type& type, const Value* standard, JsonValue& choices) {
    switch (type.kind) {
      case TypeKind::boolean:
        choices.push_back(object({{"type", "boolean"}}));
        break;
      case TypeKind::integer:
        choices.push_back(number(type, "integer"));
        choices.push_back(pattern("^" + sign(type) +
                                  "([0-9][0-9_]*\\.?[0-9_]*|\\.[0-9_]+)([eE]\\+?[0-9]+)?"
                                  "(k|M|G|Ki|Mi|Gi)?$"));
        break;
      case TypeKind::real:
        choices.push_back(number(type, "number"));
        choices.push_back(pattern("^" + sign(type) +
                                  "([0-9][0-9_]*\\.?[0-9_]*|\\.[0-9_]+)([eE][-+]?[0-9]+)?" +
                                  (type.percent ? "%?" : "") + "$"));
        if (type.infinite) choices.push_back(pattern("^[-+]?inf$"));
        break;
      case TypeKind::text:
        if (type.choices.empty())
          choices.push_back(object({{"type", strings({"string", "number", "boolean"})}}));
        else
          choices.push_back(object({{"enum", strings(type.choices)}}));
        break;
      case TypeKind::choice:
        choices.push_back(object({{"enum", strings(type.choices)}}));
        break;
      case TypeKind::duration:
        choices.push_back(pattern(duration_pattern(type)));
        break;
      case TypeKind::list:
        choices.push_back(list(type));
        break;
      case TypeKind::map:
        choices.push_back(object(
            {{"type", "object"}, {"additionalProperties", this->type(*type.element, nullptr)}}));
        break;
      case TypeKind::structure: {
        const bool given = standard && standard->is_map();
        choices.push_back(
            structure(type.structure(), given ? *standard : type.structure().defaults()));
        break;
      }
      case TypeKind::component:
        component(type.components(), standard, choices);
        break;
      case TypeKind::any:
        choices.push_back(JsonValue::object());
        break;
    }
  }

  static std::string sign(const Type& type) { return type.low >= 0 ? "\\+?" : "[-+]?"; }

  static JsonValue number(const Type& type, const char* name) {
    JsonValue result = object({{"type", name}});
    if (std::isfinite(type.low))
      result.set(type.low_open ? "exclusiveMinimum" : "minimum", type.low);
    if (std::isfinite(type.high))
      result.set(type.high_open ? "exclusiveMaximum" : "maximum", type.high);
    return result;
  }

  static std::string duration_pattern(const Type& type) {
    static constexpr const char* kUnits[] = {
        "ep", "[kMG]?st", "(s|min|h)", "[kMG]?samples", "[kMG]?tokens", "%"};
    std::string units;
    for (size_t i = 0; i < std::size(kUnits); ++i) {
      bool allowed = type.units.empty();
      for (const Duration::Unit unit : type.units) allowed |= static_cast<size_t>(unit) == i;
      if (allowed) units += (units.empty() ? "" : "|") + std::string(kUnits[i]);
    }
    return "^" + sign(type) + "([0-9][0-9_]*\\.?[0-9_]*|\\.[0-9_]+)([eE][-+]?[0-9]+)?(" + units +
           ")$";
  }

  JsonValue list(const Type& type) {
    JsonValue result = object({{"type", "array"}, {"items", this->type(*type.element, nullptr)}});
    if (type.min_items > 0) result.set("minItems", type.min_items);
    if (type.max_items != std::numeric_limits<size_t>::max())
      result.set("maxItems", type.max_items);
    return result;
  }

  void component(const ComponentKindBase& kind, const Value* standard, JsonValue& choices) {
    const std::string id = (partial_ ? "partial " : "") + kind.kind();
    if (!definitions_.contains(id)) {
      definitions_.emplace(id, nullptr);  // a kind inside itself refers to it
      JsonValue named = JsonValue::array();
      named.push_back(object({{"enum", strings(kind.names())}}));
      JsonValue options = JsonValue::object();
      for (const std::string& name : kind.names()) {
        const ComponentEntry& entry = kind.get(name);
        JsonValue one = options_of(entry, true);
        for (const auto& [key, value] : one.at("properties").as_object()) options.set(key, true);
        named.push_back(std::move(one));
      }
      if (partial_) {  // the name stands in the file below
        options.set("name", false);
        named.push_back(
            object({{"type", "object"}, {"properties", options}, {"additionalProperties", false}}));
      }
      definitions_[id] = object({{"anyOf", named}});
    }
    choices.push_back(object({{"$ref", "#/$defs/" + reference(id)}}));
    const Value* name = standard ? standard->find("name") : nullptr;
    if (name && !partial_)
      if (const ComponentEntry* entry = kind.find(name->text))
        choices.push_back(options_of(*entry, false));
  }

  // The map of one component, with or without its name.
  JsonValue options_of(const ComponentEntry& entry, bool named) {
    JsonValue result =
        structure(entry.schema(), write_struct(entry.schema(), entry.defaults.get()));
    if (!named) return result;
    JsonValue properties = object({{"name", object({{"const", entry.name}})}});
    for (const auto& [key, value] : result.at("properties").as_object()) properties.set(key, value);
    result.set("properties", properties);
    JsonValue required = JsonValue::array();
    required.push_back("name");
    if (const JsonValue* more = result.find("required"))
      for (const JsonValue& key : more->as_array()) required.push_back(key);
    result.set("required", required);
    result.set("description", entry.help);
    return result;
  }

  static std::string reference(std::string id) {
    for (char& c : id)
      if (c == ' ') c = '_';
    return id;
  }

  bool partial_;
  std::map<std::string, JsonValue>& definitions_;
};

}  // namespace

std::string json_schema(const StructSchema& root, std::string_view title) {
  std::map<std::string, JsonValue> definitions;
  const Value defaults = root.defaults();
  JsonValue whole = SchemaWriter(false, definitions).structure(root, defaults);
  JsonValue partial = SchemaWriter(true, definitions).structure(root, defaults);
  JsonValue defs = JsonValue::object();
  for (auto& [id, definition] : definitions) {
    std::string name = id;
    for (char& c : name)
      if (c == ' ') c = '_';
    defs.set(name, std::move(definition));
  }
  defs.set("whole-file", std::move(whole));
  defs.set("file-with-extends", std::move(partial));
  const JsonValue schema = object({{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                                   {"title", title},
                                   {"if", object({{"required", strings({"extends"})}})},
                                   {"then", object({{"$ref", "#/$defs/file-with-extends"}})},
                                   {"else", object({{"$ref", "#/$defs/whole-file"}})},
                                   {"$defs", defs}});
  return to_json(schema, {2, false}) + "\n";
}

}  // namespace sing::config
