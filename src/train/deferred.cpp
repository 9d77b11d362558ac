// Steps of a device that the host does not wait for: they are queued, replayed from a graph where
// that is possible, and accounted for later.
#include "train/deferred.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/copies.h"
#include "sing/autograd/autocast.h"
#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"
#include "sing/backend/profile.h"
#include "sing/core/error.h"
#include "sing/nn/context.h"
#include "sing/ops/arithmetic.h"
#include "sing/train/console.h"
#include "train/feed.h"
#include "train/recent.h"

namespace sing::train {
namespace {

/// The first element, in the rank of the tensor.
Tensor first_element(Tensor tensor) {
  for (int d = 0; d < tensor.rank(); ++d) tensor = tensor.narrow(d, 0, 1);
  return tensor;
}

/// A loss that is not finite leaves the update out also where its gradients happen to be finite:
/// 0 times it is 0, or NaN, and goes into one gradient.
void guard_by_loss(optim::ParamTable& table, const Tensor& loss) {
  for (size_t i = 0; i < table.size(); ++i) {
    if (!table.present(i) || table.meta(i).numel() == 0) continue;
    Tensor place = first_element(table.gradient(i));
    autograd::accumulate(place, ops::mul_scalar(loss, 0).expand(place.shape()));
    return;
  }
}

}  // namespace

BufferCopies::BufferCopies(const nn::Model& model, Device device, int64_t windows)
    : device_(device) {
  const std::vector<NamedTensor> buffers = model.buffers();
  for (int64_t w = 0; w < windows && !buffers.empty(); ++w) {
    std::vector<Tensor>& copies = copies_.emplace_back();
    std::vector<kernels::CopyItem> items;
    for (const NamedTensor& buffer : buffers) {
      SING_ASSERT(buffer.tensor.is_contiguous());
      Tensor& copy = copies.emplace_back(empty_like(buffer.tensor));
      items.push_back(
          {copy.mutable_raw(), buffer.tensor.raw(), checked_bytes(copy.numel(), copy.dtype())});
    }
    const auto* bytes = reinterpret_cast<const uint8_t*>(items.data());
    const std::vector<uint8_t> table(bytes, bytes + items.size() * sizeof(kernels::CopyItem));
    items_.push_back(Tensor::from(table, {static_cast<int64_t>(table.size())}).to(device));
  }
}

std::vector<Tensor> BufferCopies::take() {
  if (copies_.empty()) return {};
  const size_t at = std::exchange(next_, (next_ + 1) % copies_.size());
  const Tensor& items = items_[at];
  kernels::data_copy_many(device_.type,
                          {static_cast<const kernels::CopyItem*>(items.raw()),
                           items.numel() / static_cast<int64_t>(sizeof(kernels::CopyItem)),
                           {}});
  return copies_[at];
}

Trainer::Deferred::Deferred(Device where, const nn::Model& model, bool with_graph)
    : device(where),
      runtime(backend::runtime(where)),
      copies(model, where, kWindows + 1),  // those queued and the open one
      loss(Tensor::zeros({}, {.device = where})),
      epoch(Tensor::zeros({1}, {.dtype = DType::i64, .device = where})),
      losses(static_cast<float*>(runtime.allocate_host(kWindows * sizeof(float)))),
      graph(with_graph && runtime.can_capture()) {}

Trainer::Deferred::~Deferred() {
  try {
    runtime.synchronize(runtime.stream(0));  // losses may still be on their way
  } catch (const Error&) {
    // A device that failed has copied all it ever will; the error is on its way already.
  }
  runtime.release_host(losses);
}

bool Trainer::Deferred::is_known(uint64_t update) {
  if (std::exchange(signature, update) == update) return true;
  replays[1].reset();
  return false;
}

void Trainer::prepare_graph() {
  if (!deferred_ || !deferred_->graph) return;
  for (const auto& callback : callbacks_) deferred_->graph &= !callback->within_step();
}

int64_t Trainer::graph_nodes() const {
  int64_t nodes = 0;
  if (deferred_)
    for (const auto& replay : deferred_->replays) nodes += replay ? replay->nodes() : 0;
  return nodes;
}

void Trainer::open_deferred_window() {
  Deferred& d = *deferred_;
  d.open.start = window_start_;
  d.open.samples.clear();
  d.open.buffers = buffers_before_ = d.copies.take();
  d.loss.fill(0);
}

/// Forward and backward of the batch at hand.
void Trainer::queue_pass(double weight, int64_t number) {
  const nn::ForwardContext context(options_.seed, static_cast<uint64_t>(number));
  const backend::MemoryScope memory(backend::MemoryPurpose::activations, "forward");
  Tensor loss;
  {
    const backend::ProfileScope phase("forward");
    const autocast::Guard mixed(
        options_.precision == Precision::bf16 ? std::optional<DType>(DType::bf16) : std::nullopt);
    loss = loss_.forward(model_.forward_batch(batch_), batch_);
  }
  const backend::ProfileScope phase("backward");
  loss.backward(Tensor::full({}, weight, {.dtype = loss.dtype(), .device = loss.device()}));
  const autograd::NoGradGuard no_grad;
  autograd::accumulate(deferred_->loss, ops::mul_scalar(loss.detach(), weight));
}

/// The update of a window whose gradients are there and that the optimizer was prepared for.
void Trainer::queue_update() {
  const backend::ProfileScope phase("update");
  const backend::MemoryScope memory(backend::MemoryPurpose::optimizer, "update");
  const autograd::NoGradGuard no_grad;
  guard_by_loss(optimizer_.table(), deferred_->loss);
  optimizer_.launch_step();
  optimizer_.zero_grad();
}

/// Captures the micro-batch if that was not done yet, and queues its replay. False when the device
/// refuses; nothing is queued then.
bool Trainer::replay(bool last, double weight, int64_t number) {
  Deferred& d = *deferred_;
  std::unique_ptr<backend::Replay>& replay = d.replays[last ? 1 : 0];
  if (!replay) {
    try {
      replay = d.runtime.capture(
          [&] {
            queue_pass(weight, number);
            if (last) queue_update();
          },
          reinterpret_cast<const uint64_t*>(d.epoch.data<int64_t>()));
    } catch (const Error& error) {
      d.graph = false;
      const std::string where = error.where().empty() ? "" : " (" + error.where() + ")";
      if (warn)
        warn("W0225", "the step could not be captured into a graph: " + std::string(error.what()) +
                          where + "; training goes on without one");
      return false;
    }
  }
  d.epoch.fill(static_cast<double>(number));
  replay->launch();
  return true;
}

void Trainer::queue_micro_step() {
  Deferred& d = *deferred_;
  const int64_t size = batch_.size(), whole = loader_.options().batch_size;
  const int64_t number = counters_.epoch * loader_.batches_per_epoch() + counters_.position / whole;
  const double weight = static_cast<double>(size) / static_cast<double>(window_samples());
  const bool last = counters_.position + size - window_start_.position >= window_samples();
  const bool usual = window_samples() == options_.accumulate * whole;
  d.open.samples.push_back(feed_->samples());

  bool prepared = false;
  bool captured =
      d.graph && usual && d.eager_windows >= Deferred::kEagerWindows && !backend::profiling();
  if (captured && last) {
    optimizer_.prepare_step({.step = counters_.step, .same_gradients = true});
    prepared = true;
    captured = d.is_known(optimizer_.launch_signature());
  }
  const bool queued = captured && replay(last, weight, number);
  if (!queued) queue_pass(weight, number);
  ++counters_.micro;
  counters_.position += size;
  counters_.samples += size;
  notify(Event::loss_ready);
  if (last) {
    notify(Event::gradients_ready);
    if (!queued) {
      if (!prepared) optimizer_.prepare_step({.step = counters_.step});
      d.is_known(optimizer_.launch_signature());
      queue_update();
      if (usual) ++d.eager_windows;
    }
  }
  const double asked = monotonic_seconds();
  feed_->fetch_ahead();  // waits only where the loader is slower than the device
  data_wait_ += monotonic_seconds() - asked;
  if (last) close_deferred_window();
}

void Trainer::close_deferred_window() {
  Deferred& d = *deferred_;
  d.runtime.copy(d.losses + d.queue.size(), d.loss.raw(), sizeof(float),
                 backend::CopyKind::device_to_host, d.runtime.stream(0));
  d.queue.push_back(std::exchange(d.open, {}));
  ++counters_.step;
  counters_.micro = 0;
  counters_.window_loss = 0;
  finish_epoch();
}

bool Trainer::settled() const {
  return !deferred_ || deferred_->queue.empty();
}

bool Trainer::settle_if_wanted() {
  if (settled()) return true;
  const auto wants = [&](const auto& callback) { return callback->wants_numbers(*this); };
  const bool full = static_cast<int64_t>(deferred_->queue.size()) >= Deferred::kWindows;
  const bool regular = counters_.step % Deferred::kWindows == 0;
  if (!full && !regular && std::ranges::none_of(callbacks_, wants)) return true;
  return settle();
}

/// A loss that is known only now: medians, and a word about a spike.
void Trainer::account(const Window& window, double loss) {
  counters_.loss = loss;
  if (is_spike(loss)) {
    ++counters_.spikes;
    // What is said and kept is about the step of the spike.
    const Counters now = std::exchange(counters_, window.start);
    const auto epoch = static_cast<uint64_t>(window.start.epoch);
    const Batch at_hand = std::exchange(batch_, feed_->remake(window.samples.back(), epoch));
    const std::string text = spike_text(loss);
    counters_ = now;
    batch_ = at_hand;
    if (warn) warn("W0512", text);
  }
  recent_->loss.add(loss);
}

bool Trainer::settle() {
  if (settled()) return true;
  Deferred& d = *deferred_;
  const bool applied = optimizer_.finish_step() == optim::StepStatus::applied;
  std::vector<Window> queue = std::exchange(d.queue, {});
  const size_t good =
      applied ? queue.size() : queue.size() - static_cast<size_t>(optimizer_.left_out());
  for (size_t i = 0; i < good; ++i) account(queue[i], static_cast<double>(d.losses[i]));
  if (good == queue.size()) {
    raw_norm_ = optimizer_.statistics().global_norm;
    if (counters_.step % Deferred::kWindows == 0) recent_->raw_norm.add(raw_norm_);
    return true;
  }
  // The device left this update out, and all that were queued behind it.
  Window& bad = queue[good];
  const auto loss = static_cast<double>(d.losses[good]);
  bad.start.loss = counters_.loss;
  bad.start.spikes = counters_.spikes;
  bad.start.last_eval = counters_.last_eval;
  window_start_ = counters_ = bad.start;
  buffers_before_ = std::move(bad.buffers);
  batch_ = feed_->remake(bad.samples.back(), static_cast<uint64_t>(bad.start.epoch));
  handle_nonfinite(std::isfinite(loss)
                       ? "a gradient became NaN or Inf"
                       : "loss became " + std::string(std::isnan(loss) ? "NaN" : "Inf"));
  return false;
}

}  // namespace sing::train
