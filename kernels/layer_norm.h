#pragma once
#include <cstdint>

#include "sing/backend/kernel_slot.h"
#include "sing/core/dtype.h"

namespace sing::kernels {

/// y = (x - mean) * rstd * weight + bias over dense rows of `cols`; with `centred` false the mean
/// is taken as 0 (root-mean-square normalisation). rstd = 1 / sqrt(mean((x - mean)^2) + eps).
/// With a branch, sum = x + branch is written too, and sum as it was rounded stands for x above.
struct LayerNormForwardArgs {
  const void* x;
  const void* branch;  // like x, or nullptr
  const void* weight;  // cols, or nullptr for 1
  const void* bias;    // cols, or nullptr for 0
  void* y;
  void* sum;         // like x; nullptr without a branch
  void* mean;        // rows, of stat_dtype; written only when centred
  void* rstd;        // rows, of stat_dtype
  DType dtype;       // of x, branch, weight, bias, y, sum
  DType stat_dtype;  // f64 for f64, else f32
  bool centred;
  int64_t rows, cols;
  double eps;
  Stream stream;
};

/// grad_x = rstd * (g - mean(g) - xhat * mean(g * xhat)) with g = grad * weight (mean(g) only when
/// centred), plus what x receives from its other uses; grad_weight (+)= sum over rows of grad *
/// xhat; grad_bias (+)= sum over rows of grad.
struct LayerNormBackwardArgs {
  const void *grad, *x, *weight, *mean, *rstd;
  const void* other_grad;                  // like x: added to grad_x; or nullptr for 0
  void *grad_x, *grad_weight, *grad_bias;  // each may be nullptr: not wanted
  DType dtype, stat_dtype;                 // as above; grad_x has dtype
  DType grad_weight_dtype, grad_bias_dtype;
  bool accumulate_weight, accumulate_bias;
  bool centred;
  int64_t rows, cols;
  Stream stream;
};

SING_DECLARE_SLOT(layer_norm_forward, LayerNormForwardArgs)
SING_DECLARE_SLOT(layer_norm_backward, LayerNormBackwardArgs)

}  // namespace sing::kernels
