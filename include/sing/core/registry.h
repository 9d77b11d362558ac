#pragma once
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sing/core/error.h"
#include "sing/core/suggest.h"

namespace sing {

/// Names to entries, filled by static initialisers (and by user programs before a run starts),
/// read-only afterwards. A room offers one accessor function per kind, so that every shared library
/// sees the same object. Names are kept sorted: the order does not depend on link order.
template <class Entry>
class Registry {
 public:
  /// `kind` is used in messages: "optimizer", "data set", ...
  explicit Registry(std::string kind) : kind_(std::move(kind)) {}

  /// Throws InternalError when the name is taken.
  bool add(const std::string& name, Entry entry) {
    if (!entries_.emplace(name, std::move(entry)).second)
      throw InternalError("two " + kind_ + "s are registered as '" + name + "'");
    return true;
  }

  /// nullptr when there is none.
  const Entry* find(std::string_view name) const {
    const auto it = entries_.find(name);
    return it == entries_.end() ? nullptr : &it->second;
  }

  /// Throws ConfigError with the nearest known name.
  const Entry& get(std::string_view name) const {
    if (const Entry* entry = find(name)) return *entry;
    const std::vector<std::string> known = names();
    const std::string near = nearest_name(name, known);
    throw ConfigError("unknown " + kind_ + " '" + std::string(name) + "'", {},
                      near.empty() ? "" : "did you mean '" + near + "'?");
  }

  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& [name, entry] : entries_) result.push_back(name);
    return result;
  }

  const std::string& kind() const { return kind_; }

 private:
  std::string kind_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace sing
