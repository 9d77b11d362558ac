#include "config/yaml/overrides.h"

#include <charconv>
#include <memory>
#include <utility>

#include "config/hints.h"
#include "config/text.h"

namespace sing::config::detail {
namespace {

constexpr size_t kDeepestPath = 32;

struct Step {
  std::string key;
  Origin origin;
};

std::optional<size_t> as_index(const std::string& key) {
  size_t index = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), index);
  if (error != std::errc() || end != key.data() + key.size()) return std::nullopt;
  return index;
}

class Override {
 public:
  Override(const std::string& word, const StructSchema& root, Problems& problems,
           const YamlLimits& limits)
      : root_(root), problems_(problems), limits_(limits) {
    auto source = std::make_shared<Source>();
    source->kind = Source::Kind::override_word;
    source->name = word;
    source->lines = {word};
    source_ = std::move(source);
  }

  void apply(Value& tree) {
    const std::string& word = source_->name;
    if (!word.empty() && word[0] == '~') {
      if (take_path(1, word.size())) remove(tree);
      return;
    }
    const size_t equals = word.find('=');
    if (equals == std::string::npos) {
      fail(at(0, word.size()), "'" + shorten(word) + "' is not key=value, ~key or list+=value");
      return;
    }
    const bool append = equals > 0 && word[equals - 1] == '+';
    if (!take_path(0, append ? equals - 1 : equals)) return;
    std::optional<Value> value = read_override_value(source_, equals + 1, problems_, limits_);
    if (!value) return;
    if (append) {
      append_to(tree, std::move(*value));
    } else {
      set(tree, 0, std::move(*value));
    }
  }

 private:
  Origin at(size_t start, size_t length) const {
    return {source_,
            1,
            count_characters(std::string_view(source_->name).substr(0, start)) + 1,
            static_cast<int>(std::max<size_t>(1, length)),
            {}};
  }

  void fail(const Origin& origin, std::string what, std::string hint = {}) {
    problems_.error(code::kBadOverride, std::move(what), origin, std::move(hint));
  }

  bool take_path(size_t start, size_t end) {
    const std::string& word = source_->name;
    for (size_t from = start; from <= end; ++from) {
      const size_t to = std::min(word.find('.', from), end);
      if (to == from) {
        fail(at(from, 1), "a key is missing here");
        return false;
      }
      path_.push_back({word.substr(from, to - from), at(from, to - from)});
      from = to;
    }
    if (path_.size() > kDeepestPath) {
      fail(at(start, end - start), "this is no path of keys such as optimizer.host.lr");
      return false;
    }
    if (path_[0].key == "extends") {
      fail(path_[0].origin, "'extends' belongs in a file",
           "give several files: -c a.yaml -c b.yaml");
      return false;
    }
    return true;
  }

  Value* item(Value& list, const Step& step) {
    const std::optional<size_t> index = as_index(step.key);
    if (index && *index < list.items.size()) return &list.items[*index];
    fail(step.origin,
         index
             ? "there is no item " + step.key + " in a list of " + std::to_string(list.items.size())
             : "an item of a list has a number from 0, not '" + shorten(step.key) + "'",
         index ? "append with +=" : "");
    return nullptr;
  }

  // The rest of the path as maps in each other around the value.
  Value nested(size_t from, Value value) const {
    for (size_t i = path_.size(); i > from; --i) {
      Value map = Value::map(path_[i - 1].origin);
      map.set(path_[i - 1].key, std::move(value), path_[i - 1].origin);
      value = std::move(map);
    }
    return value;
  }

  void set(Value& node, size_t depth, Value value) {
    const bool last = depth + 1 == path_.size();
    if (node.is_list()) {
      Value* next = item(node, path_[depth]);
      if (!next) return;
      if (last) {
        merge(*next, std::move(value), false);
      } else {
        set(*next, depth + 1, std::move(value));
      }
      return;
    }
    Value* next = node.is_map() && !last ? node.find(path_[depth].key) : nullptr;
    if (next && (next->is_map() || next->is_list())) {
      set(*next, depth + 1, std::move(value));
    } else {
      merge(node, nested(depth, std::move(value)), depth == 0);
    }
  }

  void append_to(Value& tree, Value value) {
    std::string path;
    for (const Step& step : path_) path = join(path, step.key);
    Value list = Value::list(at(0, 1));
    if (const Value* found = tree.find_path(path)) {
      list = *found;
    } else if (const Value defaults = root_.defaults();
               const Value* standard = defaults.find_path(path)) {
      list = *standard;
      list.origin = at(0, source_->name.size());
    }
    if (!list.is_list()) {
      fail(path_.back().origin,
           "'" + shorten(path) + "' is " + describe_value(list) + ", not a list", "set it with =");
      return;
    }
    list.items.push_back(std::move(value));
    set(tree, 0, std::move(list));
  }

  void remove(Value& tree) {
    Value* node = &tree;
    for (size_t depth = 0; depth + 1 < path_.size(); ++depth) {
      if (node->is_list()) {
        node = item(*node, path_[depth]);
        if (!node) return;
        continue;
      }
      Value* next = node->is_map() ? node->find(path_[depth].key) : nullptr;
      if (!next) return check_known();
      node = next;
    }
    const Step& step = path_.back();
    if (node->is_list()) {
      if (Value* gone = item(*node, step))
        node->items.erase(node->items.begin() + (gone - node->items.data()));
    } else if (!node->is_map() || !node->erase(step.key)) {
      check_known();
    }
  }

  // Removing what is not set is fine for a key that exists: it has its default already.
  void check_known() {
    const StructSchema* schema = &root_;
    for (const Step& step : path_) {
      const Field* field = schema->find(step.key);
      if (!field) {
        KeyHint hint = hint_for_key(step.key, *schema, Value::map(), {});
        problems_.add({code::kUnknownKey,
                       "unknown key '" + shorten(step.key) + "'",
                       step.origin,
                       std::move(hint.hint),
                       {}});
        return;
      }
      if (field->type.kind != TypeKind::structure) return;  // what lies behind depends on a name
      schema = &field->type.structure();
    }
  }

  const StructSchema& root_;
  Problems& problems_;
  const YamlLimits& limits_;
  std::shared_ptr<const Source> source_;
  std::vector<Step> path_;
};

}  // namespace

void apply_override(Value& tree, const std::string& word, const StructSchema& root,
                    Problems& problems, const YamlLimits& limits) {
  Override(word, root, problems, limits).apply(tree);
}

}  // namespace sing::config::detail
