#pragma once
#include "sing/data/loader.h"
#include "sing/train/experiment.h"

// Parts of a run by themselves, for finding out what memory they take.
namespace sing::train {

/// Loading of training samples in batches of `batch_size`, the last of which may be smaller.
data::LoaderOptions loading_of(const Experiment& experiment, int64_t batch_size);
/// The training split; its numbers alone where a device makes the batches.
std::shared_ptr<const data::Dataset> training_samples(const Experiment& experiment);
/// Forward and backward of one micro-batch.
void training_pass(Experiment& experiment, const Batch& batch);
/// Forward without a tape.
void evaluation_pass(Experiment& experiment, const Batch& batch);

}  // namespace sing::train
