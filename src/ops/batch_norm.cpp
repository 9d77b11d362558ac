#include "sing/ops/batch_norm.h"

#include <cmath>

#include "kernels/batch_norm.h"
#include "ops/vision_checks.h"
#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"
#include "sing/ops/recompute.h"

namespace sing::ops {
namespace {

void check_channels(const char* name, const Tensor& t, int64_t channels) {
  if (t.shape() != Shape{channels})
    throw ShapeError("batch_norm: " + std::string(name) + " must be (" + std::to_string(channels) +
                     "), one per channel; got " + to_string(t.shape()));
}

void check_arguments(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean,
                     const Tensor& var, const BatchNormOptions& options) {
  check_floating("batch_norm", "x", x);
  if (x.rank() < 2 || x.rank() > 4)
    throw ShapeError("batch_norm: x must be (N, C), (N, C, L) or (N, C, H, W); got " +
                     to_string(x.shape()));
  for (const auto& [name, t] : {std::pair{"weight", &weight}, std::pair{"bias", &bias}}) {
    if (!t->defined()) continue;
    check_channels(name, *t, x.size(1));
    if (t->dtype() != x.dtype() && t->dtype() != loss_dtype_of(x.dtype()))
      throw DTypeError("batch_norm: " + std::string(name) + " must be " +
                       std::string(name_of(x.dtype())) + " or " +
                       std::string(name_of(loss_dtype_of(x.dtype()))) + "; got " + describe(*t));
  }
  if (weight.defined() && bias.defined()) check_same_dtype("batch_norm", weight, "bias", bias);
  if (mean.defined() != var.defined())
    throw ShapeError("batch_norm: running_mean and running_var must be given together");
  if (!mean.defined() && !options.training)
    throw ShapeError("batch_norm: running statistics are needed when not training");
  for (const auto& [name, t] : {std::pair{"running_mean", &mean}, std::pair{"running_var", &var}}) {
    if (!t->defined()) continue;
    check_channels(name, *t, x.size(1));
    if ((t->dtype() != DType::f32 && t->dtype() != DType::f64) || t->dtype() != mean.dtype())
      throw DTypeError("batch_norm: running statistics must both be f32 or f64; got " +
                       describe(*t));
    if (!t->is_contiguous())
      throw ShapeError("batch_norm: running statistics must be contiguous to be updated");
  }
}

/// x in a dense layout and how the kernels see it.
struct View {
  Tensor x;
  MemoryFormat format;
  kernels::BatchNormGeometry g;
};

View view_of(const Tensor& x) {
  const MemoryFormat format = x.rank() == 4 && x.is_channels_last() ? MemoryFormat::channels_last
                                                                    : MemoryFormat::contiguous;
  const int64_t inner = x.shape().numel_between(2, x.rank()), n = x.size(0), c = x.size(1);
  View v{x.contiguous(format), format, {n, c, inner}};
  if (format == MemoryFormat::channels_last) v.g = {checked_numel(std::array{n, inner}), c, 1};
  return v;
}

Tensor wide(int64_t n, Device device) {
  return Tensor::empty({n}, {.dtype = DType::f64, .device = device});
}

const void* raw_or_null(const Tensor& t) {
  return t.defined() ? t.raw() : nullptr;
}

struct Statistics {
  Tensor mean, inverse_std;
};

Tensor partials(const kernels::BatchNormGeometry& g, Device device) {
  return wide(checked_numel(std::array<int64_t, 3>{kernels::batch_norm_chunks(g), 2, g.channels}),
              device);
}

Statistics batch_statistics(const View& v, Tensor& running_mean, Tensor& running_var,
                            const BatchNormOptions& options) {
  const Device device = v.x.device();
  Statistics s{wide(v.g.channels, device), wide(v.g.channels, device)};
  Tensor workspace = partials(v.g, device);
  kernels::BatchNormStatsArgs a{};
  a.g = v.g;
  a.x = v.x.raw();
  a.mean = s.mean.mutable_data<double>();
  a.inverse_std = s.inverse_std.mutable_data<double>();
  a.partials = workspace.mutable_data<double>();
  if (running_mean.defined() && !recomputing()) {
    a.running_mean = running_mean.mutable_raw();
    a.running_var = running_var.mutable_raw();
    a.running_dtype = running_mean.dtype();
  }
  a.dtype = v.x.dtype();
  a.eps = options.eps;
  a.momentum = options.momentum;
  kernels::batch_norm_stats(device.type, a);
  return s;
}

Statistics running_statistics(const Tensor& mean, const Tensor& var, double eps) {
  Statistics s{mean.dtype() == DType::f64 ? mean.clone() : mean.to(DType::f64),
               wide(mean.numel(), mean.device())};
  kernels::batch_norm_inverse_std(
      mean.device().type,
      {var.raw(), s.inverse_std.mutable_data<double>(), var.dtype(), var.numel(), eps, {}});
  return s;
}

/// Adds sums over the batch to the gradient of a leaf, or returns them in its dtype.
Tensor parameter_gradient(const Tensor& sums, DType dtype, const autograd::Needs& needs,
                          size_t input) {
  Tensor target = needs.target(input);
  if (!target.defined()) return sums.to(dtype);
  autograd::accumulate(target, sums);
  return {};
}

autograd::GradList backward(const View& v, const Statistics& s, const Tensor& weight, bool has_bias,
                            DType param_dtype, bool training, const Tensor& grad,
                            const autograd::Needs& needs) {
  const Device device = v.x.device();
  const Tensor grad_y = grad.contiguous(v.format);
  autograd::GradList result(3);
  const bool params = needs[1] || needs[2];
  Tensor sum_grad, sum_grad_xhat;
  if (params || (needs[0] && training)) {
    sum_grad = wide(v.g.channels, device);
    sum_grad_xhat = wide(v.g.channels, device);
    Tensor workspace = partials(v.g, device);
    kernels::BatchNormBwdReduceArgs a{};
    a.g = v.g;
    a.x = v.x.raw();
    a.grad_y = grad_y.raw();
    a.mean = s.mean.data<double>();
    a.inverse_std = s.inverse_std.data<double>();
    a.sum_grad = sum_grad.mutable_data<double>();
    a.sum_grad_xhat = sum_grad_xhat.mutable_data<double>();
    a.partials = workspace.mutable_data<double>();
    a.dtype = v.x.dtype();
    kernels::batch_norm_bwd_reduce(device.type, a);
  }
  if (needs[0]) {
    result[0] = empty_like(v.x);
    kernels::BatchNormBwdApplyArgs a{};
    a.g = v.g;
    a.x = v.x.raw();
    a.grad_y = grad_y.raw();
    a.mean = s.mean.data<double>();
    a.inverse_std = s.inverse_std.data<double>();
    if (training) {
      a.sum_grad = sum_grad.data<double>();
      a.sum_grad_xhat = sum_grad_xhat.data<double>();
    }
    a.weight = raw_or_null(weight);
    a.grad_x = result[0].mutable_raw();
    a.dtype = v.x.dtype();
    a.param_dtype = param_dtype;
    kernels::batch_norm_bwd_apply(device.type, a);
  }
  if (needs[1]) result[1] = parameter_gradient(sum_grad_xhat, param_dtype, needs, 1);
  if (needs[2] && has_bias) result[2] = parameter_gradient(sum_grad, param_dtype, needs, 2);
  return result;
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight_in, const Tensor& bias_in,
                  Tensor running_mean, Tensor running_var, const BatchNormOptions& options) {
  const backend::OpScope scope("batch_norm");
  check_arguments(x, weight_in, bias_in, running_mean, running_var, options);
  const View v = view_of(x);
  const bool empty = x.numel() == 0;
  if (options.training && !empty && v.g.outer == 1 && v.g.inner == 1)
    throw ShapeError("batch_norm: training needs more than one value per channel; got x " +
                     to_string(x.shape()));
  const Tensor weight = weight_in.defined() ? weight_in.contiguous() : weight_in;
  const Tensor bias = bias_in.defined() ? bias_in.contiguous() : bias_in;
  const DType param_dtype = weight.defined() ? weight.dtype()
                            : bias.defined() ? bias.dtype()
                                             : x.dtype();

  Tensor y = empty_like(v.x);
  const bool training = options.training && !empty;  // of nothing there are no statistics
  const Statistics s =
      training ? batch_statistics(v, running_mean, running_var, options)
      : running_mean.defined()
          ? running_statistics(running_mean, running_var, options.eps)
          : Statistics{Tensor::zeros({v.g.channels}, {.dtype = DType::f64, .device = x.device()}),
                       Tensor::zeros({v.g.channels}, {.dtype = DType::f64, .device = x.device()})};
  kernels::BatchNormApplyArgs a{};
  a.g = v.g;
  a.x = v.x.raw();
  a.mean = s.mean.data<double>();
  a.inverse_std = s.inverse_std.data<double>();
  a.weight = raw_or_null(weight);
  a.bias = raw_or_null(bias);
  a.y = y.mutable_raw();
  a.dtype = x.dtype();
  a.param_dtype = param_dtype;
  kernels::batch_norm_apply(x.device().type, a);

  if (!autograd::will_record({x, weight_in, bias_in})) return y;
  return autograd::record("batch_norm", {x, weight_in, bias_in}, y,
                          [x = autograd::Saved(v.x), g = v.g, format = v.format, s,
                           weight = autograd::Saved(weight), has_bias = bias.defined(), param_dtype,
                           training](const Tensor& grad, const autograd::Needs& needs) {
                            return backward({*x, format, g}, s, weight ? *weight : Tensor(),
                                            has_bias, param_dtype, training, grad, needs);
                          });
}

}  // namespace sing::ops
