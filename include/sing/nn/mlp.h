#pragma once
#include "sing/core/export.h"
#include "sing/nn/dropout.h"
#include "sing/nn/linear.h"
#include "sing/nn/module.h"

namespace sing::nn {

/// fc2(activation(fc1(x))), the feed-forward part of a transformer. x: (..., dim) -> same.
class SING_API Mlp : public Module {
 public:
  Mlp(int64_t dim, int64_t hidden, double dropout = 0,
      ops::Activation activation = ops::Activation::gelu);
  Tensor forward(const Tensor& x);

 private:
  ops::Activation activation_;
  Linear& fc1_;
  Dropout& drop1_;
  Linear& fc2_;
  Dropout& drop2_;
};

}  // namespace sing::nn
