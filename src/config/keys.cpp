#include <algorithm>

#include "config/text.h"
#include "sing/config/describe.h"

namespace sing::config {
namespace {

struct Visitor {
  std::vector<KeyInfo>& keys;
  std::vector<const ComponentKindBase*>& kinds;
  std::vector<const ComponentKindBase*> open;  // kinds being entered

  void structure(const StructSchema& schema, const std::string& path, const std::string& component,
                 const Value& defaults, size_t depth) {
    if (depth > 32) return;  // a struct that holds itself
    for (const Field& field : schema.fields) {
      const Value* standard = defaults.find(field.name);
      const std::string at = detail::join(path, field.name);
      keys.push_back({at, &field, component, standard ? *standard : Value{}});
      if (!field.reserved) type(field.type, at, component, standard, depth + 1);
    }
  }

  void type(const Type& type_, const std::string& path, const std::string& component,
            const Value* standard, size_t depth) {
    if (type_.kind == TypeKind::structure) {
      const StructSchema& schema = type_.structure();
      structure(schema, path, component,
                standard && standard->is_map() ? *standard : schema.defaults(), depth);
    } else if (type_.kind == TypeKind::component) {
      components(type_.components(), path, depth);
    } else if (type_.element) {
      type(*type_.element, path + (type_.kind == TypeKind::list ? "[]" : "{}"), component, nullptr,
           depth);
    }
  }

  void components(const ComponentKindBase& kind, const std::string& path, size_t depth) {
    if (std::find(kinds.begin(), kinds.end(), &kind) == kinds.end()) kinds.push_back(&kind);
    if (std::find(open.begin(), open.end(), &kind) != open.end()) return;
    open.push_back(&kind);
    for (const std::string& name : kind.names()) {
      const ComponentEntry& entry = kind.get(name);
      const StructSchema& schema = entry.schema();
      structure(schema, path + "{" + name + "}", name, write_struct(schema, entry.defaults.get()),
                depth);
    }
    open.pop_back();
  }
};

}  // namespace

std::vector<KeyInfo> all_keys(const StructSchema& root) {
  std::vector<KeyInfo> keys;
  std::vector<const ComponentKindBase*> kinds;
  Visitor{keys, kinds, {}}.structure(root, {}, {}, root.defaults(), 0);
  return keys;
}

std::vector<const ComponentKindBase*> all_kinds(const StructSchema& root) {
  std::vector<KeyInfo> keys;
  std::vector<const ComponentKindBase*> kinds;
  Visitor{keys, kinds, {}}.structure(root, {}, {}, root.defaults(), 0);
  std::sort(kinds.begin(), kinds.end(),
            [](const auto* a, const auto* b) { return a->kind() < b->kind(); });
  return kinds;
}

}  // namespace sing::config
