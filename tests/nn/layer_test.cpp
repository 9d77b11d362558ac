// What layers promise that the golden values do not show: masks, padding, errors.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "sing/core/error.h"
#include "sing/nn/attention.h"
#include "sing/nn/context.h"
#include "sing/nn/embedding.h"
#include "sing/nn/freeze.h"
#include "sing/nn/linear.h"
#include "sing/nn/load.h"
#include "sing/nn/mlp.h"
#include "sing/nn/norm.h"
#include "sing/nn/patch_embed.h"
#include "sing/ops/arithmetic.h"
#include "sing/ops/reduce.h"

namespace sing::nn {
namespace {

Tensor random(const Shape& shape, uint64_t seed) {
  Tensor t = Tensor::empty(shape);
  Init::normal(1).fill(t, {.seed = seed, .purpose = Purpose::test});
  return t;
}

Tensor booleans(const std::vector<uint8_t>& values, const Shape& shape) {
  return Tensor::from(values, shape).to(DType::boolean);
}

/// x with position `t` of each sequence replaced.
Tensor disturbed(const Tensor& x, int64_t t) {
  Tensor copy = x.clone();
  copy.narrow(1, t, 1).fill(100);
  return copy;
}

std::vector<double> at(const Tensor& y, int64_t t) {
  return y.narrow(1, t, 1).to_vector();
}

TEST(Layer, AttentionDoesNotSeeMaskedPositions) {
  SelfAttention layer(8, 2);
  layer.initialize(1);
  const Tensor x = random({1, 4, 8}, 1);
  const Tensor mask = booleans({1, 1, 0, 1}, {1, 4});
  const Tensor y = layer.forward(x, mask), moved = layer.forward(disturbed(x, 2), mask);
  EXPECT_EQ(at(y, 0), at(moved, 0));
  EXPECT_EQ(at(y, 3), at(moved, 3));
  EXPECT_NE(at(layer.forward(x), 0), at(layer.forward(disturbed(x, 2)), 0));
}

TEST(Layer, CausalAttentionDoesNotSeeTheFuture) {
  SelfAttention layer(8, 2, {.causal = true});
  layer.initialize(1);
  const Tensor x = random({2, 4, 8}, 1);
  const Tensor y = layer.forward(x), moved = layer.forward(disturbed(x, 2));
  EXPECT_EQ(at(y, 1), at(moved, 1));
  EXPECT_NE(at(y, 3), at(moved, 3));
}

TEST(Layer, CrossAttentionDoesNotSeeMaskedContext) {
  CrossAttention layer(8, 2);
  layer.initialize(1);
  const Tensor x = random({1, 3, 8}, 1), context = random({1, 4, 8}, 2);
  const Tensor mask = booleans({1, 0, 1, 1}, {1, 4});
  EXPECT_EQ(layer.forward(x, context, mask).to_vector(),
            layer.forward(x, disturbed(context, 1), mask).to_vector());
  EXPECT_NE(layer.forward(x, context).to_vector(),
            layer.forward(x, disturbed(context, 1)).to_vector());
}

TEST(Layer, HeadsMustDivideDim) {
  EXPECT_THROW(SelfAttention(8, 3), ConfigError);
  EXPECT_THROW(SelfAttention(8, 0), ConfigError);
  EXPECT_THROW(CrossAttention(8, 3), ConfigError);
}

TEST(Layer, AttentionDropoutFollowsTheContext) {
  SelfAttention layer(8, 2, {.attention_dropout = 0.5});
  layer.initialize(1);
  const Tensor x = random({1, 6, 8}, 1);
  EXPECT_THROW(layer.forward(x), InternalError);
  const auto output = [&](uint64_t step) {
    const ForwardContext context(1, step);
    return layer.forward(x).to_vector();
  };
  EXPECT_EQ(output(0), output(0));
  EXPECT_NE(output(0), output(1));
  layer.train(false);
  EXPECT_EQ(output(0), output(1));
}

TEST(Layer, EmbeddingPaddingHasNoGradient) {
  Embedding layer(3, 2, Init::normal(1), 1);
  layer.initialize(1);
  const Tensor indices = Tensor::from(std::vector<int64_t>{0, 1, 1, 2, 2}, {5});
  ops::sum(layer.forward(indices)).backward();
  EXPECT_EQ(layer.parameters()[0]->grad().to_vector(), (std::vector<double>{1, 1, 0, 0, 2, 2}));
  EXPECT_EQ(tags_text(layer.parameters()[0]->tags), "weight, embedding");
}

TEST(Layer, PatchesFoldBackToTheImage) {
  const int64_t p = 2;
  PatchEmbed cut(3, p, 12);
  cut.initialize(1);
  cut.to(DType::f64);
  // A weight that only reorders (channel, row, column) to (row, column, channel), and no bias.
  Parameter& weight = *cut.find_parameter("proj.weight");
  weight.value.fill(0);
  double* w = weight.value.mutable_data<double>();
  for (int64_t row = 0; row < p; ++row)
    for (int64_t col = 0; col < p; ++col)
      for (int64_t c = 0; c < 3; ++c) {
        const int64_t to = (row * p + col) * 3 + c, from = (c * p + row) * p + col;
        w[to * 12 + from] = 1;
      }
  cut.find_parameter("proj.bias")->value.fill(0);
  const Tensor images = random({2, 3, 4, 6}, 1).to(DType::f64);
  EXPECT_EQ(fold_patches(cut.forward(images), 3, 4, 6, p).to_vector(), images.to_vector());
}

TEST(Layer, PatchEmbedRefusesWhatDoesNotDivide) {
  PatchEmbed layer(3, 4, 8);
  layer.initialize(1);
  EXPECT_THROW(layer.forward(Tensor::zeros({1, 3, 8, 6})), ShapeError);
  EXPECT_THROW(layer.forward(Tensor::zeros({1, 3, 6, 8})), ShapeError);
  EXPECT_THROW(layer.forward(Tensor::zeros({1, 1, 8, 8})), ShapeError);
  EXPECT_THROW(layer.forward(Tensor::zeros({3, 8, 8})), ShapeError);
}

TEST(Layer, FrozenNormsKeepTheirStatistics) {
  BatchNorm2d layer(2, NormAffine::frozen);
  layer.initialize(1);
  EXPECT_EQ(layer.trainable_count(), 0);
  EXPECT_EQ(layer.parameter_count(), 4);
  Tensor x = random({4, 2, 3, 3}, 1);
  x.set_requires_grad();
  ops::sum(layer.forward(x)).backward();
  EXPECT_TRUE(x.grad().defined());
  EXPECT_FALSE(layer.parameters()[0]->grad().defined());
  EXPECT_NE(named_tensors(layer).at("running_mean").to_vector(), std::vector<double>(2, 0.0));
  EXPECT_EQ(BatchNorm2d(2, NormAffine::none).parameter_count(), 0);
  EXPECT_EQ(LayerNorm(2, 1e-5, NormAffine::none).parameter_count(), 0);
}

TEST(Layer, DefaultFirstValues) {
  Linear plain(25, 400), fine(25, 400, transformer_linear());
  plain.initialize(1);
  fine.initialize(1);
  const auto largest = [](Linear& layer, const char* name) {
    double result = 0;
    for (const double v : layer.find_parameter(name)->value.to_vector())
      result = std::max(result, std::abs(v));
    return result;
  };
  // 10,000 and 400 draws of U(-0.2, 0.2) come close to the bound; |N(0, 0.02)| stays below 5 sigma.
  EXPECT_NEAR(largest(plain, "weight"), 0.2, 0.001);
  EXPECT_NEAR(largest(plain, "bias"), 0.2, 0.01);
  EXPECT_LT(largest(fine, "weight"), 0.1);
  EXPECT_GT(largest(fine, "weight"), 0.06);
  EXPECT_EQ(largest(fine, "bias"), 0);
}

TEST(Layer, MlpDropsHiddenValuesInTrainingOnly) {
  Mlp layer(8, 64, 0.5);
  layer.initialize(1);
  const Tensor x = random({1, 8}, 1);
  // A hidden value that is dropped gives its column of fc2's weight no gradient.
  const auto zeros = [&] {
    for (Parameter* p : layer.parameters()) p->working.set_grad(zeros_like(p->working));
    const ForwardContext context(1, 0);
    const Tensor y = layer.forward(x);
    ops::sum(ops::mul(y, y)).backward();
    int count = 0;
    for (const Parameter* p : layer.parameters()) {
      if (p->name != "fc2.weight") continue;
      const Tensor columns = ops::sum(ops::mul(p->grad(), p->grad()), {0});
      for (const double g : columns.to_vector()) count += g == 0 ? 1 : 0;
    }
    return count;
  };
  const int dropped = zeros();
  EXPECT_GT(dropped, 16);  // 32 of 64 expected, 4 the standard deviation
  EXPECT_LT(dropped, 48);
  layer.train(false);
  EXPECT_EQ(zeros(), 0);
}

}  // namespace
}  // namespace sing::nn
