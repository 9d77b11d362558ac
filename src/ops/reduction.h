#pragma once
#include <array>

#include "kernels/reduce.h"
#include "sing/tensor/tensor.h"

namespace sing::ops {

/// x, its dtype, and its dimensions split into kept and reduced ones (merged where possible), the
/// scale 1; the rest is the caller's.
kernels::ReduceArgs reduce_args(const Tensor& x, const std::array<bool, kMaxRank>& reduced);

}  // namespace sing::ops
