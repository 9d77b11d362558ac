#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "sing/core/export.h"
#include "sing/train/experiment.h"

namespace sing::train {

/// Tensor memory of a training run, in bytes. What grows with the batch is a straight line through
/// two small batches that were really run.
struct SING_API MemoryPlan {
  int64_t weights = 0, gradients = 0, optimizer = 0;
  double activations = 0, activations_per_sample = 0;  ///< peak of a pass, workspace included
  double batches = 0, batches_per_sample = 0;          ///< what the loader makes ahead

  double activations_of(int64_t batch_size) const;
  double batches_of(int64_t batch_size) const;
  /// Peak while training with micro-batches of `batch_size`.
  double total(int64_t batch_size) const;
};

/// Initialises the model, makes an optimizer and trains on a few samples; all of it but the model's
/// weights is given back.
SING_API MemoryPlan plan_memory(Experiment& experiment);

/// What to do about a training run that needs more memory than there is: "fits: data.batch_size:
/// 128 with train.accumulate: 2 (the same update), or train.recompute: all (slower)". A proposal
/// was tried: loader, optimizer, one pass and update really fit at this moment. For use after the
/// run's own memory was given back; leaves the model with useless weights.
SING_API std::string what_fits(Experiment& experiment);

/// The same for an evaluation: "fits: eval.batch_size: 16".
SING_API std::string what_fits_in_evaluation(Experiment& experiment);

}  // namespace sing::train
