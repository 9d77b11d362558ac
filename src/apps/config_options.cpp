#include "apps/config_options.h"

#include "sing/core/error.h"
#include "sing/core/file_system.h"

namespace sing::apps {

std::vector<Option> with(std::vector<Option> options, std::vector<Option> more) {
  for (Option& option : more) options.push_back(std::move(option));
  return options;
}

std::vector<Option> config_options() {
  return {
      {.name = "config",
       .letter = 'c',
       .argument = "FILE",
       .group = "Config",
       .help = "config file; repeatable, later wins; - is stdin",
       .repeatable = true},
      {.name = "device",
       .argument = "DEVICE",
       .group = "Config",
       .help = "cpu, cuda or cuda:N; train.device",
       .default_text = "auto"},
      {.name = "threads",
       .argument = "N",
       .group = "Config",
       .help = "processor threads; train.threads",
       .default_text = "auto"},
      {.name = "seed", .argument = "N", .group = "Config", .help = "seed of everything random"},
  };
}

config::LoadRequest load_request(const Arguments& arguments, const std::string& config_file) {
  config::LoadRequest request;
  request.files = arguments.all("config");
  if (request.files.empty() && !config_file.empty()) request.files = {config_file};
  if (request.files.empty())
    throw ConfigError("no config: -c FILE says what to run", {},
                      "'sing ls recipes' lists the shipped ones", "E0274");
  request.overrides = arguments.overrides;
  for (const auto& [flag, key] : {std::pair{"device", "train.device"},
                                  std::pair{"threads", "train.threads"}, std::pair{"seed", "seed"}})
    if (arguments.has(flag))
      request.overrides.push_back(std::string(key) + "=" + arguments.get(flag));
  return request;
}

train::LoadedConfig load_config(const config::LoadRequest& request) {
  train::LoadedConfig loaded = config::load<train::ExperimentConfig>(request);
  if (loaded.config.name.empty()) {
    std::string stem = name_of_path(request.files.front());
    if (const size_t dot = stem.rfind('.'); dot != std::string::npos && dot > 0) stem.resize(dot);
    loaded.config.name = stem == "-" ? "stdin" : stem;
  }
  if (!is_plain_name(loaded.config.name))
    throw ConfigError("name: '" + loaded.config.name + "' cannot be the name of a folder", {}, {},
                      "E0218");
  return loaded;
}

train::ConsoleOptions console_options(const Arguments& arguments) {
  train::ConsoleOptions options;
  const std::string format = arguments.get("log-format", "auto");
  if (format == "bar")
    options.format = train::LogFormat::bar;
  else if (format == "line")
    options.format = train::LogFormat::line;
  else if (format == "json")
    options.format = train::LogFormat::json;
  else if (format != "auto")
    throw ConfigError("--log-format must be auto, bar, line or json, not '" + format + "'", {}, {},
                      "E0272");
  const std::string color = arguments.get("color", "auto");
  if (color == "always")
    options.color = train::Color::always;
  else if (color == "never")
    options.color = train::Color::never;
  else if (color != "auto")
    throw ConfigError("--color must be auto, always or never, not '" + color + "'", {}, {},
                      "E0272");
  options.quiet = arguments.has("quiet");
  if (arguments.has("log-every")) {
    std::string text = arguments.get("log-every");
    const bool minutes = text.ends_with("min");
    if (minutes)
      text.resize(text.size() - 3);
    else if (text.ends_with("s"))
      text.pop_back();
    char* end = nullptr;
    options.every = std::strtod(text.c_str(), &end) * (minutes ? 60 : 1);
    if (text.empty() || *end != 0 || !(options.every >= 0) || options.every > 1e6)
      throw ConfigError(
          "--log-every wants a time such as 30s or 2min, got '" + arguments.get("log-every") + "'",
          {}, {}, "E0272");
  }
  return options;
}

}  // namespace sing::apps
