#pragma once
#include <array>
#include <cstdint>

#include "sing/core/shape.h"

namespace sing::kernels {

/// How an element-wise kernel walks over its N operands together: `rank` dimensions, outermost
/// first, strides in elements (0 where an operand is broadcast). Dimensions of size 1 are dropped
/// and neighbours that all operands walk as one are merged, so dense operands of one layout give
/// rank 1 with strides 1, and (..., C) with a (C) gives rank 2. Operand 0 is the output, dense.
/// There is always at least one dimension.
template <int N>
struct Walk {
  int rank = 1;
  std::array<int64_t, kMaxRank> dims{1};
  std::array<std::array<int64_t, kMaxRank>, N> strides{};
};

}  // namespace sing::kernels
