#pragma once
#include <memory>

#include "sing/train/events.h"
#include "sing/train/experiment.h"
#include "sing/train/run_folder.h"

namespace sing::train {

/// Draws trajectory.svg at each evaluation and at the end: the function that a model `point` walks
/// on (nn::Landscape) with the iterates of this run, read from metrics.jsonl, and those of another
/// run beside it. nullptr for runs with another model or loss.
std::shared_ptr<Callback> trajectory_callback(Experiment& experiment, const RunFolder& folder);

}  // namespace sing::train
