#pragma once
#include <memory>

#include "sing/train/console.h"
#include "sing/train/events.h"
#include "sing/train/experiment.h"
#include "train/callbacks/evaluate.h"
#include "train/callbacks/rates.h"
#include "train/callbacks/save.h"

namespace sing::train {

/// Shows the run on the console.
class DisplayCallback : public Callback {
 public:
  DisplayCallback(const Experiment& experiment, Console& console, std::shared_ptr<EvalBoard> board,
                  std::shared_ptr<Rates> rates, std::shared_ptr<SaveCallback> save);
  void on_event(Event event, Trainer& trainer) override;
  bool wants_numbers(const Trainer&) const override { return false; }
  bool within_step() const override { return false; }

 private:
  Progress collect(Trainer& trainer) const;
  const Experiment& experiment_;
  Console& console_;
  std::shared_ptr<EvalBoard> board_;
  std::shared_ptr<Rates> rates_;
  std::shared_ptr<SaveCallback> save_;
  int64_t advised_at_ = 0;  // step at which slow data was mentioned
};

}  // namespace sing::train
