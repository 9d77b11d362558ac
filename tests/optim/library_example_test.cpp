// SING without any model or YAML: a transform and a host over a caller's own arrays.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "sing/optim/optimizer.h"

namespace {

TEST(LibraryUse, TenLinesOverOwnArrays) {
  std::array<float, 6> weights = {1, 2, 3, 4, 5, 6}, gradient = {1, 0, 0, 0, 2, 0};

  // [example]
  using namespace sing;
  nn::Parameter w;
  w.name = "w";
  w.value = w.working = Tensor::wrap(weights.data(), {2, 3}, DType::f32);
  optim::OptimizerConfig config;
  config.transforms = {"sing"};
  config.host = "sgd";
  optim::Optimizer optimizer(config, std::array{&w});
  for (int64_t step = 0; step < 3; ++step) {
    optimizer.table().gradient(0).copy_from(Tensor::wrap(gradient.data(), {2, 3}, DType::f32));
    optimizer.step({.step = step});
  }
  // [example]

  double squares = 0;
  for (size_t i = 0; i < 6; ++i) squares += std::pow(weights[i] - static_cast<float>(i + 1), 2);
  // Three steps of length lr = 1e-3 in one direction; f32 weights of size 6 round by 2e-7 a step.
  EXPECT_NEAR(std::sqrt(squares), 3e-3, 2e-6);
}

}  // namespace
