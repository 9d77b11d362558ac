#pragma once
#include <cstdint>
#include <exception>
#include <memory>
#include <vector>

#include "sing/backend/runtime.h"
#include "sing/data/loader.h"

namespace sing::train {

/// What a loader for `device` walks over: the data set, or the numbers of its samples where the
/// device makes them into batches.
SING_API std::shared_ptr<const data::Dataset> on_device(
    std::shared_ptr<const data::Dataset> dataset, Device device);

/// Batches of a loader where the model is. On the CPU they are the loader's own. On a device they
/// lie at the same addresses every time; what fetch_ahead() fetched travels on the copy stream
/// while stream 0 works. Data sets that make batches on the device are asked for sample numbers
/// only.
class SING_API Feed {
 public:
  /// The loader outlives it; on a device its options name that device.
  Feed(data::Loader& loader, Device device);
  ~Feed();
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  /// As Loader::next. On a device what is queued on stream 0 afterwards finds the batch there.
  bool next(Batch& batch);
  /// Fetches the batch of the following next(), which then need not wait.
  void fetch_ahead();
  /// After the loader was moved to another place.
  void reset();

  /// The batch of the last next() as the loader made it, until the next call of any function.
  const Batch& host() const { return host_; }
  /// The numbers of its samples.
  std::vector<int64_t> samples() const;
  /// A batch of such samples of `epoch`, made anew on the host or the device.
  Batch remake(const std::vector<int64_t>& samples, uint64_t epoch) const;

 private:
  bool fetch();
  void make_room();
  void queue_copies(Batch& to, const Batch& from, backend::CopyKind kind, Stream stream) const;

  data::Loader& loader_;
  Device device_;
  backend::DeviceRuntime& runtime_;
  std::unique_ptr<data::BatchMaker> maker_;
  Batch host_;     // of the loader, in pinned memory
  Batch landing_;  // what the copy stream writes
  Batch batch_;    // what the model reads
  std::unique_ptr<backend::StreamMark> landed_, taken_;
  std::vector<int64_t> samples_;
  std::exception_ptr error_;  // met by fetch_ahead; belongs to the following next()
  bool ahead_ = false, copied_ = false;
};

}  // namespace sing::train
