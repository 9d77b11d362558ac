#include <cstdio>
#include <string_view>

#include "apps/verb.h"
#include "sing/config/describe.h"
#include "sing/config/schema.h"
#include "sing/core/error.h"
#include "sing/train/config.h"

namespace sing::apps {
namespace {

struct Code {
  std::string_view code, meaning;
};
constexpr Code kCodes[] = {
#include "error_codes.inc"
};

int explain(const Arguments& arguments) {
  if (arguments.words.size() != 1)
    throw ConfigError("explain wants one key, name or code", {},
                      "for instance: sing explain optimizer.host.lr", "E0273");
  for (const Code& code : kCodes) {
    if (code.code != arguments.words.front()) continue;
    std::printf("%s: %s\n", std::string(code.code).c_str(), std::string(code.meaning).c_str());
    return 0;
  }
  const std::string text =
      config::explain(config::schema_of<train::ExperimentConfig>(), arguments.words.front());
  std::fputs(text.c_str(), stdout);
  return 0;
}

int schema(const Arguments& arguments) {
  no_words(arguments, "schema");
  const std::string text =
      config::json_schema(config::schema_of<train::ExperimentConfig>(), "SING experiment");
  std::printf("%s\n", text.c_str());
  return 0;
}

const bool registered_explain = register_verb({
    .name = "explain",
    .usage = "KEY|NAME|CODE",
    .sentence = "Describes a config key, a component or an error code.",
    .examples = {"sing explain optimizer.host.lr", "sing explain adamw", "sing explain E0201"},
    .options = {},
    .run = explain,
});
const bool registered_schema = register_verb({
    .name = "schema",
    .usage = "",
    .sentence = "Prints the JSON Schema of config files, for editors.",
    .examples = {"sing schema > sing.schema.json"},
    .options = {},
    .run = schema,
});

}  // namespace
}  // namespace sing::apps
