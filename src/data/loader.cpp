#include "sing/data/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "data/loader_core.h"
#include "sing/core/error.h"
#include "sing/core/log.h"
#include "sing/tensor/state_visitor.h"

namespace sing::data {
namespace {

void refuse(bool bad, const std::string& what) {
  if (bad) throw ConfigError("data loader: " + what, {}, {}, "E0265");
}

void check(const Dataset& dataset, const LoaderOptions& o) {
  refuse(o.batch_size < 1, fmt::format("batch_size is {}; it must be at least 1", o.batch_size));
  refuse(o.workers < 0 || o.workers > 1024,
         fmt::format("workers is {}; it must be 0..1024", o.workers));
  refuse(o.prefetch < 1 || o.prefetch > 1024,
         fmt::format("prefetch is {}; it must be 1..1024", o.prefetch));
  refuse(o.epochs < 0, fmt::format("epochs is {}; it must not be negative", o.epochs));
  refuse(!(o.timeout > 0), fmt::format("timeout is {} s; it must be above 0", o.timeout));
  refuse(!(o.max_bad >= 0 && o.max_bad <= 1),
         fmt::format("max_bad is {}; it is a share of 0..1", o.max_bad));
  refuse(dataset.size() < 1, fmt::format("data set {} is empty", dataset.name()));
  refuse(o.drop_last && dataset.size() < o.batch_size,
         fmt::format("data set {} has {} samples, less than one batch of {}, and drop_last is on",
                     dataset.name(), dataset.size(), o.batch_size));
}

}  // namespace

Loader::Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options) {
  SING_ASSERT(dataset != nullptr);
  check(*dataset, options);
  core_ = std::make_shared<Core>(std::move(dataset), std::move(options));
}

Loader::~Loader() {
  if (core_->workers.empty()) return;
  try {
    core_->stop();
  } catch (const std::exception& e) {  // a destructor must not throw
    log_error(std::string("data loader: ") + e.what());
  }
}

namespace {

/// Notes the samples that were replaced; throws when there are too many.
void note_bad(const Dataset& dataset, const LoaderOptions& options,
              const std::vector<int64_t>& unreadable, std::set<int64_t>& bad) {
  for (const int64_t index : unreadable) {
    if (!bad.insert(index).second) continue;
    log_warning(fmt::format("data set {}: sample {} cannot be read and is replaced", dataset.name(),
                            index));
  }
  const double allowed = options.max_bad * static_cast<double>(dataset.size());
  if (static_cast<double>(bad.size()) > allowed)
    throw DataError(fmt::format("{} of {} samples cannot be read, more than data.max_bad = {} %",
                                bad.size(), dataset.size(), options.max_bad * 100),
                    "data set " + dataset.name(), "mend the data, or raise data.max_bad", "E0311");
}

}  // namespace

bool Loader::next(Batch& batch) {
  Core& core = *core_;
  const int64_t g = core.current;
  if (g >= core.last_batch) return false;
  if (core.options.workers == 0) {
    core.fill(g);
  } else {
    if (core.workers.empty()) core.start();
    {
      const std::lock_guard lock(core.mutex);
      if (core.released < g) core.slot_of(core.released).ready = false;
      core.released = g;
    }
    core.work.notify_all();
    if (!core.wait_for(g)) return false;
  }
  Core::Slot& slot = core.slot_of(g);
  if (slot.error) std::rethrow_exception(slot.error);
  note_bad(*core.dataset, core.options, slot.unreadable, core.bad);
  batch = slot.count == core.options.batch_size ? slot.batch : slot.batch.narrow(0, slot.count);
  ++core.current;
  return true;
}

LoaderState Loader::state() const {
  const int64_t g = core_->current;
  return {static_cast<uint64_t>(g / core_->batches_per_epoch),
          g % core_->batches_per_epoch * core_->options.batch_size};
}

void Loader::resume(const LoaderState& state) {
  const int64_t batches = core_->batches_per_epoch, size = core_->options.batch_size;
  const bool at_end = state.position == samples_per_epoch();
  if (state.position < 0 || state.position > samples_per_epoch() ||
      (state.position % size != 0 && !at_end) ||
      state.epoch > static_cast<uint64_t>(INT64_MAX / batches - 2))
    throw ConfigError(fmt::format("data loader: epoch {}, sample {} is not where a batch of {} "
                                  "starts in an epoch of {} samples",
                                  state.epoch, state.position, size, samples_per_epoch()),
                      {}, "was data.batch_size or the data set changed?", "E0266");
  if (!core_->workers.empty() && !core_->stop()) {  // leave the old slots to whoever hangs there
    auto fresh = std::make_shared<Core>(core_->dataset, core_->options);
    fresh->bad = std::move(core_->bad);
    core_ = std::move(fresh);
  }
  core_->current =
      static_cast<int64_t>(state.epoch) * batches + (at_end ? batches : state.position / size);
}

void Loader::visit_state(StateVisitor& visitor) {
  std::set<int64_t>& bad = core_->bad;
  auto count = static_cast<int64_t>(bad.size());
  visitor.visit("data/replaced", count);
  count = std::clamp<int64_t>(count, 0, core_->dataset->size());
  if (count > 0) {
    std::vector<int64_t> samples(bad.begin(), bad.end());
    samples.resize(static_cast<size_t>(count));
    Tensor list = Tensor::from(samples, {count});
    visitor.visit("data/replaced_samples", list);
    const std::span<const int64_t> seen(list.data<int64_t>(), samples.size());
    bad = std::set<int64_t>(seen.begin(), seen.end());
  } else {
    bad.clear();
  }
}

int64_t Loader::batches_per_epoch() const {
  return core_->batches_per_epoch;
}
int64_t Loader::samples_per_epoch() const {
  const int64_t whole = core_->batches_per_epoch * core_->options.batch_size;
  return std::min(whole, core_->dataset->size());
}
const Dataset& Loader::dataset() const {
  return *core_->dataset;
}
const LoaderOptions& Loader::options() const {
  return core_->options;
}

}  // namespace sing::data
