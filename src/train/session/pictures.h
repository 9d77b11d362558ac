#pragma once
#include <memory>
#include <string>

#include "sing/train/events.h"
#include "sing/train/experiment.h"
#include "sing/train/run_folder.h"
#include "train/callbacks/evaluate.h"

namespace sing::train {

/// Says when the curves are due, so that drawing them, which reads the whole metrics file, takes at
/// most a twentieth of a run however long that file has become. Times in seconds.
class DrawBudget {
 public:
  bool due(double now) const { return now >= next_; }
  void drawn(double began, double ended) { next_ = ended + kPause * (ended - began); }

 private:
  static constexpr double kPause = 19;
  double next_ = 0;
};

/// Writes samples/step-N.png at each evaluation and draws the curves from metrics.jsonl, at the
/// evaluations at which they are due and at the end.
class PictureCallback : public Callback {
 public:
  PictureCallback(const RunFolder& folder, std::shared_ptr<EvalBoard> board)
      : folder_(folder), board_(std::move(board)) {}
  void on_event(Event event, Trainer& trainer) override;
  bool wants_numbers(const Trainer&) const override { return false; }
  bool within_step() const override { return false; }
  /// Path of the newest panel; empty when there is none.
  const std::string& panel() const { return panel_; }

 private:
  void draw_curves() const;
  const RunFolder& folder_;
  std::shared_ptr<EvalBoard> board_;
  std::string panel_;
  DrawBudget budget_;
};

}  // namespace sing::train
