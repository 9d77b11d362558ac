// One op and its two layers: the same bits.
#include "sing/ops/feed_forward.h"

#include <gtest/gtest.h>

#include "sing/core/random.h"
#include "sing/ops/loss.h"

namespace sing {
namespace {

Tensor random(const Shape& shape, uint64_t seed, DType dtype) {
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  Random r({.seed = seed});
  for (float& v : values) v = static_cast<float>(r.normal());
  return Tensor::from(values, shape).to(dtype);
}

/// The result and the gradients of x, w1, b1, w2, b2.
std::vector<std::vector<double>> pass(bool fused, ops::Activation activation, DType dtype) {
  std::vector<Tensor> in;
  const Shape shapes[] = {{3, 37, 24}, {70, 24}, {70}, {24, 70}, {24}};
  for (size_t i = 0; i < std::size(shapes); ++i)
    in.push_back(random(shapes[i], i, dtype).set_requires_grad());
  const Tensor y = fused ? ops::feed_forward(in[0], in[1], in[2], in[3], in[4], activation)
                         : ops::linear(ops::linear(in[0], in[1], in[2], activation), in[3], in[4]);
  ops::mse_loss(y, random({3, 37, 24}, 9, dtype)).backward();
  std::vector<std::vector<double>> results{y.to_vector()};
  for (const Tensor& t : in) results.push_back(t.grad().to_vector());
  return results;
}

class FeedForward : public ::testing::TestWithParam<ops::Activation> {};

TEST_P(FeedForward, BitsOfTwoLinears) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const auto fused = pass(true, GetParam(), dtype), two = pass(false, GetParam(), dtype);
    for (size_t i = 0; i < fused.size(); ++i) EXPECT_EQ(fused[i], two[i]) << name_of(dtype) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Activations, FeedForward,
                         ::testing::Values(ops::Activation::none, ops::Activation::relu,
                                           ops::Activation::gelu, ops::Activation::gelu_tanh));

}  // namespace
}  // namespace sing
