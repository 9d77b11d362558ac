#include "sing/optim/replay.h"

#include <charconv>
#include <cstdio>

#include "apps/config_options.h"
#include "apps/verb.h"
#include "sing/core/error.h"
#include "sing/core/thread_pool.h"
#include "sing/train/signals.h"

namespace sing::apps {
namespace {

/// What a replay reads of a config; the other blocks of a whole run's config are passed over.
struct ReplayConfig {
  int64_t version = 1;
  int64_t seed = 1;
  optim::OptimizerConfig optimizer;

  static void describe(config::Fields<ReplayConfig>& f) {
    f("version", &ReplayConfig::version, "of the config format").range(1, 1);
    f("seed", &ReplayConfig::seed, "of everything random").non_negative();
    f("optimizer", &ReplayConfig::optimizer, "gradient transforms, host and what follows it")
        .required();
  }
};

struct Loaded {
  ReplayConfig config;
  std::vector<config::Diagnostic> warnings;
  std::string passed_over;  // "model, data, train"
};

Loaded load(const Arguments& arguments) {
  config::LoadRequest request;
  request.files = arguments.all("config");
  request.overrides = arguments.overrides;
  if (request.files.empty())
    throw ConfigError("no config: -c FILE says which optimizer", {},
                      "sing replay -c FILE.yaml --gradients IN.safetensors -o OUT.safetensors",
                      "E0274");
  const config::StructSchema& known = config::schema_of<ReplayConfig>();
  const config::StructSchema& whole = config::schema_of<train::ExperimentConfig>();
  config::Problems problems;
  Loaded result;
  if (std::optional<config::Value> tree = config::load_tree(request, whole, problems)) {
    for (const config::Field& field : whole.fields)
      if (known.find(field.name) == nullptr && tree->erase(field.name))
        result.passed_over += (result.passed_over.empty() ? "" : ", ") + field.name;
    result.config = config::bind<ReplayConfig>(*tree, problems, "a replay");
  }
  problems.raise();
  result.warnings.assign(problems.warnings().begin(), problems.warnings().end());
  return result;
}

/// "1,2,5".
std::vector<int64_t> step_list(const std::string& text) {
  std::vector<int64_t> steps;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    int64_t step = 0;
    const auto [after, code] = std::from_chars(at, end, step);
    if (code != std::errc{} || (after != end && *after != ','))
      throw ConfigError("--steps wants numbers such as 1,2,5, not '" + text + "'", {}, {}, "E0272");
    steps.push_back(step);
    if (after == end) return steps;
    at = after + 1;
  }
}

std::string wanted(const Arguments& arguments, const char* flag, const char* why) {
  if (!arguments.has(flag))
    throw ConfigError(std::string("replay wants --") + flag + ": " + why, {},
                      "sing replay -c FILE.yaml --gradients IN.safetensors -o OUT.safetensors",
                      "E0273");
  return arguments.get(flag);
}

int run(const Arguments& arguments) {
  const train::StopSignals signals;
  no_words(arguments, "replay");
  optim::ReplayRequest request;
  const Loaded loaded = load(arguments);
  request.input = wanted(arguments, "gradients", "the file with parameters and gradients");
  request.output = wanted(arguments, "output", "the file for the results");
  if (arguments.has("steps")) request.steps = step_list(arguments.get("steps"));
  request.total_steps = arguments.integer("total-steps", 1, int64_t{1} << 53);
  request.state = arguments.has("state");
  request.interrupted = [] { return train::stop_signal() != 0; };
  if (const auto threads = arguments.integer("threads", 1, 1024))
    set_num_threads(static_cast<int>(*threads));

  train::Console console(console_options(arguments));
  for (const config::Diagnostic& warning : loaded.warnings)
    console.warning(warning.code, warning.what, warning.hint);
  for (const std::string& warning : optim::warnings(loaded.config.optimizer)) {
    const size_t colon = warning.find(": ");
    console.warning(warning.substr(0, colon), warning.substr(colon + 2));
  }
  const bool quiet = arguments.has("quiet");
  if (!quiet && !loaded.passed_over.empty())
    std::fprintf(stderr, "note: a replay reads the optimizer block; passed over: %s\n",
                 loaded.passed_over.c_str());

  const optim::ReplayReport report = optim::replay_file(loaded.config.optimizer, request);
  if (!report.complete) return 128 + train::stop_signal();
  if (!quiet)
    std::fprintf(stderr, "%s: %lld of %lld steps, %lld parameters in %s, %lld tensors written\n",
                 request.output.c_str(), static_cast<long long>(report.made),
                 static_cast<long long>(report.recorded), static_cast<long long>(report.parameters),
                 std::string(name_of(report.dtype)).c_str(),
                 static_cast<long long>(report.written));
  return 0;
}

const bool registered = register_verb({
    .name = "replay",
    .usage = "-c FILE --gradients IN -o OUT [flags] [key=value ...]",
    .sentence = "Drives an optimizer block over recorded gradients, without a model.",
    .examples = {"sing replay -c adamw.yaml --gradients in.safetensors -o out.safetensors",
                 "sing replay -c a.yaml --gradients in.safetensors -o out.safetensors --steps 1,25",
                 "sing replay -c a.yaml --gradients in.safetensors -o out.safetensors --state "
                 "optimizer.host.lr=1e-2"},
    .options = {{.name = "config",
                 .letter = 'c',
                 .argument = "FILE",
                 .group = "Config",
                 .help = "config with an optimizer block; repeatable; - is stdin",
                 .repeatable = true},
                {.name = "gradients",
                 .argument = "IN",
                 .group = "Run",
                 .help = "safetensors: param/<name>, grad/<step>/<name>"},
                {.name = "output",
                 .letter = 'o',
                 .argument = "OUT",
                 .group = "Run",
                 .help = "safetensors: param/<step>/<name>"},
                {.name = "steps",
                 .argument = "1,2,5",
                 .group = "Run",
                 .help = "steps to write",
                 .default_text = "all"},
                {.name = "total-steps",
                 .argument = "N",
                 .group = "Run",
                 .help = "length of the schedule",
                 .default_text = "largest step of IN"},
                {.name = "state", .group = "Run", .help = "write state/<step>/<name>/<slot> too"},
                {.name = "threads",
                 .argument = "N",
                 .group = "Run",
                 .help = "processor threads",
                 .default_text = "auto"}},
    .run = run,
});

}  // namespace
}  // namespace sing::apps
