#pragma once
#include <algorithm>
#include <cmath>
#include <memory>

#include "optim/stage_math.h"
#include "sing/optim/transform.h"

namespace sing::optim {

/// phi: g - mean, for a stage whose `centres` asked for the mean of this tensor.
inline void subtract_mean(const TensorStatistics& statistics, Affine& map) {
  map.rows = statistics.rows.data();
  map.row_length = statistics.row_length;
}

/// Gamma: g / (norm + eps). Scaling of the whole tensor by earlier stages cancels (but for eps), so
/// it is dropped. Zero stays zero.
inline void divide_by_norm(const TensorStatistics& statistics, double eps, Affine& map) {
  map.scale = 1;
  map.scale = normalizing_scale(norm_under(map, statistics), eps);
}

}  // namespace sing::optim
