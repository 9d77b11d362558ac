#pragma once
#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

namespace sing::ops {

/// Activations that `linear` can apply in the last write of its product.
enum class Activation : uint8_t {
  none,
  relu,
  gelu,       ///< x Phi(x) with the error function (Hendrycks & Gimpel 2016)
  gelu_tanh,  ///< its tanh approximation, from the same paper
};

/// Matrix product over the last two dimensions: a (..., m, k), b (..., k, n) -> (..., m, n).
/// Leading dimensions broadcast; any strides. Sums are kept in f32 or wider. Autocast: lower.
/// Throws ShapeError for rank below 2, different k, or leading dimensions that do not broadcast;
/// DTypeError unless both are of one floating dtype.
SING_API Tensor matmul(const Tensor& a, const Tensor& b);

/// y = act(x weight^T + bias): x (..., in), weight (out, in), bias (out) or undefined
/// -> (..., out). Any strides. Autocast: lower. The backward pass adds weight and bias gradients
/// straight into the gradient buffers of leaves.
/// Throws ShapeError when sizes do not fit, DTypeError unless all are of one floating dtype.
SING_API Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                       Activation activation = Activation::none);

}  // namespace sing::ops
