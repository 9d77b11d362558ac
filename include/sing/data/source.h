#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sing/config/schema.h"
#include "sing/core/export.h"
#include "sing/data/dataset.h"
#include "sing/data/loader.h"
#include "sing/data/split.h"

namespace sing::data {

inline config::EnumNames<BadSample> enum_names(BadSample) {
  return {{"error", BadSample::error}, {"replace", BadSample::replace}};
}

/// The keys of `data:` that every data set has; its own options derive from this.
struct BatchOptions {
  int64_t batch_size = 32;
  int workers = 2;
  int prefetch = 2;
  bool shuffle = true;
  bool drop_last = false;
  BadSample on_bad_sample = BadSample::error;
  double max_bad = 1e-3;

  static void describe(config::Fields<BatchOptions>& f) {
    f("batch_size", &BatchOptions::batch_size, "samples of one forward pass on one device")
        .range(1, 1 << 24);
    f("workers", &BatchOptions::workers, "loader threads; 0 makes batches in the training thread")
        .range(0, 1024);
    f("prefetch", &BatchOptions::prefetch, "batches made ahead").range(1, 1024);
    f("shuffle", &BatchOptions::shuffle, "a new order of the training samples in every epoch");
    f("drop_last", &BatchOptions::drop_last, "leave out a short last training batch");
    f("on_bad_sample", &BatchOptions::on_bad_sample, "what to do with a sample that is damaged");
    f("max_bad", &BatchOptions::max_bad, "share of damaged samples that may be replaced")
        .fraction();
  }
};

/// A data set as the config describes it: its splits are made when they are opened, everything else
/// is known at once. Const methods are thread-safe.
class SING_API Source {
 public:
  virtual ~Source();
  /// What the banner of a run says: "rde full/outline, rendered on the fly".
  virtual std::string summary() const = 0;
  virtual const BatchOptions& batches() const = 0;
  /// Samples of a split; 0 where the data set has no such split.
  virtual int64_t size(Split split) const = 0;
  /// Of every split; known without opening one.
  virtual std::vector<Field> fields() const = 0;
  /// Throws ConfigError or DataError.
  virtual std::shared_ptr<const Dataset> open(Split split) const = 0;
};

/// How a split is walked over: training shuffles without end, evaluation goes through once in
/// order. `seed` is the run's.
SING_API LoaderOptions loader_options(const BatchOptions& batches, Split split, uint64_t seed);

using SourceKind = config::ComponentKind<std::unique_ptr<Source>()>;
/// Data sets by name; each registers itself in its own .cpp under src/data/datasets/.
SING_API SourceKind& dataset_registry();

}  // namespace sing::data
