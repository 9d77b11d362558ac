#include <algorithm>

#include "kernels/conv.h"
#include "ops/vision_checks.h"
#include "sing/autograd/autocast.h"
#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"
#include "sing/backend/profile.h"
#include "sing/ops/conv.h"

namespace sing::ops {
namespace {

constexpr MemoryFormat kImages = MemoryFormat::channels_last;

/// Of a dense weight in one of the two memory formats. Computed, not read: the strides a tensor
/// has along dimensions of size 1 mean nothing.
void set_weight_strides(kernels::Conv2dGeometry& g, const Tensor& weight) {
  const int64_t i = weight.size(1), kh = weight.size(2), kw = weight.size(3);
  if (weight.is_contiguous())
    g.weight_strides = {i * kh * kw, kh * kw, kw, 1};
  else
    g.weight_strides = {i * kh * kw, 1, kw * i, i};
}

kernels::Conv2dGeometry geometry(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                 const Conv2dOptions& o) {
  check_rank4("conv2d", x);
  if (o.groups < 1 || x.size(1) % o.groups != 0)
    throw ShapeError("conv2d: groups must divide the " + std::to_string(x.size(1)) +
                     " channels of x; got " + std::to_string(o.groups));
  const int64_t per_group = x.size(1) / o.groups;
  if (weight.rank() != 4 || weight.size(1) != per_group || weight.size(0) % o.groups != 0)
    throw ShapeError("conv2d: weight must be (O, " + std::to_string(per_group) +
                     ", KH, KW) with O a multiple of " + std::to_string(o.groups) + " for x " +
                     to_string(x.shape()) + "; got " + to_string(weight.shape()));
  if (bias.defined() && bias.shape() != Shape{weight.size(0)})
    throw ShapeError("conv2d: bias must be (" + std::to_string(weight.size(0)) + "); got " +
                     to_string(bias.shape()));
  kernels::Conv2dGeometry g{};
  g.n = x.size(0);
  g.in_channels = x.size(1);
  g.in_h = x.size(2);
  g.in_w = x.size(3);
  g.out_channels = weight.size(0);
  g.kernel_h = weight.size(2);
  g.kernel_w = weight.size(3);
  g.stride_h = o.stride[0];
  g.stride_w = o.stride[1];
  g.pad_h = o.padding[0];
  g.pad_w = o.padding[1];
  g.dilation_h = o.dilation[0];
  g.dilation_w = o.dilation[1];
  g.groups = o.groups;
  g.out_h = window_count("conv2d", g.in_h, g.kernel_h, g.stride_h, g.pad_h, g.dilation_h);
  g.out_w = window_count("conv2d", g.in_w, g.kernel_w, g.stride_w, g.pad_w, g.dilation_w);
  return g;
}

void note_convolution(const kernels::Conv2dGeometry& g) {
  const auto real = [](int64_t n) { return static_cast<double>(n); };
  backend::note_flops(2.0 * real(g.n) * real(g.out_channels) * real(g.out_h) * real(g.out_w) *
                      real(g.in_channels / g.groups) * real(g.kernel_h) * real(g.kernel_w));
}

Tensor backward_data(kernels::Conv2dGeometry g, const Tensor& grad_y, const Tensor& weight) {
  Tensor grad_x =
      Tensor::empty({g.n, g.in_channels, g.in_h, g.in_w},
                    {.dtype = grad_y.dtype(), .device = grad_y.device(), .format = kImages});
  set_weight_strides(g, weight);
  note_convolution(g);
  kernels::conv2d_bwd_data(
      grad_y.device().type,
      {g, grad_y.raw(), weight.raw(), grad_x.mutable_raw(), grad_y.dtype(), {}});
  return grad_x;
}

/// Gradients of weight and bias, or sums into the buffers of leaves (then undefined in the list).
void backward_weight(kernels::Conv2dGeometry g, const Tensor& x, const Tensor& grad_y,
                     const Tensor& weight, const autograd::Needs& needs,
                     autograd::GradList& result) {
  kernels::Conv2dBwdWeightArgs a{};
  a.x = x.raw();
  a.grad_y = grad_y.raw();
  a.dtype = a.grad_weight_dtype = a.grad_bias_dtype = x.dtype();
  Tensor grad_weight, grad_bias;
  if (needs[1]) {
    grad_weight = needs.target(1);
    a.add_weight = grad_weight.defined();
    if (!a.add_weight) grad_weight = result[1] = empty_like(weight);
    set_weight_strides(g, grad_weight);
    a.grad_weight = grad_weight.mutable_raw();
    a.grad_weight_dtype = grad_weight.dtype();
  }
  if (needs[2]) {
    grad_bias = needs.target(2);
    a.add_bias = grad_bias.defined();
    if (!a.add_bias)
      grad_bias = result[2] =
          Tensor::empty({g.out_channels}, {.dtype = x.dtype(), .device = x.device()});
    a.grad_bias = grad_bias.mutable_raw();
    a.grad_bias_dtype = grad_bias.dtype();
  }
  a.g = g;
  if (needs[1]) note_convolution(g);
  kernels::conv2d_bwd_weight(x.device().type, a);
}

}  // namespace

Tensor conv2d(const Tensor& x_in, const Tensor& weight_in, const Tensor& bias_in,
              const Conv2dOptions& options) {
  const backend::OpScope scope("conv2d");
  const Tensor cast_x = autocast::input(x_in, autocast::Policy::lower);
  const Tensor cast_weight = autocast::input(weight_in, autocast::Policy::lower);
  const Tensor cast_bias = autocast::input(bias_in, autocast::Policy::lower);
  check_floating("conv2d", "x", cast_x);
  check_same_dtype("conv2d", cast_x, "weight", cast_weight);
  if (cast_bias.defined()) check_same_dtype("conv2d", cast_x, "bias", cast_bias);
  kernels::Conv2dGeometry g = geometry(cast_x, cast_weight, cast_bias, options);
  const Tensor x = cast_x.contiguous(kImages);
  const Tensor weight =
      cast_weight.contiguous(cast_weight.is_channels_last() ? kImages : MemoryFormat::contiguous);
  const Tensor bias = cast_bias.defined() ? cast_bias.contiguous() : cast_bias;

  set_weight_strides(g, weight);
  Tensor y = Tensor::empty({g.n, g.out_channels, g.out_h, g.out_w},
                           {.dtype = x.dtype(), .device = x.device(), .format = kImages});
  note_convolution(g);
  kernels::conv2d_fwd(x.device().type, {g,
                                        x.raw(),
                                        weight.raw(),
                                        bias.defined() ? bias.raw() : nullptr,
                                        y.mutable_raw(),
                                        x.dtype(),
                                        {}});

  if (!autograd::will_record({cast_x, cast_weight, cast_bias})) return y;
  return autograd::record("conv2d", {cast_x, cast_weight, cast_bias}, y,
                          [x = autograd::Saved(x), weight = autograd::Saved(weight), g](
                              const Tensor& grad, const autograd::Needs& needs) {
                            const Tensor grad_y = grad.contiguous(kImages);
                            autograd::GradList result(3);
                            if (needs[0]) result[0] = backward_data(g, grad_y, *weight);
                            if (needs[1] || needs[2])
                              backward_weight(g, *x, grad_y, *weight, needs, result);
                            return result;
                          });
}

}  // namespace sing::ops
