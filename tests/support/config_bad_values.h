#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "sing/config/describe.h"
#include "sing/config/scalar.h"

namespace sing::testing {

/// A config in one line that sets one key to one wrong value, with the code and column due.
struct BadValue {
  std::string text;
  std::string path;
  std::string value;
  std::string code;
  int column = 0;
};

namespace detail {

/// Maps and lists around `value` for a path of config::all_keys; the value's column in `column`.
inline std::string around(const std::string& path, const std::string& value, int& column) {
  std::string open, close;
  std::string word;
  const auto key = [&] {
    if (!word.empty()) open += word + ": ";
    word.clear();
  };
  open = "{";
  close = "}";
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '[') {  // a list of one item
      key();
      open += "[";
      close.insert(0, "]");
      ++i;
    } else if (path[i] == '{') {
      key();
      const size_t end = path.find('}', i);
      const std::string name = path.substr(i + 1, end - i - 1);
      open += name.empty() ? "{some_key: " : "{name: " + name + ", ";
      close.insert(0, "}");
      i = end;
      // A component's own key follows behind the dot; a free map's value may be a map or not.
      if (i + 1 < path.size() && path[i + 1] == '.' && !name.empty()) ++i;
    } else if (path[i] == '.') {
      key();
      open += "{";
      close.insert(0, "}");
    } else {
      word += path[i];
    }
  }
  key();
  column = static_cast<int>(open.size()) + 1;
  return open + value + close + "\n";
}

}  // namespace detail

/// For each key of a root: a value of another type, and values just outside its limits. Keys that
/// hold anything are left out. Items of lists and values of maps are tried through one item.
inline std::vector<BadValue> bad_values(const config::StructSchema& root) {
  using config::TypeKind;
  std::vector<BadValue> result;
  const auto add = [&](const std::string& path, const std::string& value, const char* code) {
    BadValue bad{{}, path, value, code, 0};
    bad.text = detail::around(path, value, bad.column);
    result.push_back(std::move(bad));
  };
  for (const config::KeyInfo& key : config::all_keys(root)) {
    if (key.field->reserved) continue;
    const config::Type* type = &key.field->type;
    std::string path = key.path;
    while (type->element && type->kind != TypeKind::any) {
      add(path, "wrong_word", config::code::kWrongType);
      if (type->min_items == type->max_items) break;  // one item is not enough for the others
      path += type->kind == TypeKind::list ? "[]" : "{}";
      type = type->element.get();
    }
    if (type->element || type->kind == TypeKind::any) continue;
    if (!type->nullable) add(path, "null", config::code::kNotSet);
    const bool words =
        type->kind == TypeKind::choice || (type->kind == TypeKind::text && !type->choices.empty());
    if (type->kind == TypeKind::component) {
      add(path, "no_such_name", config::code::kUnknownComponent);
    } else if (words) {
      add(path, "no_such_word", config::code::kUnknownWord);
    } else if (type->kind == TypeKind::text) {
      add(path, "[a, b]", config::code::kWrongType);
    } else {
      add(path, "wrong_word", config::code::kWrongType);
    }
    if (type->kind != TypeKind::integer && type->kind != TypeKind::real) continue;
    const auto spell = [&](double value) {
      return type->kind == TypeKind::integer ? std::to_string(static_cast<int64_t>(value))
                                             : config::format_real(value);
    };
    const double step = type->kind == TypeKind::integer ? 1 : 1e-3;
    if (std::isfinite(type->low))
      add(path, spell(type->low_open ? type->low : type->low - step), config::code::kOutOfRange);
    if (std::isfinite(type->high) && std::abs(type->high) < 1e15)
      add(path, spell(type->high_open ? type->high : type->high + step), config::code::kOutOfRange);
  }
  return result;
}

}  // namespace sing::testing
