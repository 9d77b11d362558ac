#include "train/callbacks/norm_growth.h"

#include <fmt/core.h>

#include <cmath>

#include "sing/train/trainer.h"

namespace sing::train {

std::optional<std::string> NormGrowth::observe(const optim::Optimizer& optimizer) {
  const optim::ParamTable& table = optimizer.table();
  double squares = 0;
  for (size_t i = 0; i < table.size(); ++i)
    if ((table.meta(i).tags & static_cast<uint32_t>(nn::Tag::norm)) != 0)
      squares += optimizer.statistics().norms[i] * optimizer.statistics().norms[i];
  sum_ += std::sqrt(squares);
  if (++steps_ < kWindow || told_) return std::nullopt;
  const double mean = sum_ / static_cast<double>(kWindow);
  sum_ = 0;
  steps_ = 0;
  if (last_ > 0 && mean > last_) {
    ++rises_;
  } else {
    rises_ = 0;
    first_ = mean;
  }
  last_ = mean;
  if (rises_ < kRises || mean < kFactor * first_) return std::nullopt;
  told_ = true;
  return fmt::format(
      "raw gradient norms of the norm tensors keep growing: {:.1f}x in {} steps; with sing they "
      "take "
      "full steps all the same; try optimizer.groups: [{{match: {{tags: [norm]}}, freeze: true}}]",
      mean / first_, rises_ * kWindow);
}

void NormGrowthCallback::on_event(Event event, Trainer& trainer) {
  if (event != Event::step_end || !trainer.settled()) return;
  const auto text = growth_.observe(trainer.optimizer());
  if (text && trainer.warn) trainer.warn("W0531", *text);
}

}  // namespace sing::train
