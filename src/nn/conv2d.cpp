#include "sing/nn/conv2d.h"

#include "sing/backend/layer_scope.h"
#include "sing/core/error.h"

namespace sing::nn {

Conv2d::Conv2d(int64_t in, int64_t out, int64_t kernel, const Conv2dLayerOptions& options)
    : conv_(options.conv),
      kernel_(kernel),
      weights_(Shape{out, in / options.conv.groups, kernel, kernel}.numel()),
      weight_(parameter("weight", {out, in / options.conv.groups, kernel, kernel},
                        options.weight_init, Tag::weight)) {
  SING_ASSERT(in % options.conv.groups == 0 && out % options.conv.groups == 0);
  if (options.bias)
    bias_ =
        &parameter("bias", {out},
                   Init::bias_default(Shape{in / conv_.groups, kernel, kernel}.numel()), Tag::bias);
}

Tensor Conv2d::forward(const Tensor& x) {
  const backend::LayerScope scope(path());
  return ops::conv2d(x, weight_.working, bias_ ? bias_->working : Tensor(), conv_);
}

double Conv2d::macs(int64_t& height, int64_t& width) const {
  const auto size = [&](int64_t n, size_t axis) {
    return (n + 2 * conv_.padding[axis] - conv_.dilation[axis] * (kernel_ - 1) - 1) /
               conv_.stride[axis] +
           1;
  };
  height = size(height, 0);
  width = size(width, 1);
  return static_cast<double>(height) * static_cast<double>(width) * static_cast<double>(weights_);
}

}  // namespace sing::nn
