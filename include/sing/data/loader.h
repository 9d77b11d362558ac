#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "sing/core/export.h"
#include "sing/data/dataset.h"
#include "sing/tensor/batch.h"

namespace sing {
class StateVisitor;
}

namespace sing::data {

/// What to do with a sample that throws DataError.
enum class BadSample : uint8_t {
  error,    ///< end with it
  replace,  ///< put another one in its place, chosen by (seed, epoch, position) alone
};

struct LoaderOptions {
  int64_t batch_size = 32;
  int workers = 2;   ///< threads; 0: batches are made in next()
  int prefetch = 2;  ///< batches made ahead, >= 1
  bool shuffle = true;
  bool drop_last = false;  ///< leave out a last batch that would be short
  uint64_t seed = 0;
  int64_t epochs = 0;  ///< 0: without end
  BadSample on_bad_sample = BadSample::error;
  double max_bad = 1e-3;  ///< share of the data set that may be replaced before E0311
  Device device;          ///< batches lie in host memory from which it copies without a detour
  double timeout = 60;    ///< seconds one batch may take before E0312 names what hangs
  /// Asked about 20 times a second while next() waits; true makes it return false.
  std::function<bool()> interrupted = {};
};

/// All there is to continue a stream: the next sample is number `position` of epoch `epoch`.
struct LoaderState {
  uint64_t epoch = 0;
  int64_t position = 0;
  friend bool operator==(const LoaderState&, const LoaderState&) = default;
};

/// Batches of a data set, made ahead by threads of its own. The stream is a function of (data set,
/// seed, epoch, position): the same for any number of workers and prefetched batches and after any
/// resume; going to a position costs the same everywhere. Memory is requested when the loader is
/// made and never again. Every batch carries "index" (B) i64, the samples' numbers, beside the
/// fields and constants of the data set. One thread uses it.
class SING_API Loader {
 public:
  /// Throws ConfigError E0265 for options that are out of range or an empty data set.
  Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options);
  /// Ends all workers; one that hangs in a data set is left behind after the timeout.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next batch, valid until the following call; false at the end of the last epoch or when
  /// interrupted. What a worker met is thrown here, at the batch it belongs to, with data set and
  /// sample named; calling again throws again.
  bool next(Batch& batch);
  /// Of the first batch not yet returned.
  LoaderState state() const;
  /// Continues at `state`; the end of an epoch is the start of the next. Throws ConfigError E0266
  /// when it is no border of a batch.
  void resume(const LoaderState& state);
  /// Shows which samples were replaced so far (`BadSample::replace`), in order of their numbers:
  /// together with state() that is all that `max_bad` and the warnings depend on.
  void visit_state(StateVisitor& visitor);

  int64_t batches_per_epoch() const;
  int64_t samples_per_epoch() const;
  const Dataset& dataset() const;
  const LoaderOptions& options() const;

 private:
  struct Core;
  std::shared_ptr<Core> core_;  // shared with the workers, so that one left behind stays harmless
};

}  // namespace sing::data
