#include "sing/data/source.h"

namespace sing::data {

Source::~Source() = default;

LoaderOptions loader_options(const BatchOptions& batches, Split split, uint64_t seed) {
  const bool train = split == Split::train;
  LoaderOptions options;
  options.batch_size = batches.batch_size;
  options.workers = batches.workers;
  options.prefetch = batches.prefetch;
  options.shuffle = train && batches.shuffle;
  options.drop_last = train && batches.drop_last;
  options.seed = seed;
  options.epochs = train ? 0 : 1;
  options.on_bad_sample = batches.on_bad_sample;
  options.max_bad = batches.max_bad;
  return options;
}

SourceKind& dataset_registry() {
  static SourceKind kind("data set");
  return kind;
}

}  // namespace sing::data
