#pragma once
#include <cstdint>

#include "sing/core/export.h"

namespace sing::train {

class Trainer;

/// The ten moments of a run, in the order a run meets them.
enum class Event : uint8_t {
  run_begin,
  epoch_begin,
  loss_ready,       ///< after each forward pass (micro-batch); the loss is known
  gradients_ready,  ///< a whole window of gradients is there; the weights are still the old ones
  step_end,         ///< after each update
  eval_begin,
  eval_end,
  checkpoint_saved,
  epoch_end,
  run_end,  ///< also when the run was stopped or failed
};

/// Everything optional about a run: progress, evaluation, checkpoints, logs. Called in the order of
/// registration, in the training thread.
class SING_API Callback {
 public:
  virtual ~Callback();
  virtual void on_event(Event event, Trainer& trainer) = 0;
  /// Whether it will look at numbers or weights of the step that has just been queued, at step_end
  /// or epoch_end. On a GPU the host then waits for the device; otherwise loss, norms and medians
  /// are those of a step a few before (Trainer::settled).
  virtual bool wants_numbers(const Trainer& trainer) const;
  /// Whether loss_ready and gradients_ready have to come before the update. On a GPU a step is
  /// replayed as a whole (train.graph) only when no callback wants that.
  virtual bool within_step() const;
};

}  // namespace sing::train
