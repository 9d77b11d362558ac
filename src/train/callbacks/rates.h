#pragma once
#include <cstdint>
#include <memory>

#include "sing/train/events.h"

namespace sing::train {

/// How fast it goes: measured over windows of at least half a second, first step left out, pauses
/// for evaluation and saving not counted.
struct Rates {
  double samples_per_second = 0, step_ms = 0;
  double data_wait = 0;      ///< share of the time spent waiting for the loader
  double pause_seconds = 0;  ///< evaluation and saving, in all
};

class RatesCallback : public Callback {
 public:
  explicit RatesCallback(std::shared_ptr<Rates> rates) : rates_(std::move(rates)) {}
  void on_event(Event event, Trainer& trainer) override;
  bool wants_numbers(const Trainer&) const override { return false; }
  bool within_step() const override { return false; }

 private:
  void open(Trainer& trainer);
  std::shared_ptr<Rates> rates_;
  double began_ = 0, paused_at_ = 0, pauses_ = 0, wait_ = 0;
  int64_t samples_ = 0, steps_ = 0;
  bool running_ = false;
};

}  // namespace sing::train
