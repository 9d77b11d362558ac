#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "sing/core/export.h"
#include "sing/train/experiment.h"

namespace sing::train {

/// Memory of a training run, in bytes, as blocks of the CPU's allocator. Counted: all tensors, and
/// the bytes of a checkpoint while it is read back. Not counted: workspaces within a kernel or an
/// optimizer step, and the program with its libraries and threads (some 0.03 GiB; some 0.5 GiB of
/// context and libraries on a GPU).
struct SING_API MemoryPlan {
  int64_t weights = 0, gradients = 0, optimizer = 0;
  int64_t batches = 0;      ///< what the loader makes ahead
  int64_t activations = 0;  ///< peak of forward and backward
  int64_t reserve = 0;      ///< evaluation beside it, and blocks that wait for their size to return
  int64_t checkpoint = 0;   ///< weights and optimizer state once more, while one is read back

  /// The peak of what tensors hold while training.
  int64_t tensors() const { return weights + gradients + optimizer + batches + activations; }
  int64_t total() const { return tensors() + reserve + checkpoint; }
};

/// Rehearses (sing/backend/rehearsal.h) a run of `config` with micro-batches of `batch_size`
/// (default: the config's): initialisation, two passes forward and backward, an evaluation. Takes
/// no memory for tensors, opens no data set and needs milliseconds. For another `device` than the
/// CPU, which is not asked: its precision and its two batches on the way. Shapes are checked on the
/// way: throws ShapeError.
SING_API MemoryPlan plan_memory(const ExperimentConfig& config,
                                std::optional<int64_t> batch_size = {}, Device device = {});

/// What to do about a training run that needs more memory than there is: "fits: data.batch_size:
/// 128 with train.accumulate: 2 (the same update), or train.recompute: all (slower)". A proposal
/// was tried: loader, optimizer, one pass and update really fit at this moment. For use after the
/// run's own memory was given back; leaves the model with useless weights.
SING_API std::string what_fits(Experiment& experiment);

/// The same for an evaluation: "fits: eval.batch_size: 16".
SING_API std::string what_fits_in_evaluation(Experiment& experiment);

}  // namespace sing::train
