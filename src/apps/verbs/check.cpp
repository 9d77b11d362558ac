#include <cstdio>

#include "apps/config_options.h"
#include "apps/plan.h"
#include "apps/report_error.h"
#include "apps/verb.h"
#include "sing/core/error.h"

namespace sing::apps {
namespace {

/// Every file is checked, whatever the ones before it were.
int run(const Arguments& arguments) {
  if (arguments.words.empty())
    throw ConfigError("check wants config files", {}, "sing check FILE...", "E0273");
  int status = 0;
  for (const std::string& file : arguments.words) {
    try {
      config::LoadRequest request;
      request.files = {file};
      request.overrides = arguments.overrides;
      print_plan(load_config(request), false);
    } catch (const Error&) {
      status = report_error(std::current_exception(), "sing check");
    }
  }
  return status;
}

const bool registered = register_verb({
    .name = "check",
    .usage = "FILE... [key=value ...]",
    .sentence = "Checks config files: keys, types, ranges, files, shapes, memory; starts nothing.",
    .examples = {"sing check configs/*.yaml"},
    .options = {},
    .run = run,
});

}  // namespace
}  // namespace sing::apps
