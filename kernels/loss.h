#pragma once
#include <cstdint>

#include "sing/backend/kernel_slot.h"
#include "sing/core/dtype.h"

namespace sing::kernels {

enum class Reduction : uint8_t { none, mean, sum };

/// Softmax cross entropy over dense rows. For row r with label t, lse = log sum_j exp(x_rj):
/// loss_r = (1 - smoothing) (lse - x_rt) + smoothing / classes * sum_j (lse - x_rj);
/// 0 where t == ignore_index. Sums are f64 in an order fixed by the sizes. A label outside
/// 0..classes-1 throws DataError E0305.
struct CrossEntropyFwdArgs {
  const void* logits;   ///< [rows, classes], dense
  const void* targets;  ///< [rows]
  void* loss;           ///< [rows] for none, else one element
  double* row_max;      ///< [rows] max_j x_rj; saved for backward
  double* row_scale;    ///< [rows] 1 / sum_j exp(x_rj - max), 0 for an ignored row
  double* count;        ///< [1] rows that are not ignored
  double* row_loss;     ///< [rows] workspace
  DType dtype, target_dtype, loss_dtype;
  int64_t rows, classes, ignore_index;
  double smoothing;
  Reduction reduction;
  Stream stream;
};

/// grad_logits_rj = g_r (softmax_rj - (1 - smoothing) [j == t] - smoothing / classes), 0 in ignored
/// rows; g_r is the gradient of the loss (of row r for none; divided by count for mean).
struct CrossEntropyBwdArgs {
  const void* logits;
  const void* targets;
  const void* grad_loss;  ///< dtype loss_dtype; [rows] for none, else one element
  const double* row_max;
  const double* row_scale;
  const double* count;
  void* grad_logits;  ///< dense, dtype of the logits
  DType dtype, target_dtype, loss_dtype;
  int64_t rows, classes, ignore_index;
  double smoothing;
  Reduction reduction;
  Stream stream;
};

/// Element-wise losses of a prediction x and a target t.
enum class PointwiseLoss : uint8_t {
  squared,   ///< (x - t)^2
  absolute,  ///< |x - t|; derivative 0 at 0
  bce,       ///< max(x, 0) - x t + log(1 + exp(-|x|)): cross entropy of sigmoid(x)
};

struct PointwiseLossFwdArgs {
  const void* prediction;  ///< [n], dense
  const void* target;
  void* loss;        ///< [n] for none, else one element
  double* partials;  ///< one sum per chunk of kLossChunk elements; workspace
  DType dtype, loss_dtype;
  int64_t n;
  PointwiseLoss kind;
  Reduction reduction;
  Stream stream;
};
inline constexpr int64_t kLossChunk = 1 << 14;

struct PointwiseLossBwdArgs {
  const void* prediction;
  const void* target;
  const void* grad_loss;  ///< dtype loss_dtype; [n] for none, else one element
  void* grad_prediction;  ///< [n] or nullptr
  void* grad_target;      ///< [n] or nullptr
  DType dtype, loss_dtype;
  int64_t n;
  PointwiseLoss kind;
  Reduction reduction;
  Stream stream;
};

SING_DECLARE_SLOT(cross_entropy_fwd, CrossEntropyFwdArgs)
SING_DECLARE_SLOT(cross_entropy_bwd, CrossEntropyBwdArgs)
SING_DECLARE_SLOT(pointwise_loss_fwd, PointwiseLossFwdArgs)
SING_DECLARE_SLOT(pointwise_loss_bwd, PointwiseLossBwdArgs)

}  // namespace sing::kernels
