#include "sing/config/diff.h"

#include "config/text.h"
#include "sing/config/print.h"

namespace sing::config {
namespace {

const std::string* name_of(const Value* value) {
  const Value* name = value ? value->find("name") : nullptr;
  return name && name->is_scalar() ? &name->text : nullptr;
}

std::string shown(const Value* value) {
  if (!value) return {};
  const std::string* name = name_of(value);
  return name ? *name : value->is_scalar() ? value->text : to_yaml_line(*value);
}

void compare(const Value* before, const Value* after, const std::string& path, bool root,
             std::vector<Difference>& out) {
  if (before && after && same_value(*before, *after)) return;
  const std::string *old_name = name_of(before), *new_name = name_of(after);
  const bool renamed = !root && old_name && new_name && *old_name != *new_name;
  if (before && after && before->is_map() && after->is_map() && !renamed) {
    for (const Value::Entry& entry : before->entries)
      compare(&entry.value, after->find(entry.key), detail::join(path, entry.key), false, out);
    for (const Value::Entry& entry : after->entries)
      if (!before->find(entry.key))
        compare(nullptr, &entry.value, detail::join(path, entry.key), false, out);
    return;
  }
  if (before && after && before->is_list() && after->is_list() &&
      before->items.size() == after->items.size()) {
    for (size_t i = 0; i < before->items.size(); ++i)
      compare(&before->items[i], &after->items[i], detail::join(path, std::to_string(i)), false,
              out);
    return;
  }
  out.push_back({path, shown(before), shown(after)});
}

}  // namespace

std::vector<Difference> differences(const Value& before, const Value& after) {
  std::vector<Difference> result;
  compare(&before, &after, {}, true, result);
  return result;
}

}  // namespace sing::config
