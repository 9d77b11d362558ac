#include "sing/ops/linear.h"

#include "ops/affine.h"
#include "ops/op_checks.h"
#include "sing/autograd/autocast.h"
#include "sing/backend/memory.h"

namespace sing::ops {
namespace {

using kernels::Epilogue;

/// Passes the gradient through the activation and sums it over rows for the bias.
Tensor before_activation(const Tensor& grad, Tensor kept, Epilogue epilogue,
                         const AffineSizes& size, Target& bias_grad) {
  kernels::ActivationGradArgs a{};
  // The slope is ours alone and has done its work once it is multiplied: the result replaces it.
  // ReLU's output belongs to others.
  Tensor grad_pre = epilogue == Epilogue::relu ? empty_like(grad) : kept;
  a.grad = grad.raw();
  a.kept = kept.raw();
  a.grad_pre = grad_pre.mutable_raw();
  a.bias_grad = bias_grad.data();
  a.dtype = grad.dtype();
  a.bias_grad_dtype = bias_grad.tensor.defined() ? bias_grad.tensor.dtype() : grad.dtype();
  a.accumulate = bias_grad.accumulate;
  a.epilogue = epilogue;
  a.m = size.rows;
  a.n = size.out;
  kernels::activation_grad(grad.device().type, a);
  return grad_pre;
}

}  // namespace

Tensor linear(const Tensor& x_in, const Tensor& weight_in, const Tensor& bias_in,
              Activation activation) {
  const backend::OpScope scope("linear");
  // 1 policy, checks, layout
  const Tensor x = autocast::input(x_in, autocast::Policy::lower);
  const Tensor weight = autocast::input(weight_in, autocast::Policy::lower);
  const Tensor bias = autocast::input(bias_in, autocast::Policy::lower);
  check_one_floating_dtype("linear", {{"x", x}, {"weight", weight}, {"bias", bias}});
  if (x.rank() < 1) throw ShapeError("linear: x must be (..., in); got ()");
  const int64_t in = x.size(-1);
  if (weight.rank() != 2 || weight.size(1) != in)
    throw ShapeError("linear: weight must be (out, " + std::to_string(in) +
                     ") to match the last dimension of x " + to_string(x.shape()) + "; got " +
                     to_string(weight.shape()));
  const AffineSizes size{x.shape().numel_between(0, x.rank() - 1), in, weight.size(0)};
  check_vector("linear", "bias", bias, size.out);
  const Tensor rows = x.contiguous(), columns = bias.defined() ? bias.contiguous() : bias;

  // 2 outputs; GELU leaves its slope for the way back, ReLU needs its own result
  const Epilogue epilogue = epilogue_of(activation);
  const bool recording = autograd::will_record({x, weight, bias});
  const TensorOptions options{.dtype = x.dtype(), .device = x.device()};
  Tensor y = Tensor::empty(x.shape().with(-1, size.out), options);
  Tensor slope;
  if (recording && keeps_slope(epilogue)) slope = Tensor::empty(y.shape(), options);

  // 3 run
  affine(y, rows, weight, columns, epilogue, slope, size);
  if (!recording) return y;

  // 4 the way back
  using autograd::Saved;
  const Tensor kept = epilogue == Epilogue::relu ? y : slope;
  return autograd::record(
      "linear", {x, weight, bias}, y,
      [rows = Saved(rows), weight = Saved(weight), kept = kept.defined() ? Saved(kept) : Saved(),
       bias_like = bias.defined() ? bias.detach() : Tensor(), epilogue,
       size](const Tensor& grad_in, const autograd::Needs& needs) {
        const Tensor grad = grad_in.contiguous();
        Target bias_grad(needs, 2, bias_like);
        Target weight_grad(needs, 1, *weight);
        Target x_grad(needs, 0, *rows);
        if (epilogue == Epilogue::none) {
          affine_weight_grad(weight_grad, bias_grad, grad, *rows, size);
          affine_input_grad(x_grad, grad, *weight, size);
        } else {
          Target none;  // the bias gradient comes out of the pass through the activation
          const Tensor pre = before_activation(grad, *kept, epilogue, size, bias_grad);
          affine_weight_grad(weight_grad, none, pre, *rows, size);
          affine_input_grad(x_grad, pre, *weight, size);
        }
        return autograd::GradList{x_grad.result(), weight_grad.result(), bias_grad.result()};
      });
}

}  // namespace sing::ops
