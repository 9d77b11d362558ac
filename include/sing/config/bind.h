#pragma once
#include "sing/config/schema.h"

namespace sing::config {

/// Reads a config tree as T, starting from its defaults. Everything wrong is added to `problems`;
/// the result is usable only when there is none. `label` names the map in "keys of ...".
template <class T>
T bind(const Value& tree, Problems& problems, const std::string& label = "the config") {
  T result{};
  Reader reader(problems);
  read_struct(schema_of<T>(), tree, &result, reader, label);
  return result;
}

/// The same; throws ConfigErrors.
template <class T>
T bind(const Value& tree) {
  Problems problems;
  T result = bind<T>(tree, problems);
  problems.raise();
  return result;
}

/// Every key of T with its value in canonical spelling: equal configs give equal trees.
template <class T>
Value to_value(const T& config) {
  return write_struct(schema_of<T>(), &config);
}

}  // namespace sing::config
