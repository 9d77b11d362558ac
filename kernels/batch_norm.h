#pragma once
#include <cstdint>

#include "sing/backend/kernel_slot.h"
#include "sing/core/dtype.h"

namespace sing::kernels {

/// A dense tensor seen as [outer, channels, inner]: inner = H * W for contiguous images, and 1 for
/// channels-last images (outer = N * H * W) and for matrices.
struct BatchNormGeometry {
  int64_t outer, channels, inner;
};

/// Batch statistics per channel over outer * inner >= 1 elements, summed wider than f32 about the
/// mean, in an order fixed by the sizes: mean, inverse_std = 1 / sqrt(var + eps) with the biased
/// variance. Running statistics, where given: running += momentum (batch - running), with the
/// unbiased variance.
struct BatchNormStatsArgs {
  BatchNormGeometry g;
  const void* x;
  double* mean;         ///< [channels]
  double* inverse_std;  ///< [channels]
  double* partials;     ///< [batch_norm_chunks(g), 2, channels] workspace
  void* running_mean;   ///< [channels] or nullptr, with running_var
  void* running_var;
  DType dtype, running_dtype;
  double eps, momentum;
  Stream stream;
};

/// inverse_std[c] = 1 / sqrt(var[c] + eps), of running statistics.
struct BatchNormInverseStdArgs {
  const void* var;
  double* inverse_std;
  DType dtype;
  int64_t channels;
  double eps;
  Stream stream;
};

/// y = (x - mean) inverse_std weight + bias.
struct BatchNormApplyArgs {
  BatchNormGeometry g;
  const void* x;
  const double* mean;
  const double* inverse_std;
  const void* weight;  ///< [channels] or nullptr: 1
  const void* bias;    ///< [channels] or nullptr: 0
  void* y;
  DType dtype, param_dtype;
  Stream stream;
};

/// sum_grad[c] = sum of grad_y, sum_grad_xhat[c] = sum of grad_y xhat, xhat = (x - mean)
/// inverse_std.
struct BatchNormBwdReduceArgs {
  BatchNormGeometry g;
  const void* x;
  const void* grad_y;
  const double* mean;
  const double* inverse_std;
  double* sum_grad;
  double* sum_grad_xhat;
  double* partials;  ///< [batch_norm_chunks(g), 2, channels] workspace
  DType dtype;
  Stream stream;
};

/// grad_x = weight inverse_std (grad_y - [sum_grad + xhat sum_grad_xhat] / m), m = outer * inner;
/// without the bracket when the statistics were constants (sum_grad == nullptr).
struct BatchNormBwdApplyArgs {
  BatchNormGeometry g;
  const void* x;
  const void* grad_y;
  const double* mean;
  const double* inverse_std;
  const double* sum_grad;
  const double* sum_grad_xhat;
  const void* weight;
  void* grad_x;
  DType dtype, param_dtype;
  Stream stream;
};

/// Outer positions that one chunk sums: about 2^16 elements, which stay in a core's cache.
/// (static: these are compiled for several instruction sets.)
static inline int64_t batch_norm_rows(const BatchNormGeometry& g) {
  const int64_t elements = g.channels * g.inner;
  return elements >= (1 << 12) ? 16 : (1 << 16) / (elements > 0 ? elements : 1);
}
static inline int64_t batch_norm_chunks(const BatchNormGeometry& g) {
  return g.outer == 0 ? 0 : (g.outer - 1) / batch_norm_rows(g) + 1;
}

SING_DECLARE_SLOT(batch_norm_stats, BatchNormStatsArgs)
SING_DECLARE_SLOT(batch_norm_inverse_std, BatchNormInverseStdArgs)
SING_DECLARE_SLOT(batch_norm_apply, BatchNormApplyArgs)
SING_DECLARE_SLOT(batch_norm_bwd_reduce, BatchNormBwdReduceArgs)
SING_DECLARE_SLOT(batch_norm_bwd_apply, BatchNormBwdApplyArgs)

}  // namespace sing::kernels
