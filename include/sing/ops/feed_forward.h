#pragma once
#include "sing/core/export.h"
#include "sing/ops/linear.h"

namespace sing::ops {

/// y = act(x w1^T + b1) w2^T + b2, the position-wise feed-forward network of transformers
/// (Vaswani et al. 2017): x (..., in), w1 (hidden, in), b1 (hidden) or undefined,
/// w2 (out, hidden), b2 (out) or undefined -> (..., out). Any strides. Autocast: lower.
/// The values of linear(linear(x, w1, b1, activation), w2, b2); in the backward pass the product
/// that makes the gradient of the hidden values applies the derivative of the activation itself.
/// Throws ShapeError when sizes do not fit, DTypeError unless all are of one floating dtype.
SING_API Tensor feed_forward(const Tensor& x, const Tensor& w1, const Tensor& b1, const Tensor& w2,
                             const Tensor& b2, Activation activation = Activation::gelu);

}  // namespace sing::ops
