#include "apps/trained.h"

#include "apps/config_options.h"
#include "sing/core/error.h"
#include "sing/core/thread_pool.h"
#include "sing/train/experiment.h"
#include "sing/train/load_weights.h"
#include "sing/train/session.h"

namespace sing::apps {

namespace {

std::optional<train::Weights> wanted_weights(const Arguments& arguments) {
  const std::string word = arguments.get("weights", "auto");
  if (word == "auto") return std::nullopt;
  if (word == "trained") return train::Weights::trained;
  if (word == "averaged") return train::Weights::averaged;
  throw ConfigError("--weights must be trained or averaged, not '" + word + "'", {}, {}, "E0272");
}

}  // namespace

Option weights_option() {
  return {.name = "weights",
          .argument = "trained|averaged",
          .group = "Run",
          .help = "which, where the optimizer averages",
          .default_text = "averaged"};
}

Trained load_trained(const Arguments& arguments, const std::string& word) {
  Trained result;
  if (word.empty()) {
    if (wanted_weights(arguments) == train::Weights::averaged)
      throw ConfigError("--weights averaged wants a run or a checkpoint", {},
                        "model.init_from reads weights as they were trained", "E0272");
    const train::LoadedConfig loaded = load_config(load_request(arguments));
    const Device device = train::resolve_device(loaded.config.train.device);
    result.experiment = std::make_unique<train::Experiment>(loaded.config);
    result.experiment->place(device);
    result.experiment->initialize_model();
    if (result.experiment->init_report().empty())
      throw ConfigError("a config alone has no trained weights", {},
                        "give a run or a checkpoint, or set model.init_from=FILE.safetensors",
                        "E0275");
    result.origin = loaded.config.name;
    return result;
  }
  const train::CheckpointPlace place = train::find_checkpoint(word);
  const std::string config = place.run.empty() ? "" : place.run + "/config.yaml";
  const train::LoadedConfig loaded = load_config(load_request(arguments, config));
  if (loaded.config.train.threads) set_num_threads(static_cast<int>(*loaded.config.train.threads));
  const Device device = train::resolve_device(loaded.config.train.device);
  result.experiment = std::make_unique<train::Experiment>(loaded.config);
  result.experiment->place(device);
  const train::LoadedWeights weights =
      train::load_weights(*result.experiment, place.folder, wanted_weights(arguments));
  result.step = weights.step;
  result.averaged = weights.averaged;
  result.origin = place.folder;
  return result;
}

}  // namespace sing::apps
