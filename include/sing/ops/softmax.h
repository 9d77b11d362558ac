#pragma once
#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

// Over one dimension of a floating x of any shape; result of the same shape, row-major. Under
// autocast bf16 and f16 are widened to f32 first. DTypeError, ShapeError for another dimension.
namespace sing::ops {

/// exp(x) / sum exp(x), shifted by the largest element.
SING_API Tensor softmax(const Tensor& x, int dim);
/// x - log(sum exp(x)), never through a softmax that underflows.
SING_API Tensor log_softmax(const Tensor& x, int dim);

}  // namespace sing::ops
