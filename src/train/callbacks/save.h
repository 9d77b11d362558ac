#pragma once
#include <memory>
#include <string>

#include "sing/train/checkpoint_state.h"
#include "sing/train/checkpoint_store.h"
#include "sing/train/console.h"
#include "sing/train/events.h"
#include "sing/train/experiment.h"
#include "train/callbacks/evaluate.h"
#include "train/callbacks/interval.h"

namespace sing::train {

/// Writes checkpoints: one before the first step (so that a run which cannot save ends at once),
/// then when due, for a new best, and whenever the run ends.
class SaveCallback : public Callback {
 public:
  SaveCallback(const Experiment& experiment, CheckpointStore& store, Console& console,
               std::shared_ptr<EvalBoard> board, JsonValue facts);
  void on_event(Event event, Trainer& trainer) override;
  bool wants_numbers(const Trainer& trainer) const override;
  bool within_step() const override { return false; }
  /// Now, if the present state is not saved already (statistics for averaged weights included).
  /// Failures are counted, not thrown, until too many came in a row; `must`: thrown at once.
  void save(Trainer& trainer, bool must);
  const Interval& interval() const { return interval_; }
  const std::string& last_path() const { return last_path_; }

 private:
  CheckpointStore& store_;
  Console& console_;
  std::shared_ptr<EvalBoard> board_;
  JsonValue facts_;
  Interval interval_;
  SaveFailures failures_;
  int64_t saved_step_ = -1, saved_micro_ = -1, saved_statistics_ = -1;
  std::string last_path_;
};

}  // namespace sing::train
