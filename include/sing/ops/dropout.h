#pragma once
#include "sing/core/export.h"
#include "sing/core/random.h"
#include "sing/tensor/tensor.h"

namespace sing::ops {

/// Zeroes each element with probability p and multiplies the others by 1 / (1 - p).
/// The mask is a pure function of the key and the row-major index i of an element in the logical
/// shape, whatever the strides: element i is kept exactly when
/// random_bits(key, i) >= round(p * 2^32). The scale is rounded to f32 (f64 for f64 tensors) before
/// the product. Backward draws the same mask again, so nothing is stored.
/// x: any shape, floating. Returns x itself when not training or p == 0. Throws ConfigError unless
/// 0 <= p <= 1.
SING_API Tensor dropout(const Tensor& x, double p, const RandomKey& key, bool training = true);

}  // namespace sing::ops
