#include "sing/ops/recompute.h"

#include <gtest/gtest.h>

#include "sing/autograd/autocast.h"
#include "sing/autograd/tape.h"
#include "sing/core/error.h"
#include "sing/core/random.h"
#include "sing/ops/batch_norm.h"
#include "sing/ops/conv.h"
#include "sing/ops/dropout.h"
#include "sing/ops/loss.h"
#include "sing/ops/pool.h"

namespace sing {
namespace {

Tensor random(const Shape& shape, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  Random r({.seed = seed});
  for (float& v : values) v = static_cast<float>(r.normal());
  return Tensor::from(values, shape);
}

/// Convolution, normalisation, dropout and pooling: a little of everything a block holds.
struct Net {
  Tensor weight = random({4, 3, 3, 3}, 1).set_requires_grad();
  Tensor scale = random({4}, 2).set_requires_grad();
  Tensor running_mean = Tensor::zeros({4}), running_var = Tensor::full({4}, 1);

  Tensor block(const Tensor& x) const {
    Tensor y = ops::conv2d(x, weight, {}, {.padding = {1, 1}});
    y = ops::batch_norm(y, scale, {}, running_mean, running_var);
    y = ops::dropout(y, 0.5, {.seed = 5, .purpose = Purpose::dropout, .epoch = 7});
    return ops::max_pool2d(y, {.kernel = {2, 2}});
  }
  Tensor loss(const Tensor& x, bool again) const {
    const auto fn = [this](std::span<const Tensor> in) { return block(in[0]); };
    const Tensor y = again ? ops::recompute(fn, {x}) : block(x);
    return ops::mse_loss(y, Tensor::zeros(y.shape()));
  }
};

struct Result {
  double loss;
  std::vector<std::vector<double>> values;
};

Result train(bool again, bool input_needs_gradient, bool low_precision) {
  const autocast::Guard cast(low_precision ? std::optional(DType::bf16) : std::nullopt);
  const Net net;
  Tensor x = random({3, 3, 6, 6}, 3);
  if (input_needs_gradient) x.set_requires_grad();
  const Tensor loss = net.loss(x, again);
  {
    const autocast::Guard none(std::nullopt);  // as a trainer does: backward is outside
    loss.backward();
  }
  Result result{loss.item(), {}};
  for (const Tensor& t : {net.weight.grad(), net.scale.grad(), net.running_mean, net.running_var})
    result.values.push_back(t.to_vector());
  if (input_needs_gradient) result.values.push_back(x.grad().to_vector());
  return result;
}

TEST(Recompute, SameLossGradientsAndRunningStatistics) {
  for (const bool input_needs_gradient : {true, false}) {
    for (const bool low_precision : {false, true}) {
      const Result kept = train(false, input_needs_gradient, low_precision);
      const Result again = train(true, input_needs_gradient, low_precision);
      EXPECT_EQ(kept.loss, again.loss);
      EXPECT_EQ(kept.values, again.values);
      EXPECT_NE(kept.values[0], std::vector<double>(kept.values[0].size()));
    }
  }
}

TEST(Recompute, RunsTwiceAndSavesNothingOfTheFirstRun) {
  int runs = 0, recorded = 0, second = 0;
  const Tensor weight = random({3}, 1).set_requires_grad();
  const auto fn = [&](std::span<const Tensor> in) {
    ++runs;
    if (autograd::grad_enabled()) ++recorded;
    if (ops::recomputing()) ++second;
    return ops::mse_loss(in[0], weight, ops::Reduction::sum);
  };
  const Tensor y = ops::recompute(fn, {random({3}, 2)});
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(recorded, 0);
  y.backward();
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(recorded, 1);
  EXPECT_EQ(second, 1);
  EXPECT_FALSE(ops::recomputing());
}

TEST(Recompute, NestsAndTakesAbsentInputs) {
  const Tensor x = random({4}, 1).set_requires_grad(), t = random({4}, 2);
  const auto inner = [](std::span<const Tensor> in) {
    EXPECT_FALSE(in[2].defined());
    return ops::mse_loss(in[0], in[1]);
  };
  const auto outer = [&](std::span<const Tensor> in) {
    return ops::recompute(inner, {in[0], in[1], in[2]});
  };
  ops::recompute(outer, {x, t, Tensor()}).backward();
  const std::vector<double> again = x.grad().to_vector();
  Tensor y = x.detach().set_requires_grad();
  ops::mse_loss(y, t).backward();
  EXPECT_EQ(again, y.grad().to_vector());
}

TEST(Recompute, WithoutRecordingItIsThePlainCall) {
  const autograd::NoGradGuard no_grad;
  const Tensor x = random({4}, 1).set_requires_grad();
  const Tensor y = ops::recompute(
      [](std::span<const Tensor> in) { return ops::mse_loss(in[0], Tensor::zeros({4})); }, {x});
  EXPECT_FALSE(y.requires_grad());
}

TEST(Recompute, AnInputWrittenToInBetweenIsNoticed) {
  Tensor x = random({4}, 1).set_requires_grad();
  const Tensor y = ops::recompute(
      [](std::span<const Tensor> in) { return ops::mse_loss(in[0], Tensor::zeros({4})); }, {x});
  x.fill(3);
  EXPECT_THROW(y.backward(), InternalError);
}

}  // namespace
}  // namespace sing
