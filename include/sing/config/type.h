#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sing/config/diagnostic.h"
#include "sing/config/duration.h"
#include "sing/config/value.h"

// What a config key may hold, without C++ types: one description drives reading, printing, help,
// `sing explain`, JSON Schema and the bad-config tests. Filled by sing/config/schema.h.
namespace sing::config {

struct StructSchema;
class ComponentKindBase;
class Reader;
struct Type;

enum class TypeKind : uint8_t {
  boolean,
  integer,
  real,
  text,
  choice,     ///< one of `choices`
  duration,   ///< sing::config::Duration
  list,       ///< of `element`
  map,        ///< any keys, each holding `element`
  structure,  ///< the keys of `structure()`
  component,  ///< a bare word or {name: X, options...}; X is one of `components()`
  any,        ///< kept as a Value
};

using ReadFunction = void (*)(const Type&, const Value&, void* out, Reader&);
using WriteFunction = Value (*)(const Type&, const void* in);

struct Type {
  TypeKind kind = TypeKind::any;
  ReadFunction read = nullptr;
  WriteFunction write = nullptr;

  bool nullable = false;   ///< `null` means "not set"
  std::string unset_word;  ///< a word that means the same, such as "auto"; may be empty

  // Numbers and durations (in their unit).
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false, high_open = false;  ///< the limit itself is out
  bool percent = false;                      ///< `5%` is allowed
  bool infinite = false;                     ///< `inf` is allowed
  std::vector<Duration::Unit> units;         ///< of a duration; empty: all

  std::vector<std::string> choices;  ///< of a choice, and of a text limited to some words

  size_t min_items = 0, max_items = std::numeric_limits<size_t>::max();
  std::shared_ptr<Type> element;

  const StructSchema& (*structure)() = nullptr;
  const ComponentKindBase& (*components)() = nullptr;
};

/// Told by a cross-field check about what does not fit together.
class SING_API Checker {
 public:
  Checker(const Value& value, Reader& reader) : value_(value), reader_(reader) {}
  /// `key` is underlined when it was written, else the map; "" stands for the map as a whole.
  void fail(std::string_view key, std::string what, std::string hint = {},
            const char* error_code = code::kConflict);
  /// `warning_code` starts with W.
  void warn(const char* warning_code, std::string_view key, std::string what,
            std::string hint = {});
  /// Whether the key was written by the user (file, override), not left at its default.
  bool given(std::string_view key) const;

 private:
  void report(const char* report_code, std::string_view key, std::string what, std::string hint);
  const Value& value_;
  Reader& reader_;
};

struct Field {
  std::string name, help, unit;
  std::string default_note;  ///< how the default comes about when its value does not say it
  bool required = false;
  bool reserved = false;  ///< a known word the loader itself handles (`extends`): no member
  size_t offset = 0;      ///< of the member in its struct
  Type type;
  std::function<std::string(void* object)> derive;  ///< see FieldRef::derive
};

struct SING_API StructSchema {
  std::vector<Field> fields;  ///< in the order they print
  std::vector<std::function<void(const void*, Checker&)>> checks;
  std::vector<std::pair<std::string, std::string>> words;  ///< foreign or old word, key to use
  Value (*defaults)() = nullptr;  ///< of a default-constructed struct, complete

  const Field* find(std::string_view name) const;
  /// Sorted.
  std::vector<std::string> keys() const;
};

/// State of one reading: problems so far and the path of the value at hand.
class SING_API Reader {
 public:
  explicit Reader(Problems& problems) : problems_(problems) {}
  Problems& problems() { return problems_; }
  const std::string& path() const { return path_; }
  /// "optimizer.host.lr", or "the config" at the root.
  std::string subject() const { return path_.empty() ? "the config" : path_; }
  void error(const char* error_code, std::string what, const Value& value, std::string hint = {});
  /// Reads `value` as `type` one level down, under `key`, which was written at `at`.
  void read_child(std::string_view key, const Origin& at, const Type& type, const Value& value,
                  void* out);
  /// The last key or list item on the way to the value at hand: where a missing key is reported.
  const Origin* key_origin = nullptr;
  /// Values no user wrote, with the reason: path and "because of ...".
  std::vector<std::pair<std::string, std::string>> derived;

 private:
  Problems& problems_;
  std::string path_;
};

/// Reads a map into the struct at `out`, which holds the defaults. `label` names it in "keys of".
SING_API void read_struct(const StructSchema& schema, const Value& value, void* out, Reader& reader,
                          const std::string& label, std::string_view also_known = {});
/// The struct as a map with every key.
SING_API Value write_struct(const StructSchema& schema, const void* in);

/// "a number > 0", "one of: max, min", "a duration such as 10ep": the type in words.
SING_API std::string type_text(const Type& type);

/// "> 0", "in [0, 1)", or "" without limits.
SING_API std::string range_text(const Type& type);

// What the templates of schema.h are made of.
namespace detail {

SING_API Type& leaf(Type& type);

SING_API Type boolean_type();
SING_API Type text_type();
SING_API Type real_type(bool single);
SING_API Type integer_type(size_t bytes, bool is_signed);
SING_API Type duration_type();
SING_API Type any_type();
/// Index into the choices; no value on an error, which is reported.
SING_API std::optional<size_t> read_choice(const Type& type, const Value& value, Reader& reader);
SING_API bool is_unset(const Type& type, const Value& value);
SING_API Value write_unset(const Type& type);
/// Reports what is wrong with the shape of a list; true when its items can be read.
SING_API bool check_list(const Type& type, const Value& value, Reader& reader);
SING_API bool check_map(const Type& type, const Value& value, Reader& reader);
SING_API void read_structure(const Type& type, const Value& value, void* out, Reader& reader);

}  // namespace detail

}  // namespace sing::config
