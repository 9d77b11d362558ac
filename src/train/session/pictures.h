#pragma once
#include <memory>
#include <string>

#include "sing/train/events.h"
#include "sing/train/experiment.h"
#include "sing/train/run_folder.h"
#include "train/callbacks/evaluate.h"

namespace sing::train {

/// Writes samples/step-N.png at each evaluation and draws the curves from metrics.jsonl.
class PictureCallback : public Callback {
 public:
  PictureCallback(const RunFolder& folder, std::shared_ptr<EvalBoard> board)
      : folder_(folder), board_(std::move(board)) {}
  void on_event(Event event, Trainer& trainer) override;
  /// Path of the newest panel; empty when there is none.
  const std::string& panel() const { return panel_; }

 private:
  void draw_curves() const;
  const RunFolder& folder_;
  std::shared_ptr<EvalBoard> board_;
  std::string panel_;
};

}  // namespace sing::train
