#include <cstdio>

#include "apps/recipes.h"
#include "apps/verb.h"
#include "sing/config/describe.h"
#include "sing/config/schema.h"
#include "sing/core/error.h"
#include "sing/core/file_system.h"
#include "sing/core/suggest.h"
#include "sing/train/config.h"

namespace sing::apps {
namespace {

/// What people type for a kind, and the kind's own word.
std::string kind_word(const std::string& word) {
  if (word == "optimizers") return "host";
  if (word == "data") return "data set";
  std::string singular = word;
  if (singular == "losses") return "loss";
  if (singular.ends_with('s')) singular.pop_back();
  return singular;
}

void print_line(const std::string& name, const std::string& help) {
  std::printf("  %-28s %s\n", name.c_str(), help.c_str());
}

void print_kind(const config::ComponentKindBase& kind) {
  std::printf("%s\n", kind.kind().c_str());
  for (const std::string& name : kind.names()) print_line(name, kind.get(name).help);
}

void print_recipes() {
  std::printf("recipes\n");
  for (const Recipe& recipe : recipes()) print_line(recipe.name, recipe.title);
}

int ls(const Arguments& arguments) {
  const auto kinds = config::all_kinds(config::schema_of<train::ExperimentConfig>());
  if (arguments.words.empty()) {
    for (const config::ComponentKindBase* kind : kinds) print_kind(*kind);
    print_recipes();
    return 0;
  }
  for (const std::string& word : arguments.words) {
    if (word == "recipes") {
      print_recipes();
      continue;
    }
    std::vector<std::string> known{"recipes"};
    bool found = false;
    for (const config::ComponentKindBase* kind : kinds) {
      known.push_back(kind->kind());
      if (kind->kind() != kind_word(word) && kind->kind() != word) continue;
      print_kind(*kind);
      found = true;
    }
    if (!found) {
      const std::string near = nearest_name(kind_word(word), known);
      throw ConfigError("there is no kind of component called '" + word + "'", {},
                        near.empty() ? "sing ls shows all" : "did you mean '" + near + "'?",
                        "E0273");
    }
  }
  return 0;
}

int show(const Arguments& arguments) {
  if (arguments.words.size() != 1)
    throw ConfigError("show wants one recipe", {}, "sing ls recipes lists them", "E0273");
  std::vector<std::string> names;
  for (const Recipe& recipe : recipes()) {
    names.push_back(recipe.name);
    if (recipe.name != arguments.words.front()) continue;
    const ByteBuffer text = read_file(posix_file_system(), recipe.path, 1 << 20);
    std::fwrite(text.text().data(), 1, text.size(), stdout);
    return 0;
  }
  const std::string near = nearest_name(arguments.words.front(), names);
  throw ConfigError("unknown recipe '" + arguments.words.front() + "'", {},
                    near.empty() ? "sing ls recipes lists them" : "did you mean '" + near + "'?",
                    "E0273");
}

const bool registered_ls = register_verb({
    .name = "ls",
    .usage = "[models|data|optimizers|transforms|schedules|metrics|losses|recipes]",
    .sentence = "Lists the components a config can name, and the shipped recipes.",
    .examples = {"sing ls optimizers", "sing ls recipes"},
    .options = {},
    .run = ls,
});
const bool registered_show = register_verb({
    .name = "show",
    .usage = "RECIPE",
    .sentence = "Prints a shipped recipe.",
    .examples = {"sing show quickstart"},
    .options = {},
    .run = show,
});

}  // namespace
}  // namespace sing::apps
