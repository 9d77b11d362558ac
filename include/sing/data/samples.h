#pragma once
#include <cstdint>
#include <string>

#include "sing/core/export.h"
#include "sing/data/dataset.h"

namespace sing::data {

/// Writes samples first .. first + count - 1 as one safetensors file, so that other programs can
/// train on exactly these: every field as (count, shape...), "inputs" under the name "image" (or
/// "input" where it is none) and "targets" as "target"; constants of the data set under their
/// names; the fingerprint and the range as metadata. Samples are read as in epoch 0 of seed 0,
/// some hundred at a time and once for every field: memory does not grow with the range. Throws
/// ConfigError E0267 for a range the data set does not have.
SING_API void write_samples(const Dataset& dataset, int64_t first, int64_t count,
                            const std::string& path);

}  // namespace sing::data
