#include <cctype>
#include <unordered_map>
#include <unordered_set>

#include "config/text.h"
#include "sing/config/merge.h"

namespace sing::config {
namespace {

constexpr int kLongestChain = 32;
constexpr size_t kLargestText = size_t{64} << 10;
constexpr size_t kLargestTotal = size_t{1} << 20;

bool variable_name(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  for (const char c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_') return false;
  return true;
}

class Interpolator {
 public:
  Interpolator(Value& tree, const Value& defaults, const Environment& environment,
               Problems& problems)
      : tree_(tree), defaults_(defaults), environment_(environment), problems_(problems) {}

  void walk(Value& value) {
    if (value.is_scalar()) resolve(value, 0);
    for (Value& item : value.items) walk(item);
    for (Value::Entry& entry : value.entries) walk(entry.value);
  }

 private:
  // False when it failed, now or earlier.
  bool resolve(Value& value, int depth) {
    if (done_.contains(&value) || value.text.find("${") == std::string::npos)
      return !failed_.contains(&value);
    if (depth > kLongestChain || !active_.insert(&value).second) {
      fail(value, depth > kLongestChain ? "this reference leads through too many others"
                                        : "this reference leads back to itself");
      return false;
    }
    Value replaced = value;
    const bool good = expand(value, replaced, depth);
    active_.erase(&value);
    done_.insert(&value);
    if (!good) {
      failed_.insert(&value);
      return false;
    }
    if (!value.quoted && replaced.text == "null") replaced.kind = Value::Kind::null;
    value = std::move(replaced);
    return true;
  }

  bool expand(const Value& value, Value& out, int depth) {
    std::string_view rest = value.text;
    out.text.clear();
    while (true) {
      const size_t start = rest.find("${");
      out.text += rest.substr(0, start);
      if (start == std::string_view::npos) break;
      rest.remove_prefix(start + 2);
      const size_t end = rest.find('}');
      if (end == std::string_view::npos) return fail(value, "'${' without '}'");
      if (!replace(value, rest.substr(0, end), out, depth)) return false;
      rest.remove_prefix(end + 1);
      if (out.text.size() > kLargestText) return fail(value, "the text becomes too long");
    }
    total_ += out.text.size();
    return total_ <= kLargestTotal || fail(value, "all references together become too long");
  }

  bool replace(const Value& value, std::string_view inside, Value& out, int depth) {
    if (inside.substr(0, 4) == "env:") return from_environment(value, inside.substr(4), out);
    if (inside.find(':') != std::string_view::npos || inside.empty())
      return fail(value, "'${" + detail::shorten(inside) + "}' is not known",
                  "there are ${env:NAME}, ${env:NAME:-default} and ${path.to.key}");
    const std::string shown = "'" + detail::shorten(inside) + "'";
    const Value* target = tree_.find_path(inside);
    if (target && target->is_scalar()) {
      if (!resolve(const_cast<Value&>(*target), depth + 1))
        return fail(value, shown + " cannot be resolved");
    }
    if (!target) target = defaults_.find_path(inside);
    if (!target) return fail(value, shown + " is not set in this config");
    if (target->is_list() || target->is_map())
      return fail(value,
                  shown + " is " + describe_value(*target) + "; only single values can be used");
    out.text += target->is_null() ? "null" : target->text;
    return true;
  }

  bool from_environment(const Value& value, std::string_view inside, Value& out) {
    const size_t dash = inside.find(":-");
    const std::string name(inside.substr(0, dash));
    if (!variable_name(name))
      return fail(value, "'" + detail::shorten(name) + "' is no name of an environment variable");
    std::optional<std::string> found = environment_(name);
    if (!found && dash == std::string_view::npos)
      return fail(value, "the environment variable " + name + " is not set",
                  "set it, or write ${env:" + name + ":-default}");
    if (!out.origin.note.empty()) out.origin.note += ", ";
    out.origin.note += "environment " + name + (found ? "" : " (not set)");
    const std::string text = found ? *found : std::string(inside.substr(dash + 2));
    // What was read once must not be read again when the printed config is used.
    if (text.find("${") != std::string::npos)
      return fail(value, "the value of " + name + " holds '${' itself");
    out.text += text;
    return true;
  }

  bool fail(const Value& value, std::string what, std::string hint = {}) {
    problems_.error(code::kReference, std::move(what), value.origin, std::move(hint));
    return false;
  }

  Value& tree_;
  const Value& defaults_;
  const Environment& environment_;
  Problems& problems_;
  std::unordered_set<const Value*> active_, done_, failed_;
  size_t total_ = 0;
};

}  // namespace

void interpolate(Value& tree, const Value& defaults, const Environment& environment,
                 Problems& problems) {
  Interpolator(tree, defaults, environment, problems).walk(tree);
}

}  // namespace sing::config
