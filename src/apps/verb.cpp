#include "apps/verb.h"

#include <algorithm>

#include "sing/core/error.h"

namespace sing::apps {
namespace {

std::vector<Verb>& registered() {
  static std::vector<Verb> list;
  return list;
}

}  // namespace

bool register_verb(Verb verb) {
  registered().push_back(std::move(verb));
  return true;
}

const Verb* find_verb(const std::string& name) {
  for (const Verb& verb : registered())
    if (verb.name == name) return &verb;
  return nullptr;
}

std::vector<const Verb*> verbs() {
  std::vector<const Verb*> list;
  for (const Verb& verb : registered()) list.push_back(&verb);
  std::sort(list.begin(), list.end(),
            [](const Verb* a, const Verb* b) { return a->name < b->name; });
  return list;
}

const std::vector<Option>& common_options() {
  static const std::vector<Option> options = {
      {.name = "color",
       .argument = "auto|always|never",
       .group = "Display",
       .help = "colours on a terminal; NO_COLOR is obeyed",
       .default_text = "auto"},
      {.name = "quiet", .letter = 'q', .group = "Display", .help = "only warnings and results"},
      {.name = "verbose", .letter = 'v', .group = "Display", .help = "more detail in messages"},
      {.name = "help", .letter = 'h', .group = "Help", .help = "this screen"},
      {.name = "help-all", .group = "Help", .help = "every flag"},
      {.name = "version", .letter = 'V', .group = "Help", .help = "version and build"},
      {.name = "json", .group = "Help", .help = "with --version and doctor: as JSON"},
  };
  return options;
}

void no_words(const Arguments& arguments, const std::string& verb) {
  if (!arguments.words.empty())
    throw ConfigError("'" + arguments.words.front() + "' is neither a flag nor key=value", {},
                      "sing " + verb + " --help shows what is", "E0273");
}

}  // namespace sing::apps
