#include "train/callbacks/display.h"

#include <fmt/format.h>

#include <cmath>

#include "sing/backend/runtime.h"
#include "sing/train/trainer.h"

namespace sing::train {

DisplayCallback::DisplayCallback(const Experiment& experiment, Console& console,
                                 std::shared_ptr<EvalBoard> board, std::shared_ptr<Rates> rates,
                                 std::shared_ptr<SaveCallback> save)
    : experiment_(experiment),
      console_(console),
      board_(std::move(board)),
      rates_(std::move(rates)),
      save_(std::move(save)) {}

Progress DisplayCallback::collect(Trainer& trainer) const {
  const Counters& counters = trainer.counters();
  Progress p;
  p.step = counters.step;
  p.total_steps = trainer.options().total_steps;
  p.epoch = trainer.epoch();
  p.total_epochs = experiment_.total_epochs();
  p.loss = counters.loss;
  p.learning_rate = trainer.optimizer().learning_rate(std::max<int64_t>(counters.step - 1, 0));
  p.raw_norm = trainer.raw_norm();
  const double median = trainer.median_raw_norm();
  p.raw_norm_ratio = median > 0 ? p.raw_norm / median : 1;
  p.samples_per_second = rates_->samples_per_second;
  p.data_wait = rates_->data_wait;
  p.elapsed = counters.seconds;
  p.memory_gib = static_cast<double>(backend::runtime(trainer.options().device).memory().peak) /
                 (1024.0 * 1024.0 * 1024.0);
  p.best = board_->best_text();
  if (save_ && save_->interval().by_time())
    p.next_checkpoint = std::max(0.0, save_->interval().seconds_left());
  // All time counts, evaluation and saving too, and the time before a resume: so the estimate is
  // right at once.
  const int64_t steps = counters.step;
  if (p.total_steps > 0 && steps > 0)
    p.remaining =
        counters.seconds / static_cast<double>(steps) * static_cast<double>(p.total_steps - steps);
  return p;
}

void DisplayCallback::on_event(Event event, Trainer& trainer) {
  const Counters& counters = trainer.counters();
  if (event == Event::step_end && console_.progress_due()) {
    console_.progress(collect(trainer));
    if (rates_->data_wait > 0.1 && counters.step > 50 && advised_at_ == 0) {
      advised_at_ = counters.step;  // said once
      console_.warning(
          "W0301",
          fmt::format("{:.0f} % of the time goes into waiting for data", 100 * rates_->data_wait),
          "raise data.workers or data.prefetch");
    }
  }
  if (event == Event::eval_end) {
    Fields fields{{"step", std::to_string(counters.step)}, {"split", board_->split}};
    for (const EvalValue& value : board_->latest.values)
      fields.emplace_back(value.metric, fmt::format("{:.4g}", value.value));
    if (board_->latest.averaged) fields.emplace_back("weights", "averaged");
    fields.emplace_back("best", board_->latest_is_best ? "1" : "0");
    console_.event(
        "eval", fields,
        fmt::format("eval  epoch {:<6.4g} {}{}{}", trainer.epoch(), eval_text(board_->latest),
                    board_->latest.averaged ? "   averaged weights" : "",
                    board_->latest_is_best ? "   best so far, saved" : ""));
  }
}

}  // namespace sing::train
