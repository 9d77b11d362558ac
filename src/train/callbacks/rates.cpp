#include "train/callbacks/rates.h"

#include "sing/train/console.h"
#include "sing/train/trainer.h"

namespace sing::train {

void RatesCallback::open(Trainer& trainer) {
  running_ = true;
  began_ = monotonic_seconds();
  pauses_ = 0;
  wait_ = 0;
  trainer.take_data_wait();
  samples_ = trainer.counters().samples;
  steps_ = trainer.counters().step;
}

void RatesCallback::on_event(Event event, Trainer& trainer) {
  const double now = monotonic_seconds();
  switch (event) {
    case Event::eval_begin:
      paused_at_ = now;
      break;
    case Event::eval_end:
      pauses_ += now - paused_at_;
      rates_->pause_seconds += now - paused_at_;
      break;
    case Event::step_end: {
      if (!running_) {  // the first step builds caches
        open(trainer);
        break;
      }
      const double seconds = now - began_ - pauses_;
      wait_ += trainer.take_data_wait();
      if (seconds < 0.5) break;
      const Counters& counters = trainer.counters();
      if (counters.step <= steps_) {  // after a roll-back
        open(trainer);
        break;
      }
      rates_->samples_per_second = static_cast<double>(counters.samples - samples_) / seconds;
      rates_->step_ms = 1000 * seconds / static_cast<double>(counters.step - steps_);
      rates_->data_wait = wait_ / seconds;
      open(trainer);
      break;
    }
    default:
      break;
  }
}

}  // namespace sing::train
