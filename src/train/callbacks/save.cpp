#include "train/callbacks/save.h"

#include "sing/core/error.h"
#include "sing/train/trainer.h"

namespace sing::train {

SaveCallback::SaveCallback(const Experiment& experiment, CheckpointStore& store, Console& console,
                           std::shared_ptr<EvalBoard> board, JsonValue facts)
    : store_(store),
      console_(console),
      board_(std::move(board)),
      facts_(std::move(facts)),
      interval_(experiment.config().checkpoint.every, experiment.steps_per_epoch()) {}

bool SaveCallback::wants_numbers(const Trainer& trainer) const {
  return interval_.due(trainer.counters().step);
}

void SaveCallback::on_event(Event event, Trainer& trainer) {
  const Counters& counters = trainer.counters();
  switch (event) {
    case Event::run_begin:
      if (store_.steps().empty()) {
        save(trainer, true);
      } else {
        saved_step_ = counters.step;
        saved_micro_ = counters.micro;
        saved_statistics_ = trainer.averaged_statistics().step();
      }
      break;
    case Event::step_end:
      // By the clock it may have become due since the trainer asked; then at the next step.
      if (interval_.due(counters.step) && trainer.settled()) save(trainer, false);
      break;
    case Event::eval_end:
      if (board_->latest_is_best) {
        saved_step_ = -1;  // again, with its score
        save(trainer, false);
      }
      break;
    case Event::run_end:
      save(trainer, true);
      break;
    default:
      break;
  }
}

void SaveCallback::save(Trainer& trainer, bool must) {
  const Counters& counters = trainer.counters();
  const int64_t statistics = trainer.averaged_statistics().step();
  if (saved_step_ == counters.step && saved_micro_ == counters.micro &&
      saved_statistics_ == statistics)
    return;
  std::optional<double> score;
  if (board_->latest_step == counters.step && counters.micro == 0) score = board_->latest_score();
  try {
    const CheckpointContents contents = checkpoint_contents(trainer, facts_);
    const SavedCheckpoint saved = store_.save(counters.step, contents, score);
    if (saved_step_ < 0 && counters.step == 0) store_.check_room(saved.bytes, 2);
    failures_.succeeded();
    saved_step_ = counters.step;
    saved_micro_ = counters.micro;
    saved_statistics_ = statistics;
    last_path_ = saved.path;
    interval_.done();
  } catch (const CheckpointError& error) {
    if (must) throw;
    interval_.done();  // tried again at the next interval
    console_.warning("W0404", std::string("checkpoint not saved: ") + error.what() +
                                  "; training goes on, the older ones are untouched");
    failures_.failed(error);
    return;
  }
  trainer.notify(Event::checkpoint_saved);
}

}  // namespace sing::train
