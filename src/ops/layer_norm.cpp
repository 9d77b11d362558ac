#include "kernels/layer_norm.h"

#include "ops/op_checks.h"
#include "ops/support.h"
#include "ops/target.h"
#include "sing/autograd/autocast.h"
#include "sing/backend/memory.h"
#include "sing/ops/norm.h"

namespace sing::ops {
namespace {

const void* data_of(const Tensor& t) {
  return t.defined() ? t.raw() : nullptr;
}

/// Parameters follow the input under autocast; otherwise a mix of dtypes is an error.
Tensor parameter_like(const Tensor& parameter, const Tensor& x) {
  return parameter.defined() && autocast::dtype() && is_floating(x.dtype())
             ? autocast::cast(parameter, x.dtype())
             : parameter;
}

struct SavedNorm {
  autograd::Saved x, weight;
  Tensor bias_like, mean, rstd;
  bool centred;

  autograd::GradList operator()(const Tensor& grad_in, const autograd::Needs& needs) const {
    const Tensor grad = grad_in.contiguous();
    const Tensor& input = *x;
    Target grad_x = Target::fresh(needs, 0, input);
    Tensor other = grad_x.tensor.defined() ? needs.take_received(0) : Tensor();
    if (other.defined()) other = other.to(input.dtype()).contiguous();
    Target grad_weight(needs, 1, weight ? *weight : Tensor());
    Target grad_bias(needs, 2, bias_like);
    kernels::LayerNormBackwardArgs a{};
    a.grad = grad.raw();
    a.x = input.raw();
    a.weight = weight ? weight->raw() : nullptr;
    a.mean = data_of(mean);
    a.rstd = rstd.raw();
    a.other_grad = data_of(other);
    a.grad_x = grad_x.data();
    a.grad_weight = grad_weight.data();
    a.grad_bias = grad_bias.data();
    a.dtype = input.dtype();
    a.stat_dtype = rstd.dtype();
    a.grad_weight_dtype = grad_weight.tensor.defined() ? grad_weight.tensor.dtype() : a.dtype;
    a.grad_bias_dtype = grad_bias.tensor.defined() ? grad_bias.tensor.dtype() : a.dtype;
    a.accumulate_weight = grad_weight.accumulate;
    a.accumulate_bias = grad_bias.accumulate;
    a.centred = centred;
    a.cols = input.size(-1);
    a.rows = input.shape().numel_between(0, input.rank() - 1);
    kernels::layer_norm_backward(input.device().type, a);
    return {grad_x.result(), grad_weight.result(), grad_bias.result()};
  }
};

/// Of x + branch, or of x where there is no branch.
AddedNorm normalize(const char* op, const Tensor& x_in, const Tensor& branch_in,
                    const Tensor& weight_in, const Tensor& bias_in, double eps, bool centred) {
  const backend::OpScope scope(op);
  // 1 policy, checks, layout
  Tensor x = autocast::input(x_in, autocast::Policy::keep), branch = branch_in;
  if (branch.defined()) match_dtypes(op, x, branch);
  const Tensor weight = parameter_like(weight_in, x), bias = parameter_like(bias_in, x);
  check_one_floating_dtype(op, {{"x", x}, {"weight", weight}, {"bias", bias}});
  if (x.rank() < 1) throw ShapeError(std::string(op) + ": x must be (..., C); got ()");
  if (branch.defined() && branch.shape() != x.shape())
    throw ShapeError(std::string(op) + ": branch must be " + to_string(x.shape()) +
                     " like x; got " + to_string(branch.shape()));
  const int64_t cols = x.size(-1);
  check_vector(op, "weight", weight, cols);
  check_vector(op, "bias", bias, cols);
  const Tensor rows = x.contiguous();
  const Tensor added = branch.defined() ? branch.contiguous() : branch;
  const Tensor scale = weight.defined() ? weight.contiguous() : weight;
  const Tensor shift = bias.defined() ? bias.contiguous() : bias;

  // 2 outputs
  const int64_t count = x.shape().numel_between(0, x.rank() - 1);
  const TensorOptions wide{.dtype = wide_dtype(x.dtype()), .device = x.device()};
  const TensorOptions like_x{.dtype = x.dtype(), .device = x.device()};
  Tensor y = Tensor::empty(x.shape(), like_x);
  Tensor sum = branch.defined() ? Tensor::empty(x.shape(), like_x) : Tensor();
  Tensor mean = centred ? Tensor::empty({count}, wide) : Tensor();
  Tensor rstd = Tensor::empty({count}, wide);

  // 3 run
  kernels::LayerNormForwardArgs a{};
  a.x = rows.raw();
  a.branch = data_of(added);
  a.weight = data_of(scale);
  a.bias = data_of(shift);
  a.y = y.mutable_raw();
  a.sum = branch.defined() ? sum.mutable_raw() : nullptr;
  a.mean = centred ? mean.mutable_raw() : nullptr;
  a.rstd = rstd.mutable_raw();
  a.dtype = x.dtype();
  a.stat_dtype = wide.dtype;
  a.centred = centred;
  a.rows = count;
  a.cols = cols;
  a.eps = eps;
  kernels::layer_norm_forward(x.device().type, a);

  // 4 the way back: the sum passes its gradient on to both sides; its norm, recorded later and so
  // run before, adds to what the sum has received.
  using autograd::Saved;
  if (branch.defined())
    sum = autograd::record(op, {x, branch}, sum, [](const Tensor& grad, const autograd::Needs&) {
      return autograd::GradList{grad, grad};
    });
  const Tensor& input = branch.defined() ? sum : x;
  if (!autograd::will_record({input, weight, bias})) return {sum, y};
  y = autograd::record(
      op, {input, weight, bias}, y,
      SavedNorm{Saved(branch.defined() ? sum : rows), scale.defined() ? Saved(scale) : Saved(),
                bias.defined() ? bias.detach() : Tensor(), mean, rstd, centred});
  return {sum, y};
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  return normalize("layer_norm", x, {}, weight, bias, eps, true).y;
}

AddedNorm add_layer_norm(const Tensor& x, const Tensor& branch, const Tensor& weight,
                         const Tensor& bias, double eps) {
  if (!branch.defined()) return {x, layer_norm(x, weight, bias, eps)};
  return normalize("add_layer_norm", x, branch, weight, bias, eps, true);
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  return normalize("rms_norm", x, {}, weight, {}, eps, false).y;
}

}  // namespace sing::ops
