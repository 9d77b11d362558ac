#pragma once
#include "cuda/emulator/trace.h"
#include "kernels/conv.h"

// What a library's convolutions move and compute, taken down instead of done.
namespace sing::emulator {

struct ConvolutionSizes {
  double x, y, weight, flops;
};
inline ConvolutionSizes convolution_sizes(const kernels::Conv2dGeometry& g) {
  const auto real = [](int64_t n) { return static_cast<double>(n); };
  ConvolutionSizes s{
      real(g.n) * real(g.in_channels) * real(g.in_h) * real(g.in_w),
      real(g.n) * real(g.out_channels) * real(g.out_h) * real(g.out_w),
      real(g.out_channels) * real(g.in_channels / g.groups) * real(g.kernel_h) * real(g.kernel_w),
      0};
  s.flops = 2 * s.y * s.weight / real(g.out_channels);
  return s;
}

inline bool trace_convolution(const kernels::Conv2dFwdArgs& a) {
  const ConvolutionSizes s = convolution_sizes(a.g);
  const auto size = static_cast<double>(size_of(a.dtype));
  trace_call("library convolution", size * (s.x + s.weight), size * s.y, s.flops);
  zero_unless_dry(a.y, static_cast<size_t>(size * s.y));
  return true;
}
inline bool trace_convolution(const kernels::Conv2dBwdDataArgs& a) {
  const ConvolutionSizes s = convolution_sizes(a.g);
  const auto size = static_cast<double>(size_of(a.dtype));
  trace_call("library convolution, by data", size * (s.y + s.weight), size * s.x, s.flops);
  zero_unless_dry(a.grad_x, static_cast<size_t>(size * s.x));
  return true;
}
inline bool trace_convolution(const kernels::Conv2dBwdWeightArgs& a) {
  const ConvolutionSizes s = convolution_sizes(a.g);
  const auto size = static_cast<double>(size_of(a.dtype)),
             wide = static_cast<double>(size_of(a.grad_weight_dtype));
  if (a.dtype == a.grad_weight_dtype) {
    trace_call("library convolution, by weight", size * (s.x + s.y), wide * s.weight, s.flops);
    return true;
  }
  // Its result is rounded once and then added (src/backend/cuda/cudnn/convolution.cpp).
  trace_call("library convolution, by weight", size * (s.x + s.y), size * s.weight, s.flops);
  trace_call("copy to the gradient", (size + (a.add_weight ? wide : 0)) * s.weight, wide * s.weight,
             0);
  return true;
}

}  // namespace sing::emulator
