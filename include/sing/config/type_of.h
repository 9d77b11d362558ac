#pragma once
#include <array>
#include <concepts>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "sing/config/component.h"
#include "sing/config/type.h"

// From the C++ type of a member to its config Type.
namespace sing::config {

/// The words of an enum, found by argument-dependent lookup beside it:
///   enum class Mode { max, min };
///   inline config::EnumNames<Mode> enum_names(Mode) {
///     return {{"max", Mode::max}, {"min", Mode::min}};
///   }
template <class E>
using EnumNames = std::vector<std::pair<std::string, E>>;

template <class T>
Type type_of();

namespace detail {

template <class E>
Type enum_type() {
  Type type;
  type.kind = TypeKind::choice;
  for (const auto& [name, value] : enum_names(E{})) type.choices.push_back(name);
  type.read = [](const Type& t, const Value& value, void* out, Reader& reader) {
    if (const auto index = read_choice(t, value, reader))
      *static_cast<E*>(out) = enum_names(E{})[*index].second;
  };
  type.write = [](const Type&, const void* in) {
    for (const auto& [name, value] : enum_names(E{}))
      if (value == *static_cast<const E*>(in)) return Value::scalar(name);
    throw InternalError("an enum value without a name in enum_names");
  };
  return type;
}

template <class T>
struct TypeOf {
  static Type make() {
    static_assert(std::is_class_v<T>, "no config type for this member");
    Type type;
    type.kind = TypeKind::structure;
    type.structure = &schema_of<T>;
    type.read = &read_structure;
    type.write = [](const Type&, const void* in) { return write_struct(schema_of<T>(), in); };
    return type;
  }
};
template <std::integral T>
struct TypeOf<T> {
  static Type make() { return integer_type(sizeof(T), std::is_signed_v<T>); }
};
template <>
struct TypeOf<bool> {
  static Type make() { return boolean_type(); }
};
template <>
struct TypeOf<float> {
  static Type make() { return real_type(true); }
};
template <>
struct TypeOf<double> {
  static Type make() { return real_type(false); }
};
template <>
struct TypeOf<std::string> {
  static Type make() { return text_type(); }
};
template <>
struct TypeOf<Duration> {
  static Type make() { return duration_type(); }
};
template <>
struct TypeOf<Value> {
  static Type make() { return any_type(); }
};
template <class T>
requires std::is_enum_v<T>
struct TypeOf<T> {
  static Type make() { return enum_type<T>(); }
};

template <auto Kind>
struct TypeOf<Component<Kind>> {
  static Type make() {
    Type type;
    type.kind = TypeKind::component;
    type.components = []() -> const ComponentKindBase& { return Kind(); };
    type.read = [](const Type& t, const Value& value, void* out, Reader& reader) {
      read_component(t, value, *static_cast<Component<Kind>*>(out), reader);
    };
    type.write = [](const Type& t, const void* in) {
      return write_component(t, *static_cast<const Component<Kind>*>(in));
    };
    return type;
  }
};

// An optional has the type of what it holds, and may be null. `element` keeps the plain type.
template <class T>
struct TypeOf<std::optional<T>> {
  static Type make() {
    Type type = type_of<T>();
    type.nullable = true;
    // Through TypeOf<T> again and not through stored pointers: limits set later on this type hold.
    type.read = [](const Type& t, const Value& value, void* out, Reader& reader) {
      auto& target = *static_cast<std::optional<T>*>(out);
      if (is_unset(t, value)) {
        target.reset();
        return;
      }
      if (!target) target.emplace();
      static const ReadFunction read = type_of<T>().read;
      read(t, value, &*target, reader);
    };
    type.write = [](const Type& t, const void* in) {
      const auto& source = *static_cast<const std::optional<T>*>(in);
      static const WriteFunction write = type_of<T>().write;
      return source ? write(t, &*source) : write_unset(t);
    };
    return type;
  }
};

template <class T>
struct TypeOf<std::vector<T>> {
  static_assert(!std::same_as<T, bool>, "std::vector<bool> has no addressable items");
  static Type make() {
    Type type;
    type.kind = TypeKind::list;
    type.element = std::make_shared<Type>(type_of<T>());
    type.read = [](const Type& t, const Value& value, void* out, Reader& reader) {
      if (!check_list(t, value, reader)) return;
      std::vector<T> items(value.items.size());
      for (size_t i = 0; i < items.size(); ++i)
        reader.read_child(std::to_string(i), value.items[i].origin, *t.element, value.items[i],
                          &items[i]);
      *static_cast<std::vector<T>*>(out) = std::move(items);
    };
    type.write = [](const Type& t, const void* in) {
      Value list = Value::list();
      for (const T& item : *static_cast<const std::vector<T>*>(in))
        list.items.push_back(t.element->write(*t.element, &item));
      return list;
    };
    return type;
  }
};

template <class T, size_t N>
struct TypeOf<std::array<T, N>> {
  static Type make() {
    Type type;
    type.kind = TypeKind::list;
    type.min_items = type.max_items = N;
    type.element = std::make_shared<Type>(type_of<T>());
    type.read = [](const Type& t, const Value& value, void* out, Reader& reader) {
      if (!check_list(t, value, reader)) return;
      auto& items = *static_cast<std::array<T, N>*>(out);
      for (size_t i = 0; i < N; ++i)
        reader.read_child(std::to_string(i), value.items[i].origin, *t.element, value.items[i],
                          &items[i]);
    };
    type.write = [](const Type& t, const void* in) {
      Value list = Value::list();
      for (const T& item : *static_cast<const std::array<T, N>*>(in))
        list.items.push_back(t.element->write(*t.element, &item));
      return list;
    };
    return type;
  }
};

template <class T>
struct TypeOf<std::map<std::string, T>> {
  static Type make() {
    Type type;
    type.kind = TypeKind::map;
    type.element = std::make_shared<Type>(type_of<T>());
    type.read = [](const Type& t, const Value& value, void* out, Reader& reader) {
      if (!check_map(t, value, reader)) return;
      std::map<std::string, T> result;
      for (const auto& entry : value.entries)
        reader.read_child(entry.key, entry.origin, *t.element, entry.value, &result[entry.key]);
      *static_cast<std::map<std::string, T>*>(out) = std::move(result);
    };
    type.write = [](const Type& t, const void* in) {
      Value map = Value::map();
      for (const auto& [key, item] : *static_cast<const std::map<std::string, T>*>(in))
        map.entries.push_back({key, {}, t.element->write(*t.element, &item)});
      return map;
    };
    return type;
  }
};

}  // namespace detail

template <class T>
Type type_of() {
  return detail::TypeOf<T>::make();
}

}  // namespace sing::config
