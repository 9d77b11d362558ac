#include <string>

#include "kernels/loss.h"
#include "ops/vision_checks.h"
#include "sing/autograd/autocast.h"
#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"
#include "sing/core/error.h"
#include "sing/ops/loss.h"

namespace sing::ops {

Tensor cross_entropy(const Tensor& logits_in, const Tensor& targets_in,
                     const CrossEntropyOptions& options) {
  const backend::OpScope scope("cross_entropy");
  // The kernel reads bf16 logits and sums wide, so the `widen` policy needs no copy here.
  check_floating("cross_entropy", "logits", logits_in);
  if (logits_in.rank() < 1 || targets_in.shape() != Shape(logits_in.shape().dims().first(
                                                        static_cast<size_t>(logits_in.rank()) - 1)))
    throw ShapeError(
        "cross_entropy: wanted logits (..., classes) and targets of the same shape "
        "without the last dimension; got " +
        to_string(logits_in.shape()) + " and " + to_string(targets_in.shape()));
  check_index("cross_entropy", "targets", targets_in);
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1))
    throw ConfigError("cross_entropy: label_smoothing must be in [0, 1]; got " +
                      std::to_string(options.label_smoothing));
  const Tensor logits = logits_in.contiguous(), targets = targets_in.contiguous();
  const Device device = logits.device();
  const int64_t classes = logits.size(-1), rows = targets.numel();

  const DType loss_dtype = loss_dtype_of(logits.dtype());
  const bool each = options.reduction == Reduction::none;
  Tensor loss =
      Tensor::empty(each ? targets.shape() : Shape{}, {.dtype = loss_dtype, .device = device});
  const TensorOptions wide{.dtype = DType::f64, .device = device};
  Tensor row_max = Tensor::empty({rows}, wide), row_scale = Tensor::empty({rows}, wide);
  Tensor count = Tensor::empty({1}, wide), row_loss = Tensor::empty({rows}, wide);

  kernels::CrossEntropyFwdArgs a{};
  a.logits = logits.raw();
  a.targets = targets.raw();
  a.loss = loss.mutable_raw();
  a.row_max = row_max.mutable_data<double>();
  a.row_scale = row_scale.mutable_data<double>();
  a.count = count.mutable_data<double>();
  a.row_loss = row_loss.mutable_data<double>();
  a.dtype = logits.dtype();
  a.target_dtype = targets.dtype();
  a.loss_dtype = loss_dtype;
  a.rows = rows;
  a.classes = classes;
  a.ignore_index = options.ignore_index;
  a.smoothing = options.label_smoothing;
  a.reduction = static_cast<kernels::Reduction>(options.reduction);
  kernels::cross_entropy_fwd(device.type, a);

  if (!autograd::will_record({logits_in})) return loss;
  return autograd::record(
      "cross_entropy", {logits_in}, loss,
      [logits = autograd::Saved(logits), targets = autograd::Saved(targets), row_max, row_scale,
       count, options, loss_dtype](const Tensor& grad, const autograd::Needs&) {
        const Tensor dense = grad.contiguous();
        Tensor grad_logits = empty_like(*logits);
        kernels::CrossEntropyBwdArgs b{};
        b.logits = logits->raw();
        b.targets = targets->raw();
        b.grad_loss = dense.raw();
        b.row_max = row_max.data<double>();
        b.row_scale = row_scale.data<double>();
        b.count = count.data<double>();
        b.grad_logits = grad_logits.mutable_raw();
        b.dtype = logits->dtype();
        b.target_dtype = targets->dtype();
        b.loss_dtype = loss_dtype;
        b.rows = targets->numel();
        b.classes = logits->size(-1);
        b.ignore_index = options.ignore_index;
        b.smoothing = options.label_smoothing;
        b.reduction = static_cast<kernels::Reduction>(options.reduction);
        kernels::cross_entropy_bwd(grad_logits.device().type, b);
        return autograd::GradList{grad_logits};
      });
}

}  // namespace sing::ops
