#include "train/callbacks/record.h"

#include "sing/backend/runtime.h"
#include "sing/train/trainer.h"

namespace sing::train {

RecordCallback::RecordCallback(const Experiment& experiment, const std::string& path, bool resumed,
                               std::shared_ptr<EvalBoard> board, std::shared_ptr<Rates> rates)
    : options_(experiment.config().log),
      log_(path),
      resumed_(resumed),
      board_(std::move(board)),
      rates_(std::move(rates)),
      interval_(options_.every, experiment.steps_per_epoch()) {
  if (options_.tensors_every)
    tensors_.emplace(*options_.tensors_every, experiment.steps_per_epoch());
}

bool RecordCallback::wants_numbers(const Trainer& trainer) const {
  const int64_t step = trainer.counters().step;
  return step == 1 || interval_.due(step) || (tensors_ && tensors_->due(step));
}

void RecordCallback::on_event(Event event, Trainer& trainer) {
  const Counters& counters = trainer.counters();
  const MetricsLog::Position position{counters.step, trainer.epoch(), counters.samples};
  if (event == Event::run_begin && resumed_) log_.resume_at(counters.step);
  if (event == Event::eval_end) {
    MetricsLog::Values values;
    for (const EvalValue& value : board_->latest.values)
      values.emplace_back("eval/" + board_->split + "/" + value.metric, value.value);
    log_.write(position, values);
  }
  if (event != Event::step_end) return;
  const bool tensors = tensors_ && tensors_->due(counters.step);
  if (!tensors && !interval_.due(counters.step) && counters.step != 1) return;
  constexpr double kGib = 1024.0 * 1024.0 * 1024.0;
  MetricsLog::Values values = {
      {"train/loss", counters.loss},
      {"train/lr", trainer.optimizer().learning_rate(counters.step - 1)},
      {"train/grad_norm_raw", trainer.raw_norm()},
  };
  if (rates_->samples_per_second > 0) {
    values.emplace_back("perf/samples_per_s", rates_->samples_per_second);
    values.emplace_back("perf/step_ms", rates_->step_ms);
    values.emplace_back("perf/data_wait", rates_->data_wait);
  }
  values.emplace_back(
      "mem/peak_gib",
      static_cast<double>(backend::runtime(trainer.options().device).memory().peak) / kGib);
  for (auto& gauge : trainer.model().gauges()) values.push_back(std::move(gauge));
  if (tensors) {
    const optim::GradientStatistics& statistics = trainer.optimizer().statistics();
    for (size_t i = 0; i < statistics.norms.size(); ++i)
      values.emplace_back("sing/raw_norm/" + trainer.optimizer().table().meta(i).name,
                          statistics.norms[i]);
  }
  log_.write(position, values);
}

}  // namespace sing::train
