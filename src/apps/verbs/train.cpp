#include <charconv>
#include <cstdio>
#include <string>

#include "apps/config_options.h"
#include "apps/plan.h"
#include "apps/smoke.h"
#include "apps/verb.h"
#include "sing/core/error.h"
#include "sing/train/session.h"
#include "sing/train/signals.h"

namespace sing::apps {
namespace {

const std::vector<Option> kOptions =
    with(config_options(),
         {
             {.name = "output-dir",
              .letter = 'o',
              .argument = "DIR",
              .group = "Run",
              .help = "where run folders go",
              .default_text = "runs"},
             {.name = "name",
              .letter = 'n',
              .argument = "NAME",
              .group = "Run",
              .help = "name of the run",
              .default_text = "config's stem"},
             {.name = "resume",
              .argument = "WHICH",
              .group = "Run",
              .help = "auto, never, RUN, RUN@STEP or CKPT",
              .default_text = "auto"},
             {.name = "allow-change",
              .argument = "KEY",
              .group = "Run",
              .help = "a key that may differ from the checkpoint's",
              .repeatable = true},
             {.name = "lock",
              .argument = "MODE",
              .group = "Run",
              .help = "flock, or none for file systems without",
              .default_text = "flock",
              .advanced = true},
             {.name = "max-steps",
              .argument = "N",
              .group = "Run",
              .help = "end there; the schedule stays as it is"},
             {.name = "overfit",
              .argument = "N",
              .group = "Run",
              .help = "train on the first N samples only"},
             {.name = "smoke",
              .group = "Run",
              .help = "two tiny steps of everything, saved and reloaded"},
             {.name = "check",
              .group = "Run",
              .help = "check config, files, shapes, memory; start nothing"},
             {.name = "dry-run", .group = "Run", .help = "check, and show the parameters"},
             {.name = "print-config",
              .argument = "full|minimal|origin",
              .group = "Config",
              .help = "show the resolved config and end",
              .optional_argument = true},
             {.name = "log-format",
              .argument = "FORMAT",
              .group = "Display",
              .help = "auto, bar, line or json",
              .default_text = "auto"},
             {.name = "log-every",
              .argument = "TIME",
              .group = "Display",
              .help = "distance of progress lines",
              .default_text = "30s"},
             {.name = "profile",
              .argument = "START:COUNT",
              .group = "Display",
              .help = "trace and table of COUNT steps behind step START"},
         });

void print_config(const train::LoadedConfig& config, const std::string& form) {
  std::string text;
  if (form.empty() || form == "full")
    text = config.print_full();
  else if (form == "minimal")
    text = config.print_minimal();
  else if (form == "origin")
    text = config.print_origin();
  else
    throw ConfigError("--print-config must be full, minimal or origin, not '" + form + "'", {}, {},
                      "E0272");
  std::fputs(text.c_str(), stdout);
}

/// "10:3": three steps behind the tenth.
train::SessionOptions::Steps profiled_steps(const std::string& text) {
  train::SessionOptions::Steps steps;
  const size_t colon = text.find(':');
  const auto number = [&](std::string_view digits, int64_t least) {
    int64_t value = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    const bool whole = error == std::errc() && end == digits.data() + digits.size();
    return whole && value >= least ? value : int64_t{-1};
  };
  if (colon != std::string::npos) {
    steps.start = number(std::string_view(text).substr(0, colon), 0);
    steps.count = number(std::string_view(text).substr(colon + 1), 1);
  }
  if (colon == std::string::npos || steps.start < 0 || steps.count < 1)
    throw ConfigError("--profile wants START:COUNT, such as 20:3, not '" + text + "'", {}, {},
                      "E0272");
  return steps;
}

/// The command as typed, quoted for a shell where needed.
std::string command_text(const Arguments& arguments) {
  std::string text = "sing-train";
  const auto add = [&text](const std::string& word) {
    const bool plain =
        !word.empty() && word.find_first_not_of(
                             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM"
                             "NOPQRSTUVWXYZ0123456789_-./=+,:@%~") == std::string::npos;
    text += " " + (plain ? word : "'" + word + "'");
  };
  for (const Option& option : kOptions) {
    for (const std::string& value : arguments.all(option.name)) {
      add("--" + option.name);
      if (!option.argument.empty()) add(value);
    }
  }
  for (const std::string& word : arguments.overrides) add(word);
  return text;
}

/// "configs/a.yaml + 2 overrides (seed=2, optimizer.host.lr=1e-2)".
std::string config_source(const config::LoadRequest& request) {
  std::string text;
  for (const std::string& file : request.files) text += (text.empty() ? "" : ", ") + file;
  if (request.overrides.empty()) return text;
  std::string words;
  for (const std::string& word : request.overrides) words += (words.empty() ? "" : ", ") + word;
  const size_t count = request.overrides.size();
  return text + " + " + std::to_string(count) + (count == 1 ? " override (" : " overrides (") +
         words + ")";
}

int run(const Arguments& arguments) {
  const train::StopSignals signals;  // from here on a signal saves instead of killing
  no_words(arguments, "train");
  train::SessionOptions options;
  options.resume = arguments.get("resume", "auto");
  std::string run_config;
  if (!arguments.has("config") && options.resume != "auto" && options.resume != "never") {
    const std::string run = train::find_run(options.resume);
    if (run.empty())
      throw CheckpointError("there is no run at " + options.resume, {},
                            "a run is a folder with status.json, such as runs/NAME/latest",
                            "E0402");
    run_config = run + "/config.yaml";
  }
  const config::LoadRequest request = load_request(arguments, run_config);
  const train::LoadedConfig config = load_config(request);
  if (arguments.has("print-config")) {
    print_config(config, arguments.get("print-config"));
    return 0;
  }
  if (arguments.has("check") || arguments.has("dry-run")) {
    print_plan(config, arguments.has("dry-run"));
    return 0;
  }
  options.output_root = arguments.get("output-dir", "runs");
  options.name = arguments.get("name");
  options.allow_change = arguments.all("allow-change");
  const std::string lock = arguments.get("lock", "flock");
  if (lock != "flock" && lock != "none")
    throw ConfigError("--lock must be flock or none, not '" + lock + "'", {}, {}, "E0272");
  if (lock == "none") options.lock = train::LockMode::none;
  options.console = console_options(arguments);
  options.max_steps = arguments.integer("max-steps", 1, int64_t{1} << 62);
  options.overfit = arguments.integer("overfit", 1, int64_t{1} << 62).value_or(0);
  if (arguments.has("profile")) options.profile = profiled_steps(arguments.get("profile"));
  options.command = command_text(arguments);
  options.config_source = config_source(request);
  if (arguments.has("smoke")) return run_smoke(config, options);
  const train::SessionReport report = train::run_session(config, options);
  return static_cast<int>(report.exit_code);
}

const bool registered = register_verb({
    .name = "train",
    .usage = "-c FILE [flags] [key.sub=value ...]",
    .sentence = "Runs one experiment; the same command again continues it.",
    .examples = {"sing-train -c configs/quickstart.yaml",
                 "sing-train -c configs/rde_vit_s.yaml optimizer.host.lr=1e-2",
                 "sing-train -c configs/rde_vit_s.yaml --check",
                 "sing-train --resume runs/quickstart/latest"},
    .options = kOptions,
    .run = run,
});

}  // namespace
}  // namespace sing::apps
