#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "apps/report_error.h"
#include "apps/verb.h"
#include "sing/core/error.h"
#include "sing/core/suggest.h"

namespace {

using namespace sing;
using namespace sing::apps;

/// The verb and the words that belong to it. `sing-train ...` is `sing train ...`.
std::string take_verb(const std::string& program, std::vector<std::string>& words) {
  for (const Verb* verb : verbs())
    if (program == "sing-" + verb->name) return verb->name;
  if (words.empty() || words.front().starts_with('-')) return {};
  std::string verb = words.front();
  words.erase(words.begin());
  return verb;
}

[[noreturn]] void unknown_verb(const std::string& word) {
  std::vector<std::string> names;
  for (const Verb* verb : verbs()) names.push_back(verb->name);
  const std::string near = nearest_name(word, names);
  throw ConfigError("unknown verb '" + word + "'", {},
                    near.empty() ? "see sing --help" : "did you mean 'sing " + near + "'?",
                    "E0270");
}

int run(const std::string& program, std::vector<std::string> words) {
  const std::string name = take_verb(program, words);
  if (name.empty()) {
    const Arguments arguments = parse(common_options(), words, "sing");
    if (arguments.has("version")) {
      print_version(arguments.has("json"));
    } else {
      print_overview();
      if (words.empty()) return static_cast<int>(ExitCode::usage);
    }
    return 0;
  }
  const Verb* verb = find_verb(name);
  if (verb == nullptr) unknown_verb(name);
  std::vector<Option> options = verb->options;
  options.insert(options.end(), common_options().begin(), common_options().end());
  const Arguments arguments = parse(options, words, "sing " + name);
  if (arguments.has("help") || arguments.has("help-all")) {
    print_help(*verb, arguments.has("help-all"));
    return 0;
  }
  if (arguments.has("version")) {
    print_version(arguments.has("json"));
    return 0;
  }
  return verb->run(arguments);
}

}  // namespace

int main(int argc, char** argv) {
  std::string program = argc > 0 ? argv[0] : "sing";
  if (const size_t slash = program.rfind('/'); slash != std::string::npos)
    program = program.substr(slash + 1);
  try {
    return run(program, std::vector<std::string>(argv + 1, argv + argc));
  } catch (...) {
    return report_error(std::current_exception(), program);
  }
}
