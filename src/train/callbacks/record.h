#pragma once
#include <memory>
#include <optional>

#include "sing/train/events.h"
#include "sing/train/experiment.h"
#include "sing/train/metrics_log.h"
#include "train/callbacks/evaluate.h"
#include "train/callbacks/interval.h"
#include "train/callbacks/rates.h"

namespace sing::train {

/// Writes metrics.jsonl.
class RecordCallback : public Callback {
 public:
  RecordCallback(const Experiment& experiment, const std::string& path, bool resumed,
                 std::shared_ptr<EvalBoard> board, std::shared_ptr<Rates> rates);
  void on_event(Event event, Trainer& trainer) override;
  bool wants_numbers(const Trainer& trainer) const override;
  bool within_step() const override { return false; }

 private:
  const LogOptions options_;
  MetricsLog log_;
  bool resumed_;
  std::shared_ptr<EvalBoard> board_;
  std::shared_ptr<Rates> rates_;
  Interval interval_;
  std::optional<Interval> tensors_;
};

}  // namespace sing::train
