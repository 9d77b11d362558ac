#include "sing/config/load.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <utility>

#include "config/text.h"
#include "config/yaml/overrides.h"

namespace sing::config {
namespace {

namespace fs = std::filesystem;

constexpr int kMostFiles = 100;  // read in all: files that extend each other twice grow as 2^n

class Loader {
 public:
  Loader(const LoadRequest& request, Problems& problems) : request_(request), problems_(problems) {}

  // The file with everything it extends below it. `from`: the word that named it.
  std::optional<Value> file(const std::string& name, const Origin& from) {
    const std::string id = name == "-" ? name : identity(name);
    for (const auto& [open_id, open_name] : open_) {
      if (open_id != id) continue;
      std::string chain;
      for (const auto& entry : open_) chain += entry.second + " -> ";
      problems_.error(code::kExtends, "these files extend each other: " + chain + name, from);
      return std::nullopt;
    }
    if (++files_ > kMostFiles) {
      problems_.error(code::kExtends, "more than " + std::to_string(kMostFiles) + " files", from);
      return std::nullopt;
    }
    const std::optional<std::string> text = read_text(name, from);
    if (!text) return std::nullopt;
    std::optional<Value> tree =
        read_yaml(*text, name == "-" ? "standard input" : name, problems_, request_.limits);
    if (!tree) return std::nullopt;
    if (!tree->is_map()) {
      problems_.error(code::kWrongType, "a config is a map of keys; got " + describe_value(*tree),
                      tree->origin);
      return std::nullopt;
    }
    open_.emplace_back(id, name);
    std::optional<Value> merged = with_bases(std::move(*tree), name);
    open_.pop_back();
    return merged;
  }

 private:
  static std::string identity(const std::string& name) {
    std::error_code ignored;
    const fs::path path = fs::weakly_canonical(name, ignored);
    return path.empty() ? name : path.string();
  }

  std::optional<std::string> read_text(const std::string& name, const Origin& from) {
    const auto unreadable = [&](const std::string& why) {
      Origin at = from;
      if (!at.source)
        at = {std::make_shared<Source>(Source{Source::Kind::file, name, {}}), 0, 0, 0, {}};
      problems_.error(from.source ? code::kExtends : code::kUnreadable,
                      "cannot read the config '" + detail::shorten(name, 200) + "': " + why, at);
      return std::nullopt;
    };
    std::ifstream file;
    if (name != "-") {
      std::error_code error;
      const fs::file_status status = fs::status(name, error);
      if (!fs::exists(status)) return unreadable("there is no such file");
      if (fs::is_directory(status)) return unreadable("it is a folder");
      file.open(name, std::ios::binary);
      if (!file) return unreadable("no permission");
    }
    std::istream& stream = name == "-" ? std::cin : file;
    // One byte more than allowed is enough for read_yaml to refuse it.
    std::string text(request_.limits.bytes + 1, '\0');
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(stream.gcount()));
    if (stream.bad()) return unreadable("reading failed");
    return text;
  }

  std::optional<Value> with_bases(Value tree, const std::string& name) {
    const Value* extends = tree.find("extends");
    if (!extends) return tree;
    std::vector<const Value*> bases;
    if (extends->is_list()) {
      for (const Value& item : extends->items) bases.push_back(&item);
    } else {
      bases.push_back(extends);
    }
    Value merged = Value::map(tree.origin);
    bool good = true;
    for (const Value* base : bases) {
      if (!base->is_scalar() || base->text.empty()) {
        problems_.error(code::kExtends,
                        "'extends' names a file or a list of files; got " + describe_value(*base),
                        base->origin);
        good = false;
        continue;
      }
      const fs::path folder = name == "-" ? fs::path() : fs::path(name).parent_path();
      std::optional<Value> below =
          file((folder / base->text).lexically_normal().string(), base->origin);
      if (below) merge(merged, std::move(*below));
      good = good && below;
    }
    if (!good) return std::nullopt;
    tree.erase("extends");
    merge(merged, std::move(tree));
    return merged;
  }

  const LoadRequest& request_;
  Problems& problems_;
  std::vector<std::pair<std::string, std::string>> open_;  // identity and name, outermost first
  int files_ = 0;
};

std::optional<std::string> process_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value ? std::optional<std::string>(value) : std::nullopt;
}

}  // namespace

std::optional<Value> load_tree(const LoadRequest& request, const StructSchema& root,
                               Problems& problems) {
  Loader loader(request, problems);
  Value tree = Value::map();
  bool good = true;
  for (const std::string& name : request.files) {
    std::optional<Value> next = loader.file(name, {});
    if (next && !tree.origin.source) tree.origin = next->origin;
    if (next) merge(tree, std::move(*next));
    good = good && next;
  }
  if (!good) return std::nullopt;
  for (const std::string& word : request.overrides)
    detail::apply_override(tree, word, root, problems, request.limits);
  const Environment environment = request.environment ? request.environment : process_environment;
  interpolate(tree, root.defaults(), environment, problems);
  return tree;
}

}  // namespace sing::config
