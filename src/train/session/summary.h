#pragma once
#include <string>

#include "sing/train/console.h"
#include "sing/train/experiment.h"
#include "sing/train/run_folder.h"
#include "sing/train/trainer.h"
#include "train/callbacks/evaluate.h"

namespace sing::train {

/// Fills in the best value so far from the metrics of a run that is continued at `step`.
void restore_board(EvalBoard& board, const std::string& metrics_path, int64_t step);

/// summary.json: best value with step and split, wall time, folder, and what to do next.
void write_summary(const RunFolder& folder, Experiment& experiment, const Trainer& trainer,
                   const EvalBoard& board, const std::string& panel);
/// The same for people.
void show_summary(Console& console, const RunFolder& folder, Experiment& experiment,
                  const Trainer& trainer, const EvalBoard& board, const std::string& panel);

}  // namespace sing::train
