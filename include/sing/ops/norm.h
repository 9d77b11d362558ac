#pragma once
#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

namespace sing::ops {

/// Layer normalisation over the last dimension, in f32 or wider:
/// y = (x - mean) / sqrt(variance + eps) * weight + bias, variance with divisor C.
/// x: (..., C); weight and bias: (C), each may be undefined. Returns the shape and dtype of x.
/// Under autocast weight and bias follow the dtype of x.
/// Throws ShapeError when weight or bias is not (C), DTypeError unless all are of one floating
/// dtype. Source: Ba, Kiros & Hinton 2016, eq. 3-4.
SING_API Tensor layer_norm(const Tensor& x, const Tensor& weight = {}, const Tensor& bias = {},
                           double eps = 1e-5);

/// x + branch, and its normalisation.
struct AddedNorm {
  Tensor sum, y;
};
/// A residual sum and the layer norm that reads it in one pass over memory, forward and backward:
/// sum = x + branch, y = layer_norm(sum, weight, bias, eps), with the numbers of these two ops.
/// x, branch: (..., C); an undefined branch stands for 0, sum is x itself then. weight and bias: as
/// above. Returns the shape and dtype of x; under autocast the wider dtype of x and branch, which
/// weight and bias follow.
/// Throws ShapeError unless branch has the shape of x and weight and bias are (C), DTypeError
/// unless all are of one floating dtype.
SING_API AddedNorm add_layer_norm(const Tensor& x, const Tensor& branch, const Tensor& weight = {},
                                  const Tensor& bias = {}, double eps = 1e-5);

/// Root-mean-square normalisation over the last dimension, in f32 or wider:
/// y = x / sqrt(mean(x^2) + eps) * weight. Shapes, dtypes and errors as layer_norm.
/// Source: Zhang & Sennrich 2019, eq. 4.
SING_API Tensor rms_norm(const Tensor& x, const Tensor& weight = {}, double eps = 1e-6);

}  // namespace sing::ops
