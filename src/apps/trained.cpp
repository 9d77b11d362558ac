#include "apps/trained.h"

#include "apps/config_options.h"
#include "sing/core/error.h"
#include "sing/core/thread_pool.h"
#include "sing/nn/load.h"
#include "sing/train/checkpoint_store.h"
#include "sing/train/session.h"

namespace sing::apps {

Trained load_trained(const Arguments& arguments, const std::string& word) {
  Trained result;
  if (word.empty()) {
    const train::LoadedConfig loaded = load_config(load_request(arguments));
    result.experiment = std::make_unique<train::Experiment>(loaded.config);
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
  const train::LoadedCheckpoint checkpoint =
      train::load_checkpoint(place.folder, train::CheckpointParts::model);
  result.experiment = std::make_unique<train::Experiment>(loaded.config);
  // The checkpoint holds everything: what the first values came from need not be there any more.
  result.experiment->model().initialize(static_cast<uint64_t>(loaded.config.seed));
  nn::load_parameters(result.experiment->model(), checkpoint.contents.model);
  result.step = checkpoint.step;
  result.origin = place.folder;
  return result;
}

}  // namespace sing::apps
