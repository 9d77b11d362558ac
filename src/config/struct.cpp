#include <algorithm>

#include "config/hints.h"
#include "config/text.h"
#include "sing/config/type.h"
#include "sing/core/error.h"

namespace sing::config {

const Field* StructSchema::find(std::string_view name) const {
  for (const Field& field : fields)
    if (field.name == name) return &field;
  return nullptr;
}

std::vector<std::string> StructSchema::keys() const {
  std::vector<std::string> result;
  for (const Field& field : fields) result.push_back(field.name);
  std::sort(result.begin(), result.end());
  return result;
}

namespace {

std::string keys_of(const StructSchema& schema, const std::string& label,
                    std::string_view also_known) {
  std::vector<std::string> keys = schema.keys();
  if (!also_known.empty())
    keys.insert(std::lower_bound(keys.begin(), keys.end(), also_known), std::string(also_known));
  return "keys of " + label + ": " + detail::comma_list(keys);
}

void* member(void* object, const Field& field) {
  return static_cast<char*>(object) + field.offset;
}
const void* member(const void* object, const Field& field) {
  return static_cast<const char*>(object) + field.offset;
}

// A component without a default name must be chosen.
bool is_required(const Field& field, const void* object) {
  if (field.required || field.reserved) return field.required;
  return field.type.kind == TypeKind::component && !field.type.nullable &&
         field.type.write(field.type, member(object, field)).is_null();
}

}  // namespace

void Checker::fail(std::string_view key, std::string what, std::string hint,
                   const char* error_code) {
  report(error_code, key, std::move(what), std::move(hint));
}

void Checker::warn(const char* warning_code, std::string_view key, std::string what,
                   std::string hint) {
  report(warning_code, key, std::move(what), std::move(hint));
}

void Checker::report(const char* report_code, std::string_view key, std::string what,
                     std::string hint) {
  const std::string subject = key.empty() ? reader_.subject() : detail::join(reader_.path(), key);
  const Value::Entry* entry = value_.find_entry(key);
  Origin at = value_.origin;
  if (entry)
    at = entry->value.origin.line > 0 ? entry->value.origin : entry->origin;
  else if (at.line == 0 && reader_.key_origin)
    at = *reader_.key_origin;
  reader_.problems().add({report_code, subject + ": " + what, at, std::move(hint), {}});
}

bool Checker::given(std::string_view key) const {
  return value_.find(key) != nullptr;
}

void read_struct(const StructSchema& schema, const Value& value, void* out, Reader& reader,
                 const std::string& label, std::string_view also_known) {
  Problems& problems = reader.problems();
  if (!value.is_map()) {
    reader.error(value.is_null() ? code::kNotSet : code::kWrongType,
                 reader.subject() + " must be a map; got " + describe_value(value), value);
    return;
  }
  const size_t errors_before = problems.error_count();
  const Origin* outer_key = reader.key_origin;
  std::vector<std::string> meant;  // keys that a misspelt key stands for: not missing as well
  for (const Value::Entry& entry : value.entries) {
    if (!also_known.empty() && entry.key == also_known) continue;
    const Field* field = schema.find(entry.key);
    if (field && field->reserved) continue;
    if (field) {
      reader.read_child(entry.key, entry.origin, field->type, entry.value, member(out, *field));
      continue;
    }
    if (problems.full()) {  // no more suggestions for a hostile file
      problems.error(code::kUnknownKey, {}, entry.origin);
      continue;
    }
    detail::KeyHint hint = detail::hint_for_key(entry.key, schema, value, also_known);
    if (!hint.key.empty()) meant.push_back(hint.key);
    problems.add({code::kUnknownKey, "unknown key '" + detail::shorten(entry.key) + "'",
                  entry.origin, std::move(hint.hint), keys_of(schema, label, also_known)});
  }
  // Without the files it was to extend, a config lacks keys for that reason alone.
  const bool rootless = std::any_of(meant.begin(), meant.end(), [&](const std::string& key) {
    const Field* field = schema.find(key);
    return field && field->reserved;
  });
  for (const Field& field : schema.fields) {
    if (rootless || !is_required(field, out) || value.find(field.name)) continue;
    if (std::find(meant.begin(), meant.end(), field.name) != meant.end()) continue;
    Diagnostic missing{code::kMissingKey,
                       "missing key '" + field.name + "' of " + label + ": " + field.help,
                       value.origin,
                       "write " + field.name + ": " + type_text(field.type),
                       {}};
    if (outer_key && (value.origin.line == 0 || outer_key->line > 0)) missing.origin = *outer_key;
    problems.add(std::move(missing));
  }
  if (problems.error_count() != errors_before) return;  // half-read values would mislead the checks
  for (const Field& field : schema.fields) {
    if (!field.derive || value.find(field.name)) continue;
    if (std::string reason = field.derive(out); !reason.empty())
      reader.derived.emplace_back(detail::join(reader.path(), field.name), std::move(reason));
  }
  Checker checker(value, reader);
  for (const auto& check : schema.checks) check(out, checker);
}

Value write_struct(const StructSchema& schema, const void* in) {
  Value map = Value::map();
  for (const Field& field : schema.fields) {
    if (field.reserved) continue;
    map.entries.push_back({field.name, {}, field.type.write(field.type, member(in, field))});
  }
  return map;
}

void detail::read_structure(const Type& type, const Value& value, void* out, Reader& reader) {
  read_struct(type.structure(), value, out, reader, reader.subject());
}

}  // namespace sing::config
