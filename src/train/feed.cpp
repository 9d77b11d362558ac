#include "train/feed.h"

#include <utility>

#include "sing/backend/memory.h"
#include "sing/core/error.h"
#include "sing/data/subset.h"

namespace sing::train {
namespace {

/// Bytes of data sets are for metrics, which work on the host (ids of rectangles).
bool travels(const NamedTensor& entry) {
  return entry.tensor.rank() > 0 &&
         (entry.tensor.dtype() != DType::u8 || entry.name == "inputs" || entry.name == "targets");
}

}  // namespace

std::shared_ptr<const data::Dataset> on_device(std::shared_ptr<const data::Dataset> dataset,
                                               Device device) {
  const bool made_there = device.type != DeviceType::cpu && dataset->batch_maker(device) != nullptr;
  return made_there ? data::numbers_of(std::move(dataset)) : dataset;
}

Feed::Feed(data::Loader& loader, Device device)
    : loader_(loader), device_(device), runtime_(backend::runtime(device)) {
  if (device_.type == DeviceType::cpu) return;
  if (loader_.dataset().fields().empty()) maker_ = loader_.dataset().batch_maker(device_);
  landed_ = runtime_.mark();
  taken_ = runtime_.mark();
}

Feed::~Feed() {
  if (!copied_) return;
  try {
    landed_->wait();  // the memory below goes away
  } catch (const Error&) {
    // A device that failed has copied all it ever will; the error is on its way already.
  }
}

void Feed::make_room() {
  const backend::MemoryScope memory(backend::MemoryPurpose::others);
  const int64_t rows = loader_.options().batch_size;
  if (maker_) batch_ = maker_->allocate(rows);
  for (const NamedTensor& entry : host_.entries()) {
    if (!travels(entry)) {
      if (entry.tensor.rank() == 0) batch_.set(entry.name, entry.tensor);
      continue;
    }
    const TensorOptions there{.dtype = entry.tensor.dtype(), .device = device_};
    const Shape shape = entry.tensor.shape().with(0, rows);
    landing_.set(entry.name, Tensor::empty(shape, there));
    batch_.set(entry.name, Tensor::empty(shape, there));
  }
  // Memory is given back in the order of stream 0, which may have yet to come to its last use.
  taken_->record(runtime_.stream(0));
}

void Feed::queue_copies(Batch& to, const Batch& from, backend::CopyKind kind, Stream stream) const {
  for (const NamedTensor& entry : landing_.entries()) {
    Tensor target = to.at(entry.name);
    const Tensor& source = from.at(entry.name);
    SING_ASSERT(source.is_contiguous());
    const auto bytes = static_cast<size_t>(checked_bytes(source.numel(), source.dtype()));
    runtime_.copy(target.mutable_raw(), source.raw(), bytes, kind, stream);
  }
}

bool Feed::fetch() {
  if (ahead_) return true;
  // The loader makes its next batches where the last one was read from.
  if (copied_) landed_->wait();
  if (!loader_.next(host_)) return false;
  if (batch_.entries().empty()) make_room();
  const Stream copies = runtime_.stream(1);
  taken_->hold(copies);
  queue_copies(landing_, host_, backend::CopyKind::host_to_device, copies);
  landed_->record(copies);
  ahead_ = copied_ = true;
  return true;
}

void Feed::fetch_ahead() {
  if (device_.type == DeviceType::cpu) return;
  try {
    fetch();
  } catch (...) {
    error_ = std::current_exception();
  }
}

bool Feed::next(Batch& batch) {
  if (device_.type == DeviceType::cpu) {
    if (!loader_.next(host_)) return false;
    batch = host_;
    return true;
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  if (!fetch()) return false;
  ahead_ = false;
  const int64_t count = host_.size();
  const Tensor& index = host_.at("index");
  samples_.assign(index.data<int64_t>(), index.data<int64_t>() + count);
  batch = count == loader_.options().batch_size ? batch_ : batch_.narrow(0, count);
  const Stream work = runtime_.stream(0);
  landed_->hold(work);
  queue_copies(batch_, landing_.narrow(0, count), backend::CopyKind::device_to_device, work);
  taken_->record(work);
  if (maker_) maker_->make(batch.at("index"), batch);
  return true;
}

void Feed::reset() {
  ahead_ = false;
  error_ = nullptr;
}

std::vector<int64_t> Feed::samples() const {
  if (device_.type != DeviceType::cpu) return samples_;
  const Tensor& index = host_.at("index");
  return {index.data<int64_t>(), index.data<int64_t>() + host_.size()};
}

Batch Feed::remake(const std::vector<int64_t>& samples, uint64_t epoch) const {
  const auto count = static_cast<int64_t>(samples.size());
  const Tensor index = Tensor::from(samples, {count});
  if (maker_) {
    Batch batch = maker_->allocate(count);
    maker_->make(index.to(device_), batch);
    batch.set("index", index);
    return batch;
  }
  Batch batch = data::allocate_batch(loader_.dataset(), count);
  const data::BatchWriter writer(loader_.dataset(), batch);
  for (int64_t row = 0; row < count; ++row)
    writer.read({samples[static_cast<size_t>(row)], loader_.options().seed, epoch}, row);
  batch.set("index", index);
  return batch;
}

}  // namespace sing::train
