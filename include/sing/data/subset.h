#pragma once
#include <memory>

#include "sing/core/export.h"
#include "sing/data/dataset.h"

namespace sing::data {

/// The first `count` samples of a data set (all when it has fewer). count >= 1.
SING_API std::shared_ptr<const Dataset> first_samples(std::shared_ptr<const Dataset> dataset,
                                                      int64_t count);
/// The same samples without their fields: a loader over it hands out "index" and the constants, for
/// batches that the BatchMaker of the data set makes.
SING_API std::shared_ptr<const Dataset> numbers_of(std::shared_ptr<const Dataset> dataset);

}  // namespace sing::data
