#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "sing/train/averaged_weights.h"
#include "sing/train/evaluation.h"
#include "sing/train/events.h"
#include "sing/train/experiment.h"
#include "train/callbacks/interval.h"

namespace sing::train {

/// The newest evaluation and the best one so far, for those who show, record or keep them.
struct EvalBoard {
  EvalResult latest;
  int64_t latest_step = -1;
  std::string split;
  std::string best_metric;  ///< what "best" goes by; empty without metrics
  bool higher_is_better = true, best_is_share = false;
  std::optional<double> best;
  int64_t best_step = -1;
  bool latest_is_best = false;

  /// Value of best_metric in the latest evaluation.
  std::optional<double> latest_score() const;
  /// "depth_accuracy 81.2 % @ step 4 704"; empty before the first.
  std::string best_text() const;
};

/// Evaluates when it is due, at the end, and after a resume that missed one: the averaged weights
/// when the optimizer has some.
class EvaluateCallback : public Callback {
 public:
  /// `limit`: samples of an evaluation, 0 for all. `statistics`: for averaged weights.
  EvaluateCallback(Experiment& experiment, std::shared_ptr<EvalBoard> board, int64_t limit,
                   StatisticsRequest statistics);
  void on_event(Event event, Trainer& trainer) override;
  bool wants_numbers(const Trainer& trainer) const override;
  bool within_step() const override { return false; }
  /// Told how many samples of an evaluation are done.
  std::function<void(int64_t done, int64_t total)> progress;

 private:
  void run(Trainer& trainer);
  bool fit_statistics(Trainer& trainer, const AveragedWeights& weights) const;
  Experiment& experiment_;
  std::shared_ptr<EvalBoard> board_;
  std::shared_ptr<const data::Dataset> dataset_;
  int64_t limit_;
  StatisticsRequest statistics_;
  Interval interval_;
};

}  // namespace sing::train
