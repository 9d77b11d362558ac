#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sing/config/origin.h"

namespace sing::config {

/// One node of a config before it is typed. Scalars stay text: what `no`, `010` or `1e3` means is
/// the schema's decision. Every node and every key remembers where it was written.
struct SING_API Value {
  enum class Kind : uint8_t { null, scalar, list, map };
  struct Entry;

  Kind kind = Kind::null;
  bool quoted = false;         ///< a scalar written in quotes or as a block
  std::string text;            ///< of a scalar; of a null: "null", or "" when nothing was written
  std::vector<Value> items;    ///< of a list
  std::vector<Entry> entries;  ///< of a map, in the order written; keys are unique
  Origin origin;

  static Value scalar(std::string text, Origin origin = {}, bool quoted = false);
  static Value list(Origin origin = {});
  static Value map(Origin origin = {});
  static Value none(Origin origin = {});  ///< an explicit null

  bool is_null() const { return kind == Kind::null; }
  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_list() const { return kind == Kind::list; }
  bool is_map() const { return kind == Kind::map; }

  /// Of a map; nullptr when the key is absent or this is no map.
  const Value* find(std::string_view key) const;
  Value* find(std::string_view key);
  const Entry* find_entry(std::string_view key) const;

  /// Sets or replaces a key of a map; returns the value in place.
  Value& set(std::string key, Value value, Origin key_origin = {});
  /// True when the key was there.
  bool erase(std::string_view key);

  /// Follows "a.b.0.c" through maps and lists; nullptr when it leads nowhere. A bare word X is seen
  /// as the map {name: X}.
  const Value* find_path(std::string_view path) const;
};

struct Value::Entry {
  std::string key;
  Origin origin;
  Value value;
};

/// Same kinds, texts, keys (in any order) and items; origins and quoting do not matter.
SING_API bool same_value(const Value& a, const Value& b);

/// "nothing", "null", "'abc'", "a list", "a map": for "got ..." in messages; long text is cut.
SING_API std::string describe_value(const Value& value);

}  // namespace sing::config
