#include "sing/config/component.h"

#include <utility>

#include "config/hints.h"
#include "config/text.h"
#include "sing/core/suggest.h"

namespace sing::config {

ComponentKindBase::ComponentKindBase(std::string kind) : kind_(std::move(kind)) {}
ComponentKindBase::~ComponentKindBase() = default;

const ComponentEntry* ComponentKindBase::find(std::string_view name) const {
  const auto it = entries_.find(name);
  return it == entries_.end() ? nullptr : &it->second;
}

std::vector<std::string> ComponentKindBase::names() const {
  std::vector<std::string> result;
  for (const auto& [name, entry] : entries_) result.push_back(name);
  return result;
}

const ComponentEntry& ComponentKindBase::get(std::string_view name) const {
  if (const ComponentEntry* entry = find(name)) return *entry;
  const std::string near = nearest_name(name, names());
  throw ConfigError(
      "unknown " + kind_ + " '" + std::string(name) + "'", {},
      near.empty() ? "known: " + detail::comma_list(names()) : "did you mean '" + near + "'?",
      code::kUnknownComponent);
}

void ComponentKindBase::add_entry(ComponentEntry entry) {
  const std::string name = entry.name;
  if (!entries_.emplace(name, std::move(entry)).second)
    throw InternalError("two components of kind " + kind_ + " are registered as '" + name + "'");
}

const void* ComponentBase::options(const ComponentKindBase& kind) const {
  return options_ ? options_.get() : kind.get(name_).defaults.get();
}

namespace {

// The name of a component written as a map. A misspelt 'name' is reported by the reading of the
// other keys; here it only tells which keys those are.
struct NameKey {
  const Value* value = nullptr;  // of the key 'name'
  std::string name;              // what it says, or what a misspelt 'name' says
};

NameKey find_name(const Value& map, const ComponentKindBase& kind) {
  NameKey result;
  result.value = map.find("name");
  if (result.value && result.value->is_scalar()) result.name = result.value->text;
  if (result.value) return result;
  for (const Value::Entry& entry : map.entries)
    if (entry.value.is_scalar() && kind.find(entry.value.text) &&
        !nearest_name(entry.key, std::vector<std::string>{"name", "type", "kind"}).empty())
      result.name = entry.value.text;
  return result;
}

void report_unknown_name(const ComponentKindBase& kind, const std::string& name, const Value& at,
                         Reader& reader) {
  const std::vector<std::string> names = kind.names();
  const std::string near = nearest_name(name, names);
  reader.problems().add({code::kUnknownComponent,
                         "unknown " + kind.kind() + " '" + detail::shorten(name) + "'", at.origin,
                         near.empty() ? "" : "did you mean '" + near + "'?",
                         "names of " + kind.kind() + ": " + detail::comma_list(names)});
}

}  // namespace

void read_component(const Type& type, const Value& value, ComponentBase& out, Reader& reader) {
  const ComponentKindBase& kind = type.components();
  if (value.is_list() || value.is_null()) {
    reader.error(
        value.is_null() ? code::kNotSet : code::kWrongType,
        reader.subject() + " must be " + type_text(type) + "; got " + describe_value(value), value);
    return;
  }
  NameKey key;
  if (value.is_scalar()) {
    key.value = &value;
    key.name = value.text;
  } else {
    key = find_name(value, kind);
    if (key.value && !key.value->is_scalar()) {
      reader.error(code::kWrongType,
                   detail::join(reader.path(), "name") + " must be a name; got " +
                       describe_value(*key.value),
                   *key.value);
      return;
    }
    if (key.name.empty()) key.name = out.name();  // options of the default component
  }
  if (key.name.empty() && value.is_map() && !key.value) {
    const std::vector<std::string> names = kind.names();
    reader.problems().add({code::kUnnamedComponent,
                           reader.subject() + " needs a name: which " + kind.kind() + " is meant?",
                           reader.key_origin ? *reader.key_origin : value.origin,
                           "write {name: ..., options}",
                           "names of " + kind.kind() + ": " + detail::comma_list(names)});
    return;
  }
  const ComponentEntry* entry = kind.find(key.name);
  if (!entry) {
    report_unknown_name(kind, key.name, key.value ? *key.value : value, reader);
    return;
  }
  // The same name as the default's keeps the default's options, as merging does.
  const void* base =
      out.name() == entry->name && !out.empty() ? out.options(kind) : entry->defaults.get();
  std::shared_ptr<void> options = entry->copy(base);
  if (value.is_map()) {
    read_struct(entry->schema(), value, options.get(), reader, entry->name, "name");
  } else {
    Value empty = Value::map(value.origin);
    read_struct(entry->schema(), empty, options.get(), reader, entry->name, "name");
  }
  out = ComponentBase(entry->name, std::move(options));
}

Value write_component(const Type& type, const ComponentBase& in) {
  if (in.empty()) return Value::none();
  const ComponentKindBase& kind = type.components();
  const ComponentEntry& entry = kind.get(in.name());
  Value map = Value::map();
  map.entries.push_back({"name", {}, Value::scalar(in.name())});
  Value options = write_struct(entry.schema(), in.options(kind));
  for (Value::Entry& option : options.entries) map.entries.push_back(std::move(option));
  return map;
}

}  // namespace sing::config
