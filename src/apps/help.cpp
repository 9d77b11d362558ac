#include <cstdio>
#include <string>

#include "apps/verb.h"
#include "sing/core/json.h"
#include "sing/core/version.h"

namespace sing::apps {
namespace {

constexpr size_t kWidth = 80;

std::string left_column(const Option& option) {
  std::string text = option.letter ? std::string("-") + option.letter + ", " : "    ";
  text += "--" + option.name;
  if (!option.argument.empty())
    text += option.optional_argument ? "[=" + option.argument + "]" : " " + option.argument;
  return text;
}

void print_options(const std::vector<Option>& options, bool all) {
  for (const char* group : {"Config", "Run", "Display", "Help"}) {
    bool headed = false;
    for (const Option& option : options) {
      if (option.group != group || (option.advanced && !all)) continue;
      if (!headed) std::printf("\n%s\n", group);
      headed = true;
      std::string line = "  " + left_column(option);
      line.resize(std::max<size_t>(line.size() + 1, 34), ' ');
      line += option.help;
      if (!option.default_text.empty()) {
        const std::string value = "[" + option.default_text + "]";
        const size_t column = kWidth > value.size() ? kWidth - value.size() : 0;
        line.resize(std::max(line.size() + 1, column), ' ');
        line += value;
      }
      std::printf("%s\n", line.c_str());
    }
  }
}

}  // namespace

void print_help(const Verb& verb, bool all) {
  std::printf("usage: sing %s %s\n%s\n", verb.name.c_str(), verb.usage.c_str(),
              verb.sentence.c_str());
  if (!verb.examples.empty()) std::printf("\nExamples\n");
  for (const std::string& example : verb.examples) std::printf("  %s\n", example.c_str());
  std::vector<Option> options = verb.options;
  options.insert(options.end(), common_options().begin(), common_options().end());
  print_options(options, all);
  std::printf("\n'sing explain KEY' describes any config key\n");
}

void print_overview() {
  std::printf("usage: sing VERB [flags] [key=value ...]\n");
  std::printf("Trains neural networks described by a YAML file.\n\nVerbs\n");
  for (const Verb* verb : verbs()) {
    std::string line = "  " + verb->name;
    line.resize(14, ' ');
    std::printf("%s%s\n", line.c_str(), verb->sentence.c_str());
  }
  std::printf(
      "\nExamples\n"
      "  sing-train -c configs/quickstart.yaml\n"
      "  sing-train -c configs/rde_vit_s.yaml optimizer.host.lr=1e-2\n"
      "  sing-train -c configs/rde_vit_s.yaml --check\n"
      "  sing-eval runs/quickstart/latest\n"
      "\n'sing VERB --help' shows the flags of a verb; 'sing explain KEY' any config key\n");
}

void print_version(bool json) {
  if (!json) {
    std::printf("sing %s\n", version().c_str());
    return;
  }
  const JsonValue value = JsonValue::object({{"name", "sing"}, {"version", version()}});
  std::printf("%s\n", to_json(value).c_str());
}

}  // namespace sing::apps
