#pragma once
#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

// Boolean results, not differentiable; with broadcasting (ShapeError). Comparisons take any one
// dtype (DTypeError); under autocast mixed floating dtypes meet in the wider one.
namespace sing::ops {

SING_API Tensor eq(const Tensor& a, const Tensor& b);
SING_API Tensor ne(const Tensor& a, const Tensor& b);
SING_API Tensor lt(const Tensor& a, const Tensor& b);
SING_API Tensor le(const Tensor& a, const Tensor& b);
SING_API Tensor gt(const Tensor& a, const Tensor& b);
SING_API Tensor ge(const Tensor& a, const Tensor& b);

/// Both boolean.
SING_API Tensor logical_and(const Tensor& a, const Tensor& b);
SING_API Tensor logical_or(const Tensor& a, const Tensor& b);
SING_API Tensor logical_xor(const Tensor& a, const Tensor& b);
SING_API Tensor logical_not(const Tensor& x);

/// condition ? a : b, all three broadcast together; condition boolean, a and b of one dtype.
/// Differentiable by a and b.
SING_API Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
/// x, and `value` where the mask (broadcastable to x) is true. Differentiable by x.
SING_API Tensor masked_fill(const Tensor& x, const Tensor& mask, double value);

}  // namespace sing::ops
