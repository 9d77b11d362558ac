#include "kernels/loss.h"
#include "ops/vision_checks.h"
#include "sing/autograd/autocast.h"
#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"
#include "sing/ops/loss.h"

namespace sing::ops {
namespace {

Tensor pointwise_loss(const char* op, const Tensor& prediction_in, const Tensor& target_in,
                      kernels::PointwiseLoss kind, Reduction reduction) {
  const backend::OpScope scope(op);
  const Tensor wide_prediction = autocast::input(prediction_in, autocast::Policy::widen);
  const Tensor wide_target = autocast::input(target_in, autocast::Policy::widen);
  check_floating(op, "prediction", wide_prediction);
  check_same_dtype(op, wide_prediction, "target", wide_target);
  if (wide_prediction.shape() != wide_target.shape())
    throw ShapeError(std::string(op) + ": prediction and target must have one shape; got " +
                     to_string(wide_prediction.shape()) + " and " + to_string(wide_target.shape()));
  // Two channels-last images are walked as they lie, unless single losses are wanted in order.
  const bool each = reduction == Reduction::none;
  const MemoryFormat format = !each && wide_prediction.is_channels_last()
                                  ? MemoryFormat::channels_last
                                  : MemoryFormat::contiguous;
  const Tensor prediction = wide_prediction.contiguous(format);
  const Tensor target = wide_target.contiguous(format);
  const Device device = prediction.device();
  const int64_t n = prediction.numel();

  const DType loss_dtype = loss_dtype_of(prediction.dtype());
  Tensor loss =
      Tensor::empty(each ? prediction.shape() : Shape{}, {.dtype = loss_dtype, .device = device});
  Tensor partials =
      Tensor::empty({n / kernels::kLossChunk + 1}, {.dtype = DType::f64, .device = device});
  kernels::PointwiseLossFwdArgs a{};
  a.prediction = prediction.raw();
  a.target = target.raw();
  a.loss = loss.mutable_raw();
  a.partials = partials.mutable_data<double>();
  a.dtype = prediction.dtype();
  a.loss_dtype = loss_dtype;
  a.n = n;
  a.kind = kind;
  a.reduction = static_cast<kernels::Reduction>(reduction);
  kernels::pointwise_loss_fwd(device.type, a);

  if (!autograd::will_record({wide_prediction, wide_target})) return loss;
  return autograd::record(
      op, {wide_prediction, wide_target}, loss,
      [prediction = autograd::Saved(prediction), target = autograd::Saved(target), kind, reduction,
       loss_dtype](const Tensor& grad, const autograd::Needs& needs) {
        const Tensor dense = grad.contiguous();
        autograd::GradList result(2);
        kernels::PointwiseLossBwdArgs b{};
        b.prediction = prediction->raw();
        b.target = target->raw();
        b.grad_loss = dense.raw();
        if (needs[0]) {
          result[0] = empty_like(*prediction);
          b.grad_prediction = result[0].mutable_raw();
        }
        if (needs[1]) {
          result[1] = empty_like(*prediction);
          b.grad_target = result[1].mutable_raw();
        }
        b.dtype = prediction->dtype();
        b.loss_dtype = loss_dtype;
        b.n = prediction->numel();
        b.kind = kind;
        b.reduction = static_cast<kernels::Reduction>(reduction);
        kernels::pointwise_loss_bwd(prediction->device().type, b);
        return result;
      });
}

}  // namespace

Tensor mse_loss(const Tensor& prediction, const Tensor& target, Reduction reduction) {
  return pointwise_loss("mse_loss", prediction, target, kernels::PointwiseLoss::squared, reduction);
}
Tensor l1_loss(const Tensor& prediction, const Tensor& target, Reduction reduction) {
  return pointwise_loss("l1_loss", prediction, target, kernels::PointwiseLoss::absolute, reduction);
}
Tensor binary_cross_entropy_with_logits(const Tensor& logits, const Tensor& target,
                                        Reduction reduction) {
  return pointwise_loss("binary_cross_entropy_with_logits", logits, target,
                        kernels::PointwiseLoss::bce, reduction);
}

}  // namespace sing::ops
