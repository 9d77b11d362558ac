#pragma once
#include "sing/core/export.h"
#include "sing/tensor/tensor.h"

// Losses. All return f32 (f64 for f64 inputs) whatever the narrower dtype of their inputs, and sum
// in f64 in an order that the sizes fix.
namespace sing::ops {

enum class Reduction : uint8_t { none, mean, sum };

struct CrossEntropyOptions {
  double label_smoothing = 0;   ///< 0..1, spread over all classes, the true one included
  int64_t ignore_index = -100;  ///< rows with this label have no loss, no gradient and no count
  Reduction reduction = Reduction::mean;
};

/// Softmax cross entropy of unnormalised scores. logits: (..., classes), any floating dtype;
/// targets: the shape of logits without its last dimension, i64 or i32. (Classes come last, also
/// for sequences.) Returns a scalar, or the shape of targets for Reduction::none. The mean is over
/// rows that are not ignored: NaN when there are none, with a gradient of zero.
/// Throws DataError E0305 naming position and label when a label is outside 0..classes-1.
SING_API Tensor cross_entropy(const Tensor& logits, const Tensor& targets,
                              const CrossEntropyOptions& options = {});

/// (prediction - target)^2, reduced. Both inputs have one shape and floating dtype; both may
/// require a gradient. The mean over no elements is NaN.
SING_API Tensor mse_loss(const Tensor& prediction, const Tensor& target,
                         Reduction reduction = Reduction::mean);
/// |prediction - target|, reduced; the derivative at 0 is 0.
SING_API Tensor l1_loss(const Tensor& prediction, const Tensor& target,
                        Reduction reduction = Reduction::mean);
/// Cross entropy of sigmoid(logits) with target probabilities, in the form that cannot overflow:
/// max(x, 0) - x t + log(1 + exp(-|x|)).
SING_API Tensor binary_cross_entropy_with_logits(const Tensor& logits, const Tensor& target,
                                                 Reduction reduction = Reduction::mean);

}  // namespace sing::ops
