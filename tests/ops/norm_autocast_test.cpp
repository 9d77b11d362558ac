#include <gtest/gtest.h>

#include "sing/autograd/autocast.h"
#include "sing/ops/norm.h"

namespace sing {
namespace {

// A bf16 activation meets f32 parameters under autocast: they follow it, their gradients stay f32.
TEST(NormAutocast, ParametersFollowTheInput) {
  const Tensor x = Tensor::full({2, 4}, 1.5, {.dtype = DType::bf16});
  Tensor weight = Tensor::full({4}, 2.0);
  weight.set_requires_grad();
  const autocast::Guard guard(DType::bf16);
  const Tensor y = ops::layer_norm(x, weight);
  EXPECT_EQ(y.dtype(), DType::bf16);
  y.backward(Tensor::full({2, 4}, 1.0, {.dtype = DType::bf16}));
  EXPECT_EQ(weight.grad().dtype(), DType::f32);
}

}  // namespace
}  // namespace sing
