// What the trainer does about losses and gradients that are not finite, and about spikes.
#include <cmath>
#include <cstdio>

#include "sing/core/error.h"
#include "sing/train/trainer.h"
#include "train/recent.h"

namespace sing::train {
namespace {

constexpr int64_t kMaxSkips = 10, kMaxRollbacks = 3;

/// "" when every element is finite, else "NaN" or "Inf", the first kind met.
std::string bad_kind(const Tensor& tensor) {
  if (!tensor.defined() || !is_floating(tensor.dtype())) return "";
  for (const double value : tensor.to_vector())
    if (!std::isfinite(value)) return std::isnan(value) ? "NaN" : "Inf";
  return "";
}

}  // namespace

std::string Trainer::first_bad_value() const {
  if (const std::string kind = bad_kind(batch_.inputs()); !kind.empty())
    return "first bad value: " + kind + " in the input";
  if (const std::string kind = bad_kind(batch_.targets()); !kind.empty())
    return "first bad value: " + kind + " in the targets";
  for (const nn::Parameter* parameter : model_.parameters())
    if (const std::string kind = bad_kind(parameter->value); !kind.empty())
      return "first bad value: " + kind + " in the weight " + parameter->name;
  if (deferred_) {  // gradients of another step by now
    const int first = optimizer_.statistics().first_nonfinite;
    if (first >= 0)
      return "first bad value: NaN or Inf in the gradient of " +
             optimizer_.table().meta(static_cast<size_t>(first)).name;
    return "inputs, targets and weights are finite: it arose in the forward pass";
  }
  // Backward passes run from the last layer to the first, so the last tensor was hit first.
  const std::vector<nn::Parameter*> parameters = model_.parameters();
  for (auto it = parameters.rbegin(); it != parameters.rend(); ++it)
    if (const std::string kind = bad_kind((*it)->grad()); !kind.empty())
      return "first bad value: " + kind + " in the gradient of " + (*it)->name;
  return "inputs, targets, weights and gradients are finite: it arose in the forward pass";
}

void Trainer::reset_window() {
  const Counters seen = counters_;
  counters_ = window_start_;
  counters_.skipped = seen.skipped;
  counters_.rollbacks = seen.rollbacks;
  optimizer_.zero_grad();
  const std::vector<NamedTensor> buffers = model_.buffers();
  for (size_t i = 0; i < buffers.size() && i < buffers_before_.size(); ++i) {
    Tensor buffer = buffers[i].tensor;
    buffer.copy_from(buffers_before_[i]);
  }
}

void Trainer::handle_nonfinite(const std::string& what) {
  const std::string bad = first_bad_value();
  const std::string kept = keep_batch ? keep_batch("nan") : "";
  const int64_t step = window_start_.step;
  std::string text = what + " at step " + std::to_string(step + 1) +
                     "; weights are those of step " + std::to_string(step);
  if (!kept.empty()) text += ", batch kept in " + kept;
  if (options_.on_nonfinite == NonfinitePolicy::skip && skip_window("W0501", text)) return;
  if (options_.on_nonfinite == NonfinitePolicy::rollback && roll_back("W0502", text)) return;
  const bool exhausted = options_.on_nonfinite != NonfinitePolicy::stop;
  reset_window();
  throw DivergedError(text, bad,
                      exhausted
                          ? "train.on_nonfinite is exhausted: lower optimizer.host.lr, or add "
                            "sing to optimizer.transforms"
                          : "lower optimizer.host.lr, add sing to optimizer.transforms, or set "
                            "train.on_nonfinite: skip",
                      exhausted ? "E0502" : "E0501");
}

std::string Trainer::spike_text(double loss) const {
  char number[64];
  std::snprintf(number, sizeof number, "%.4g is %.1f", loss, loss / recent_->loss.median());
  const std::string kept = keep_batch ? keep_batch("spike") : "";
  std::string text = "spike at step " + std::to_string(counters_.step + 1) + ": loss " + number +
                     " times the median";
  if (!kept.empty()) text += ", batch kept in " + kept;
  return text;
}

bool Trainer::handle_spike() {
  ++counters_.spikes;
  const std::string text = spike_text(counters_.window_loss);
  switch (options_.spike.policy) {
    case SpikePolicy::warn:
      break;
    case SpikePolicy::skip:
      if (skip_window("W0513", text)) return true;
      break;  // enough left out: from here on spikes are only marked
    case SpikePolicy::rollback:
      if (roll_back("W0514", text)) return true;
      break;
    case SpikePolicy::stop:
      reset_window();
      throw DivergedError(text, {}, "train.spike.policy is stop", "E0504");
  }
  if (warn) warn("W0512", text);
  return false;
}

bool Trainer::skip_window(const char* code, const std::string& text) {
  if (counters_.skipped >= kMaxSkips) return false;
  const int64_t spikes = counters_.spikes;
  const int64_t end = window_start_.position + window_samples();
  reset_window();
  counters_.spikes = spikes;
  ++counters_.skipped;
  counters_.samples += end - counters_.position;
  counters_.position = end;
  if (warn)
    warn(code, text + "; this update is left out (" + std::to_string(counters_.skipped) + " of " +
                   std::to_string(kMaxSkips) + ")");
  if (end < loader_.samples_per_epoch())
    move_loader({static_cast<uint64_t>(counters_.epoch), end});
  else
    move_loader({static_cast<uint64_t>(counters_.epoch) + 1, 0});
  leave_window_out();
  return true;
}

bool Trainer::roll_back(const char* code, const std::string& text) {
  if (counters_.rollbacks >= kMaxRollbacks || !restore_last) return false;
  // What must survive the way back, or the same window would be met for ever.
  const int64_t rollbacks = counters_.rollbacks + 1, skipped = counters_.skipped;
  std::vector<SkippedWindow> windows = skipped_windows_;
  windows.push_back({window_start_.epoch, window_start_.position});
  if (!restore_last()) return false;
  optimizer_.zero_grad();
  counters_.rollbacks = rollbacks;
  counters_.skipped = skipped;
  skipped_windows_ = std::move(windows);
  if (warn)
    warn(code, text + "; back to step " + std::to_string(counters_.step) +
                   ", this window will be passed over (" + std::to_string(rollbacks) + " of " +
                   std::to_string(kMaxRollbacks) + ")");
  return true;
}

}  // namespace sing::train
