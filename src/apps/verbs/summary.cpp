#include <cstdio>

#include "apps/config_options.h"
#include "apps/plan.h"
#include "apps/verb.h"
#include "sing/core/error.h"
#include "sing/nn/summary.h"

namespace sing::apps {
namespace {

int run(const Arguments& arguments) {
  if (arguments.words.size() != 1)
    throw ConfigError("summary wants one config file", {}, "sing summary FILE", "E0273");
  config::LoadRequest request;
  request.files = arguments.words;
  request.overrides = arguments.overrides;
  const train::LoadedConfig loaded = load_config(request);
  train::Experiment experiment(loaded.config);
  std::fputs(nn::summary_text(experiment.model(), !arguments.has("all")).c_str(), stdout);
  if (const auto frozen = experiment.frozen_by_groups(); frozen.tensors > 0)
    std::printf("of these frozen by optimizer.groups: %s in %s tensors\n",
                nn::with_commas(frozen.elements).c_str(), nn::with_commas(frozen.tensors).c_str());
  return 0;
}

const bool registered = register_verb({
    .name = "summary",
    .usage = "FILE [key=value ...]",
    .sentence = "Lists the parameters of a config's model with shapes and tags.",
    .examples = {"sing summary configs/rde_vit_s.yaml"},
    .options = {{.name = "all", .group = "Display", .help = "write repeated blocks out"}},
    .run = run,
});

}  // namespace
}  // namespace sing::apps
