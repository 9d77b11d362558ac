#pragma once
#include <cstdint>
#include <memory>

#include "sing/data/source.h"

namespace sing::data {

/// Options of data set `synthetic_images`.
struct SING_API SyntheticImagesOptions : BatchOptions {
  int64_t train_size = 4096, val_size = 512, test_size = 512;
  int64_t size = 32, channels = 3, classes = 10;
  double noise = 0.5;  ///< half width of the uniform noise on every value
  uint64_t seed = 0;   ///< of prototypes and samples; the run's seed does not change them

  static void describe(config::Fields<SyntheticImagesOptions>& f);
};

/// Pictures to classify, learnt in a few hundred steps: each class is a smooth random pattern,
/// each sample that pattern shifted by up to an eighth of the side (around the edges), scaled by
/// 0.7..1.3, with noise. Fields: inputs (C, S, S) f32 about 0, targets () i64 label. A sample is a
/// function of (options, split, index); classes take turns, so every split is balanced.
SING_API std::shared_ptr<const Dataset> synthetic_images(const SyntheticImagesOptions& options,
                                                         Split split);

}  // namespace sing::data
