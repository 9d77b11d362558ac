#include "sing/nn/linear.h"

#include "sing/backend/layer_scope.h"

namespace sing::nn {

LinearOptions transformer_linear(bool bias, uint32_t extra_tags) {
  return {.bias = bias,
          .weight_init = Init::truncated_normal(0.02),
          .bias_init = Init::zeros(),
          .extra_tags = extra_tags};
}

Linear::Linear(int64_t in, int64_t out, const LinearOptions& options)
    : in_(in),
      out_(out),
      weight_(
          parameter("weight", {out, in}, options.weight_init, options.extra_tags | Tag::weight)) {
  if (options.bias)
    bias_ = &parameter("bias", {out}, options.bias_init.value_or(Init::bias_default(in)),
                       options.extra_tags | Tag::bias);
}

Tensor Linear::forward(const Tensor& x, ops::Activation activation) {
  const backend::LayerScope scope(path());
  return ops::linear(x, weight(), bias(), activation);
}

}  // namespace sing::nn
