#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "sing/core/export.h"
#include "sing/train/experiment.h"

namespace sing::train {

/// `averaged`: those evaluation uses, where the optimizer keeps averages (EMA, SWA) or the host has
/// others than it trains (Schedule-Free).
enum class Weights : uint8_t { trained, averaged };

struct LoadedWeights {
  int64_t step = 0;
  bool averaged = false;
};

/// Puts the weights of a checkpoint folder into the experiment's model, which is initialised by
/// this. Not set: the averaged ones when there are some. Batch-norm statistics that the averaged
/// ones want come from the checkpoint; one saved between two evaluations has none of its own, and
/// the training set is read for them. Throws CheckpointError E0402 (not usable), E0410 (of another
/// model or optimizer), ConfigError E0277 when averaged weights are asked for and there are none.
SING_API LoadedWeights load_weights(Experiment& experiment, const std::string& folder,
                                    std::optional<Weights> wanted = std::nullopt);

}  // namespace sing::train
