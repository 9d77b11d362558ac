#include "train/callbacks/evaluate.h"

#include <cmath>

#include "sing/train/progress.h"
#include "sing/train/signals.h"
#include "sing/train/trainer.h"

namespace sing::train {

std::optional<double> EvalBoard::latest_score() const {
  for (const EvalValue& value : latest.values)
    if (value.metric == best_metric) return value.value;
  return std::nullopt;
}

std::string EvalBoard::best_text() const {
  if (!best) return {};
  return best_metric + " " + metric_text(*best, best_is_share) + " @ step " + grouped(best_step);
}

EvaluateCallback::EvaluateCallback(Experiment& experiment, std::shared_ptr<EvalBoard> board,
                                   int64_t limit, StatisticsRequest statistics)
    : experiment_(experiment),
      board_(std::move(board)),
      limit_(limit),
      statistics_(std::move(statistics)),
      interval_(experiment.config().eval.every, experiment.steps_per_epoch()) {
  const EvalOptions& options = experiment.config().eval;
  board_->split = options.split;
  if (!experiment.measures().empty()) {
    board_->best_metric = experiment.measure_names().front();
    metrics::Traits traits = experiment.measures().front()->traits();
    if (const auto& keep = experiment.config().checkpoint.keep_best) {
      const std::string prefix = "eval/" + options.split + "/";
      for (size_t i = 0; i < experiment.measures().size(); ++i) {
        if (prefix + experiment.measure_names()[i] != keep->metric) continue;
        board_->best_metric = experiment.measure_names()[i];
        traits = experiment.measures()[i]->traits();
        traits.higher_is_better = keep->mode == Mode::max;
      }
    }
    board_->higher_is_better = traits.higher_is_better;
    board_->best_is_share = traits.share;
  }
}

bool EvaluateCallback::wants_numbers(const Trainer& trainer) const {
  return !experiment_.measures().empty() && interval_.due(trainer.counters().step);
}

void EvaluateCallback::on_event(Event event, Trainer& trainer) {
  const bool ended = event == Event::run_end && trainer.outcome() != Outcome::stopped;
  if (ended && experiment_.measures().empty()) {  // the last checkpoint is to be used all the same
    const AveragedWeights weights(trainer.optimizer(), trainer.model());
    fit_statistics(trainer, weights);
  }
  if (experiment_.measures().empty()) return;
  const Counters& counters = trainer.counters();
  const bool missing = counters.last_eval != counters.step && counters.step > 0;
  if (event == Event::step_end && interval_.due(counters.step)) run(trainer);
  // A resume right behind a step whose evaluation never came to its end.
  if (event == Event::run_begin && missing && counters.micro == 0 && interval_.due(counters.step))
    run(trainer);
  if (ended && missing) run(trainer);
}

bool EvaluateCallback::fit_statistics(Trainer& trainer, const AveragedWeights& weights) const {
  if (!weights.active() || statistics_.batches == 0 ||
      !AveragedStatistics::wanted(trainer.optimizer(), trainer.model()))
    return true;
  return trainer.averaged_statistics().apply(trainer.model(), trainer.counters().step, statistics_);
}

void EvaluateCallback::run(Trainer& trainer) {
  if (!dataset_) dataset_ = experiment_.source().open(data::split_from_name(board_->split));
  trainer.notify(Event::eval_begin);
  const EvalOptions& options = experiment_.config().eval;
  EvalRequest request(experiment_.batches());
  request.dataset = dataset_;
  if (options.batch_size) request.batch_size = *options.batch_size;
  request.precision = trainer.options().precision;
  request.keep_samples = experiment_.config().log.samples;
  request.limit = limit_;
  request.progress = progress;
  request.interrupted = [] { return stop_signal() != 0; };
  EvalResult result;
  result.complete = false;
  {
    const AveragedWeights weights(trainer.optimizer(), trainer.model());
    if (fit_statistics(trainer, weights))
      result =
          evaluate(trainer.model(), experiment_.measures(), experiment_.measure_names(), request);
    result.averaged = weights.active();
  }
  if (!result.complete) return;  // stopped in the middle: the resume does it again
  board_->latest = std::move(result);
  board_->latest_step = trainer.counters().step;
  trainer.counters().last_eval = trainer.counters().step;
  board_->latest_is_best = false;
  if (const auto score = board_->latest_score(); score && !std::isnan(*score)) {
    const bool better = !board_->best || (board_->higher_is_better ? *score > *board_->best
                                                                   : *score < *board_->best);
    if (better) {
      board_->best = *score;
      board_->best_step = board_->latest_step;
      board_->latest_is_best = true;
    }
  }
  trainer.notify(Event::eval_end);
}

}  // namespace sing::train
