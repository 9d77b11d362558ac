#pragma once
#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

namespace sing::ops {

struct BatchNormOptions {
  bool training = true;  ///< normalise by the batch; else by the running statistics
  double momentum = 0.1;
  double eps = 1e-5;
};

/// Batch normalisation per channel (dimension 1): y = (x - mean) / sqrt(var + eps) * weight + bias.
/// x: (N, C), (N, C, L) or (N, C, H, W), floating; weight, bias: (C) in the dtype of x or wider, or
/// undefined (1 and 0). Returns shape, dtype and memory format of x.
/// running_mean, running_var: (C), f32 or f64, both or neither; in training they are updated in
/// place: running += momentum (batch - running), with the unbiased variance, except while
/// ops::recomputing(). Without training they are required. Statistics are wide and deterministic.
/// Throws ShapeError when sizes do not fit or when training sees one value per channel.
/// Source: Ioffe & Szegedy 2015.
SING_API Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                           Tensor running_mean, Tensor running_var,
                           const BatchNormOptions& options = {});

}  // namespace sing::ops
