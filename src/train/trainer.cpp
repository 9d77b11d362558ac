#include "sing/train/trainer.h"

#include <algorithm>
#include <cmath>

#include "sing/autograd/autocast.h"
#include "sing/backend/memory.h"
#include "sing/backend/profile.h"
#include "sing/core/error.h"
#include "sing/nn/context.h"
#include "sing/train/console.h"
#include "sing/train/signals.h"
#include "train/deferred.h"
#include "train/feed.h"
#include "train/recent.h"

namespace sing::train {

Callback::~Callback() = default;
bool Callback::wants_numbers(const Trainer&) const {
  return true;
}
bool Callback::within_step() const {
  return true;
}

void Counters::visit_state(StateVisitor& v) {
  v.visit("counters/step", step);
  v.visit("counters/epoch", epoch);
  v.visit("counters/position", position);
  v.visit("counters/micro", micro);
  v.visit("counters/samples", samples);
  v.visit("counters/skipped", skipped);
  v.visit("counters/rollbacks", rollbacks);
  v.visit("counters/spikes", spikes);
  v.visit("counters/last_eval", last_eval);
  v.visit("counters/window_loss", window_loss);
  v.visit("counters/loss", loss);
  v.visit("counters/seconds", seconds);
}

Trainer::Trainer(TrainerOptions options, nn::Model& model, const nn::Loss& loss,
                 data::Loader& loader, optim::Optimizer& optimizer)
    : options_(std::move(options)),
      model_(model),
      loss_(loss),
      loader_(loader),
      feed_(std::make_unique<Feed>(loader, options_.device)),
      optimizer_(optimizer),
      recent_(std::make_unique<Recent>()),
      keeps_statistics_(AveragedStatistics::wanted(optimizer, model)) {
  // A spike that an update has to answer must be known before it.
  if (options_.device.type != DeviceType::cpu && options_.spike.policy == SpikePolicy::warn)
    deferred_ = std::make_unique<Deferred>(options_.device, model, options_.graph);
}

Trainer::~Trainer() = default;

void Trainer::add(std::shared_ptr<Callback> callback) {
  callbacks_.push_back(std::move(callback));
}

void Trainer::notify(Event event) {
  for (const auto& callback : callbacks_) callback->on_event(event, *this);
}

int64_t Trainer::steps_per_epoch() const {
  const int64_t batches = loader_.batches_per_epoch();
  return (batches + options_.accumulate - 1) / options_.accumulate;
}

double Trainer::epoch() const {
  return static_cast<double>(counters_.epoch) +
         static_cast<double>(counters_.position) /
             static_cast<double>(std::max<int64_t>(loader_.samples_per_epoch(), 1));
}

double Trainer::learning_rate() const {
  return optimizer_.learning_rate(counters_.step);
}
double Trainer::median_raw_norm() const {
  return recent_->raw_norm.median();
}

double Trainer::take_data_wait() {
  return std::exchange(data_wait_, 0.0);
}

bool Trainer::ended() const {
  if (options_.total_steps > 0 && counters_.step >= options_.total_steps) return true;
  return options_.total_seconds && counters_.seconds >= *options_.total_seconds;
}

bool Trainer::stop_wanted() const {
  if (stop_signal() != 0) return true;
  return options_.max_time && monotonic_seconds() - started_ >= *options_.max_time;
}

Outcome Trainer::run() {
  started_ = monotonic_seconds();
  seconds_before_ = counters_.seconds;
  outcome_.reset();
  failed_ = false;
  model_.train(true);
  prepare_graph();
  try {
    notify(Event::run_begin);
    while (!outcome_) {
      std::optional<Outcome> end;
      // The window's end is a finished step; only there can a run be complete.
      if (counters_.micro == 0 && ended()) {
        end = Outcome::finished;
      } else if (counters_.micro == 0 && options_.max_steps &&
                 counters_.step >= *options_.max_steps) {
        end = Outcome::max_steps;
      } else if (stop_wanted() || !micro_step()) {
        end = Outcome::stopped;  // also when the loader was interrupted
      }
      // What is queued may have been bad: then there is more to do.
      if (end && settle()) outcome_ = end;
      counters_.seconds = seconds_before_ + monotonic_seconds() - started_;
    }
    notify(Event::run_end);
  } catch (const OutOfMemoryError& error) {
    failed_ = true;
    throw error.at("step " + std::to_string(counters_.step + 1));
  } catch (...) {
    failed_ = true;
    throw;
  }
  return *outcome_;
}

int64_t Trainer::window_samples() const {
  const int64_t left = loader_.samples_per_epoch() - window_start_.position;
  return std::min(left, options_.accumulate * loader_.options().batch_size);
}

bool Trainer::is_spike(double loss) const {
  return recent_->loss.full() && loss > options_.spike.factor * recent_->loss.median();
}

bool Trainer::is_skipped() const {
  return std::any_of(skipped_windows_.begin(), skipped_windows_.end(), [&](const SkippedWindow& w) {
    return w.epoch == window_start_.epoch && w.position == window_start_.position;
  });
}

bool Trainer::micro_step() {
  if (counters_.micro == 0) {
    if (counters_.position == 0) notify(Event::epoch_begin);
    window_start_ = counters_;
    if (deferred_) {
      open_deferred_window();
    } else {
      buffers_before_.clear();
      for (const NamedTensor& buffer : model_.buffers())
        buffers_before_.push_back(buffer.tensor.clone());
    }
  }
  const double asked = monotonic_seconds();
  {
    const backend::ProfileScope phase("data");
    if (!feed_->next(batch_)) return false;
  }
  data_wait_ += monotonic_seconds() - asked;

  const int64_t size = batch_.size();
  const bool left_out = is_skipped();
  if (deferred_ && !left_out) {
    queue_micro_step();
    return true;
  }
  double value = 0;
  if (!left_out) {
    // Dropout masks follow from the number of this forward pass in the run.
    const int64_t number = counters_.epoch * loader_.batches_per_epoch() +
                           counters_.position / loader_.options().batch_size;
    const nn::ForwardContext context(options_.seed, static_cast<uint64_t>(number));
    const backend::MemoryScope memory(backend::MemoryPurpose::activations, "forward");
    Tensor loss;
    {
      const backend::ProfileScope phase("forward");
      const autocast::Guard mixed(
          options_.precision == Precision::bf16 ? std::optional<DType>(DType::bf16) : std::nullopt);
      loss = loss_.forward(model_.forward_batch(batch_), batch_);
    }
    value = loss.item();
    const double weight = static_cast<double>(size) / static_cast<double>(window_samples());
    counters_.window_loss += weight * value;
    if (std::isfinite(value)) {
      // The mean over the window: each micro-batch counts by its samples, a short last one too.
      const backend::ProfileScope phase("backward");
      loss.backward(Tensor::full({}, weight, {.dtype = loss.dtype(), .device = loss.device()}));
    }
    feed_->fetch_ahead();
  }
  ++counters_.micro;
  counters_.position += size;
  counters_.samples += size;
  notify(Event::loss_ready);
  if (!std::isfinite(value)) {
    handle_nonfinite("loss became " + std::string(std::isnan(value) ? "NaN" : "Inf"));
    return true;
  }
  if (counters_.position - window_start_.position >= window_samples()) {
    if (left_out)
      leave_window_out();
    else
      update();
  }
  return true;
}

void Trainer::update() {
  notify(Event::gradients_ready);
  if (is_spike(counters_.window_loss) && handle_spike()) return;
  optim::StepStatus status;
  {
    const backend::ProfileScope phase("update");
    const backend::MemoryScope memory(backend::MemoryPurpose::optimizer, "update");
    status = optimizer_.step({.step = counters_.step});
  }
  if (status == optim::StepStatus::nonfinite) {
    handle_nonfinite("a gradient became NaN or Inf");
    return;
  }
  raw_norm_ = optimizer_.statistics().global_norm;
  counters_.loss = counters_.window_loss;
  recent_->loss.add(counters_.loss);
  recent_->raw_norm.add(raw_norm_);
  optimizer_.zero_grad();
  ++counters_.step;
  counters_.micro = 0;
  counters_.window_loss = 0;
  finish_epoch();
}

void Trainer::finish_epoch() {
  const bool epoch_done = counters_.position >= loader_.samples_per_epoch();
  if (epoch_done) {  // before the callbacks, so that a checkpoint holds one form of each place
    ++counters_.epoch;
    counters_.position = 0;
  }
  counters_.seconds = seconds_before_ + monotonic_seconds() - started_;
  if (!settle_if_wanted()) return;
  notify(Event::step_end);
  if (epoch_done) notify(Event::epoch_end);
}

void Trainer::leave_window_out() {
  // Counts as a step, as a schedule expects, but nothing changes.
  optimizer_.zero_grad();
  ++counters_.step;
  counters_.micro = 0;
  counters_.window_loss = 0;
  finish_epoch();
}

void Trainer::move_loader(const data::LoaderState& state) {
  loader_.resume(state);
  feed_->reset();
}

void Trainer::restored() {
  model_.sync_working();
  move_loader({static_cast<uint64_t>(counters_.epoch), counters_.position});
  if (counters_.micro > 0) {  // in the middle of a window: where it began follows from the count
    window_start_ = counters_;
    window_start_.micro = 0;
    window_start_.window_loss = 0;
    window_start_.position = counters_.position - counters_.micro * loader_.options().batch_size;
    window_start_.samples = counters_.samples - (counters_.position - window_start_.position);
    if (deferred_) {
      deferred_->open = {window_start_, buffers_before_, {}};
      deferred_->loss.fill(counters_.window_loss);
    }
  }
}

void Trainer::visit_state(StateVisitor& visitor) {
  SING_ASSERT(settled());
  if (deferred_ && counters_.micro > 0) counters_.window_loss = deferred_->loss.item();
  counters_.visit_state(visitor);
  recent_->loss.visit_state("recent/loss", visitor);
  recent_->raw_norm.visit_state("recent/raw_norm", visitor);
  loader_.visit_state(visitor);
  int64_t count = static_cast<int64_t>(skipped_windows_.size());
  visitor.visit("skipped/count", count);
  skipped_windows_.resize(static_cast<size_t>(std::clamp<int64_t>(count, 0, 1000)));
  for (size_t i = 0; i < skipped_windows_.size(); ++i) {
    visitor.visit("skipped/" + std::to_string(i) + "/epoch", skipped_windows_[i].epoch);
    visitor.visit("skipped/" + std::to_string(i) + "/position", skipped_windows_[i].position);
  }
  optimizer_.visit_state(visitor);
  if (keeps_statistics_) averaged_statistics_.visit_state(visitor, model_);
  if (counters_.micro > 0) {  // an open window: its partial gradients, and what a NaN goes back to
    optimizer_.table().visit_gradients(visitor);
    const std::vector<NamedTensor> buffers = model_.buffers();
    buffers_before_.resize(buffers.size());
    for (size_t i = 0; i < buffers.size(); ++i) {
      if (!buffers_before_[i].defined()) buffers_before_[i] = buffers[i].tensor.clone();
      visitor.visit("window/" + buffers[i].name, buffers_before_[i]);
    }
  }
}

}  // namespace sing::train
