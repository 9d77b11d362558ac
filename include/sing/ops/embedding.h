#pragma once
#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

namespace sing::ops {

/// Looks rows up: y[..., :] = weight[indices[...], :]. weight: (rows, width), floating; indices:
/// any shape (at most five dimensions), i64 or i32. Returns indices.shape + (width).
/// Row `padding_idx` (negative: none) is read as it is and receives no gradient. The gradient of a
/// row is summed over its positions in row-major order.
/// Throws DataError E0305 naming position and index when one is outside 0..rows-1.
SING_API Tensor embedding(const Tensor& weight, const Tensor& indices, int64_t padding_idx = -1);

}  // namespace sing::ops
