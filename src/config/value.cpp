#include "sing/config/value.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "config/text.h"

namespace sing::config {

std::string place(const Origin& origin) {
  if (!origin.source) return "default";
  if (origin.source->kind == Source::Kind::override_word)
    return "override '" + detail::shorten(origin.source->name) + "'";
  std::string text = origin.source->name;
  if (origin.line > 0) text += ":" + std::to_string(origin.line);
  if (origin.line > 0 && origin.column > 0) text += ":" + std::to_string(origin.column);
  return text;
}

std::string origin_comment(const Origin& origin) {
  std::string text = "default";
  if (origin.source) {
    const bool file = origin.source->kind == Source::Kind::file;
    text = file ? origin.source->name + ":" + std::to_string(origin.line) : "override";
    if (!origin.note.empty()) text += ",";
  }
  return origin.note.empty() ? text : text + " " + origin.note;
}

Value Value::scalar(std::string text, Origin origin, bool quoted) {
  Value value;
  value.kind = Kind::scalar;
  value.quoted = quoted;
  value.text = std::move(text);
  value.origin = std::move(origin);
  return value;
}

Value Value::list(Origin origin) {
  Value value;
  value.kind = Kind::list;
  value.origin = std::move(origin);
  return value;
}

Value Value::map(Origin origin) {
  Value value;
  value.kind = Kind::map;
  value.origin = std::move(origin);
  return value;
}

Value Value::none(Origin origin) {
  Value value;
  value.text = "null";
  value.origin = std::move(origin);
  return value;
}

const Value::Entry* Value::find_entry(std::string_view key) const {
  for (const Entry& entry : entries)
    if (entry.key == key) return &entry;
  return nullptr;
}

const Value* Value::find(std::string_view key) const {
  const Entry* entry = find_entry(key);
  return entry ? &entry->value : nullptr;
}

Value* Value::find(std::string_view key) {
  return const_cast<Value*>(static_cast<const Value*>(this)->find(key));
}

Value& Value::set(std::string key, Value value, Origin key_origin) {
  for (Entry& entry : entries) {
    if (entry.key != key) continue;
    entry.value = std::move(value);
    entry.origin = std::move(key_origin);
    return entry.value;
  }
  entries.push_back({std::move(key), std::move(key_origin), std::move(value)});
  return entries.back().value;
}

bool Value::erase(std::string_view key) {
  return std::erase_if(entries, [&](const Entry& entry) { return entry.key == key; }) > 0;
}

const Value* Value::find_path(std::string_view path) const {
  const Value* at = this;
  while (!path.empty()) {
    const size_t dot = std::min(path.find('.'), path.size());
    const std::string_view step = path.substr(0, dot);
    path.remove_prefix(std::min(dot + 1, path.size()));
    const Value* next = nullptr;
    if (at->is_map()) {
      next = at->find(step);
    } else if (at->is_list()) {
      size_t index = 0;
      const auto [end, error] = std::from_chars(step.data(), step.data() + step.size(), index);
      if (error == std::errc() && end == step.data() + step.size() && index < at->items.size())
        next = &at->items[index];
    } else if (at->is_scalar() && step == "name") {
      next = at;
    }
    if (!next) return nullptr;
    at = next;
  }
  return at;
}

bool same_value(const Value& a, const Value& b) {
  if (a.kind != b.kind) return false;
  if (a.is_scalar()) return a.text == b.text;
  if (a.is_list())
    return std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), same_value);
  if (!a.is_map()) return true;
  if (a.entries.size() != b.entries.size()) return false;
  std::map<std::string_view, const Value*> others;
  for (const Value::Entry& entry : b.entries) others.emplace(entry.key, &entry.value);
  return std::all_of(a.entries.begin(), a.entries.end(), [&](const Value::Entry& entry) {
    const auto other = others.find(entry.key);
    return other != others.end() && same_value(entry.value, *other->second);
  });
}

std::string describe_value(const Value& value) {
  switch (value.kind) {
    case Value::Kind::null:
      return value.text.empty() ? "nothing" : "null";
    case Value::Kind::scalar:
      return "'" + detail::shorten(value.text) + "'";
    case Value::Kind::list:
      return "a list";
    case Value::Kind::map:
      return "a map";
  }
  return {};
}

}  // namespace sing::config
