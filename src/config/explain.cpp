#include <algorithm>

#include "config/text.h"
#include "sing/config/describe.h"
#include "sing/config/print.h"
#include "sing/core/suggest.h"

namespace sing::config {
namespace {

// "optimizer.transforms[]{sing}.eps" as people write it: without brackets and item numbers.
std::string bare_path(std::string_view path) {
  std::string result;
  bool name = false;
  for (const char c : path) {
    if (c == '{') name = true;
    if (!name && c != '[' && c != ']') result += c;
    if (c == '}') name = false;
  }
  return result;
}

std::string without_indexes(std::string_view path) {
  std::string result;
  while (!path.empty()) {
    const size_t dot = std::min(path.find('.'), path.size());
    const std::string_view step = path.substr(0, dot);
    path.remove_prefix(std::min(dot + 1, path.size()));
    if (step.find_first_not_of("0123456789") != std::string_view::npos)
      result = detail::join(result, step);
  }
  return result;
}

bool ends_with_path(const std::string& path, const std::string& end) {
  if (path == end) return true;
  return !end.empty() && path.size() > end.size() && path.ends_with(end) &&
         path[path.size() - end.size() - 1] == '.';
}

std::string default_text(const KeyInfo& key) {
  if (key.field->reserved) return {};
  if (key.field->required) return "; required";
  if (!key.field->default_note.empty()) return "; default: " + key.field->default_note;
  if (key.field->type.kind == TypeKind::component && key.standard.is_null() &&
      !key.field->type.nullable)
    return "; required";
  const Value* name =
      key.field->type.kind == TypeKind::component ? key.standard.find("name") : nullptr;
  return "; default " + (name                       ? name->text
                         : key.standard.is_scalar() ? key.standard.text
                                                    : to_yaml_line(key.standard));
}

std::string explain_key(const KeyInfo& key) {
  std::string text = bare_path(key.path);
  if (!key.component.empty()) text += "  (" + key.component + ")";
  text += "\n  " + key.field->help + "\n";
  if (key.field->reserved) return text;
  const bool map = key.field->type.kind == TypeKind::structure;
  text += "  " + type_text(key.field->type);
  if (!key.field->unit.empty()) text += ", in " + key.field->unit;
  if (!map || key.field->required) text += default_text(key);
  text += "\n";
  if (map) text += "  keys: " + detail::comma_list(key.field->type.structure().keys()) + "\n";
  if (key.field->type.kind == TypeKind::component)
    text += "  names: " + detail::comma_list(key.field->type.components().names()) + "\n";
  return text;
}

std::string explain_component(const ComponentKindBase& kind, const ComponentEntry& entry) {
  std::string text = entry.name + "  (" + kind.kind() + ")\n  " + entry.help + "\n";
  const Value defaults = write_struct(entry.schema(), entry.defaults.get());
  for (const Field& field : entry.schema().fields) {
    const Value* standard = defaults.find(field.name);
    const KeyInfo key{field.name, &field, {}, standard ? *standard : Value{}};
    text += "  " + field.name + ": " + type_text(field.type) + default_text(key) + "\n      " +
            field.help + "\n";
  }
  return text;
}

std::string explain_kind(const ComponentKindBase& kind) {
  std::string text = kind.kind() + ": one of\n";
  for (const std::string& name : kind.names())
    text += "  " + name + "  " + kind.get(name).help + "\n";
  return text;
}

}  // namespace

std::string explain(const StructSchema& root, std::string_view what) {
  for (const ErrorCode& error : error_codes())
    if (error.code == what) return error.code + "\n  " + error.meaning + "\n";
  std::string text;
  std::vector<std::string> words;
  for (const ComponentKindBase* kind : all_kinds(root)) {
    if (kind->kind() == what) text += explain_kind(*kind);
    if (const ComponentEntry* entry = kind->find(what)) text += explain_component(*kind, *entry);
    for (const std::string& name : kind->names()) words.push_back(name);
    words.push_back(kind->kind());
  }
  const std::string wanted = without_indexes(what);
  const std::vector<KeyInfo> keys = all_keys(root);
  // A whole path means that key only; the end of paths means all of them.
  const bool whole = std::any_of(keys.begin(), keys.end(),
                                 [&](const KeyInfo& key) { return bare_path(key.path) == wanted; });
  for (const KeyInfo& key : keys) {
    const std::string path = bare_path(key.path);
    if (whole ? path == wanted : ends_with_path(path, wanted)) text += explain_key(key);
    words.push_back(key.field->name);
    words.push_back(path);
  }
  if (!text.empty()) return text;
  const std::string near = nearest_name(what, words);
  throw ConfigError("nothing is called '" + detail::shorten(what) + "'", {},
                    near.empty() ? "it may be a key, a component, a kind or an error code"
                                 : "did you mean '" + near + "'?");
}

}  // namespace sing::config
