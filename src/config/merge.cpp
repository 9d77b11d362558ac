#include "sing/config/merge.h"

#include <unordered_map>
#include <utility>

namespace sing::config {
namespace {

const std::string* name_of(const Value& value) {
  const Value* name = value.is_map() ? value.find("name") : nullptr;
  return name && name->is_scalar() ? &name->text : nullptr;
}

void merge_node(Value& base, Value over, bool root);

void merge_maps(Value& base, Value over) {
  std::unordered_map<std::string, size_t> places;  // a flat map of 10,000 keys stays quick
  for (size_t i = 0; i < base.entries.size(); ++i) places.emplace(base.entries[i].key, i);
  for (Value::Entry& entry : over.entries) {
    const auto place = places.find(entry.key);
    if (place == places.end()) {
      base.entries.push_back(std::move(entry));
      continue;
    }
    Value::Entry& mine = base.entries[place->second];
    mine.origin = std::move(entry.origin);
    merge_node(mine.value, std::move(entry.value), false);
  }
}

void merge_node(Value& base, Value over, bool root) {
  if (base.is_map() && over.is_map()) {
    // The name of the whole run, at the root, chooses no options.
    const std::string* before = root ? nullptr : name_of(base);
    const std::string* after = root ? nullptr : name_of(over);
    if (after && before && *after != *before) {
      base = std::move(over);
    } else {
      merge_maps(base, std::move(over));
    }
  } else if (base.is_map() && over.is_scalar()) {
    const std::string* before = root ? nullptr : name_of(base);
    if (before && *before == over.text) {
      base.find("name")->origin = over.origin;
    } else {
      base = std::move(over);
    }
  } else if (base.is_scalar() && over.is_map() && !over.find("name")) {
    Value map = Value::map(over.origin);
    const Origin name_origin = base.origin;
    map.set("name", std::move(base), name_origin);
    merge_maps(map, std::move(over));
    base = std::move(map);
  } else {
    base = std::move(over);
  }
}

}  // namespace

void merge(Value& base, Value over, bool root) {
  merge_node(base, std::move(over), root);
}

}  // namespace sing::config
