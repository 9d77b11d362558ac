#pragma once
#include <memory>
#include <string>

#include "apps/command_line.h"
#include "sing/train/experiment.h"

namespace sing::apps {

/// A model with weights to use: of a run, a checkpoint, or a config with model.init_from.
struct Trained {
  std::unique_ptr<train::Experiment> experiment;
  std::string origin;  ///< "runs/quickstart/... step 6000"
  int64_t step = -1;   ///< -1: not from a checkpoint
  bool averaged = false;
};

/// --weights, for the verbs that use trained weights.
Option weights_option();
/// `word` is RUN, RUN@STEP or CKPT, empty when -c was given. Overrides apply to the run's config.
/// Of a checkpoint with averages those are taken, unless --weights says otherwise.
Trained load_trained(const Arguments& arguments, const std::string& word);

}  // namespace sing::apps
