// AdaFactor: steps by hand, factors of large and channels-last tensors, and what it refuses.
#include <cmath>

#include "support/optim_step.h"

namespace sing::optim {
namespace {

using testing::HandOptimizer;
using testing::OptimProblem;
using testing::refusal;

const std::string kExternal =
    "host: {name: adafactor, relative_step: false, scale_parameter: false";

TEST(AdaFactor, FactorsOfTheFirstStepByHand) {
  HandOptimizer o(kExternal + ", lr: 1, clip_threshold: 100}", {{{2, 2}, {0, 0, 0, 0}}});
  const auto after = o.step({{1, 2, 3, 4}});
  // Squares 1 4 9 16: row means 2.5 and 12.5, column means 5 and 10.
  const double row[] = {2.5 / 7.5, 12.5 / 7.5}, col[] = {5, 10};
  for (size_t i = 0; i < 4; ++i)
    EXPECT_NEAR(after[0][i], -(1.0 + static_cast<double>(i)) / std::sqrt(row[i / 2] * col[i % 2]),
                1e-15);
}

TEST(AdaFactor, VectorsKeepAllAndThePastDecays) {
  HandOptimizer o(kExternal + ", lr: 1, clip_threshold: 100}", {{{2}, {0, 0}}});
  EXPECT_NEAR(o.step({{3, -4}})[0][1], 1, 1e-15);
  const double keep = 1 - std::pow(2.0, -0.8);
  EXPECT_NEAR(o.step({{0, 1}})[0][1] - 1, -1 / std::sqrt(keep * 16 + (1 - keep)), 1e-14);
}

TEST(AdaFactor, LongStepsAreShortenedShortOnesAreNot) {
  // First steps of a vector are signs: root mean square 1.
  HandOptimizer cut(kExternal + ", lr: 1, clip_threshold: 0.25}", {{{2}, {0, 0}}});
  EXPECT_NEAR(cut.step({{3, -4}})[0][0], -0.25, 1e-15);
  HandOptimizer whole(kExternal + ", lr: 1, clip_threshold: 4}", {{{2}, {0, 0}}});
  EXPECT_NEAR(whole.step({{3, -4}})[0][0], -1, 1e-15);
}

TEST(AdaFactor, RatesOfItsOwn) {
  HandOptimizer relative("host: {name: adafactor, scale_parameter: false}", {{{1}, {0}}});
  EXPECT_NEAR(relative.step({{5}})[0][0], -1e-2, 1e-16);
  HandOptimizer warm("host: {name: adafactor, scale_parameter: false, warmup_init: true}",
                     {{{1}, {0}}});
  EXPECT_NEAR(warm.step({{5}})[0][0], -1e-6, 1e-20);
  EXPECT_NEAR(warm.step({{5}})[0][0], -3e-6, 1e-20);
  HandOptimizer scaled("host: {name: adafactor, eps2: 0.5}", {{{2}, {3, 4}}, {{2}, {0, 0}}});
  const auto after = scaled.step({{5, 5}, {5, 5}});
  EXPECT_NEAR(after[0][0], 3 - 1e-2 * 5 / std::sqrt(2.0), 1e-15);
  EXPECT_NEAR(after[1][0], -1e-2 * 0.5, 1e-16);
}

// Scaled by an external rate: step 2 must start from lr again, not from the rate of step 1.
TEST(AdaFactor, RatesDoNotCompound) {
  HandOptimizer o("host: {name: adafactor, relative_step: false, lr: 0.5}", {{{1}, {8}}});
  EXPECT_NEAR(o.step({{1}})[0][0], 4, 1e-14);
  EXPECT_NEAR(o.step({{1}})[0][0], 2, 1e-14);
}

TEST(AdaFactor, GroupsScaleItsOwnRate) {
  testing::ParameterList list;
  list.add("w", Tensor::full({1}, 0, {.dtype = DType::f64}));
  Optimizer optimizer(testing::optimizer_config("host: {name: adafactor, scale_parameter: false}\n"
                                                "groups: [{match: {ndim: 1}, lr_scale: 0.5}]"),
                      list.pointers());
  testing::set_gradient(optimizer.table(), 0, {1});
  optimizer.step({});
  EXPECT_NEAR(list[0].value.item(), -5e-3, 1e-16);
}

TEST(AdaFactor, DecayUsesTheRateOfTheTensor) {
  HandOptimizer o("host: {name: adafactor, relative_step: false, lr: 0.5, weight_decay: 0.25}",
                  {{{1}, {8}}});
  EXPECT_NEAR(o.step({{1}})[0][0], 8 * (1 - 0.25 * 4) - 4, 1e-14);
}

TEST(AdaFactor, AverageOfSteps) {
  HandOptimizer o(kExternal + ", lr: 1, beta1: 0.75}", {{{1}, {0}}});
  EXPECT_NEAR(o.step({{1}})[0][0], -0.25, 1e-15);
  EXPECT_NEAR(o.step({{1}})[0][0], -0.25 - (0.75 * 0.25 + 0.25), 1e-15);
}

TEST(AdaFactor, SoftplusComesBeforeClipping) {
  // Root 3 is beyond 20 / beta; root 0.01 becomes log(1 + e^0.5) / 50 = 0.0195.
  HandOptimizer o(kExternal + ", lr: 1, softplus_beta: 50, clip_threshold: 100}", {{{2}, {0, 0}}});
  const auto after = o.step({{3, 0.01}});
  EXPECT_NEAR(after[0][0], -1, 1e-14);
  EXPECT_NEAR(after[0][1], -0.01 / (std::log1p(std::exp(0.5)) / 50), 1e-14);
}

TEST(AdaFactor, ZeroGradientsAndNoEpsGiveNoNan) {
  HandOptimizer o(kExternal + ", lr: 1, eps1: 0}", {{{2, 2}, {1, 2, 3, 4}}, {{2}, {5, 6}}});
  const auto after = o.step({{0, 0, 0, 0}, {0, 0}});
  EXPECT_EQ(after[0], (std::vector<double>{1, 2, 3, 4}));
  EXPECT_EQ(after[1], (std::vector<double>{5, 6}));
}

/// Two steps of tensor [outer, rows, cols] by the plain formula, from zero.
std::vector<double> plain_two_steps(const std::vector<double>& first,
                                    const std::vector<double>& second, size_t rows, size_t cols) {
  const size_t n = first.size(), matrices = n / (rows * cols);
  std::vector<double> value(n), r(matrices * rows), c(matrices * cols);
  for (int step = 1; step <= 2; ++step) {
    const std::vector<double>& g = step == 1 ? first : second;
    const double keep = 1 - std::pow(step, -0.8);
    for (double& x : r) x *= keep;
    for (double& x : c) x *= keep;
    for (size_t e = 0; e < n; ++e) {
      const size_t matrix = e / (rows * cols);
      r[e / cols] += (1 - keep) * g[e] * g[e] / static_cast<double>(cols);
      c[matrix * cols + e % cols] += (1 - keep) * g[e] * g[e] / static_cast<double>(rows);
    }
    for (size_t e = 0; e < n; ++e) {
      const size_t matrix = e / (rows * cols);
      double mean = 0;
      for (size_t i = 0; i < rows; ++i) mean += r[matrix * rows + i];
      mean /= static_cast<double>(rows);
      value[e] -= g[e] / std::sqrt(r[e / cols] / mean * c[matrix * cols + e % cols]);
    }
  }
  return value;
}

// Bites, strips, chunks and lanes end in all places.
TEST(AdaFactor, FactorsOfAnyShapeAndStorage) {
  const std::string yaml = kExternal + ", lr: 1, clip_threshold: 1e9}";
  for (const Shape& shape : {Shape{300, 257}, Shape{3, 7000}, Shape{2000, 17}, Shape{1, 5},
                             Shape{5, 1}, Shape{4, 130, 140}, Shape{6, 50, 3, 3},
                             Shape{2, 2050, 3, 3}, Shape{3, 4, 1, 1}, Shape{2, 3, 1, 2000}})
    for (const MemoryFormat format : {MemoryFormat::contiguous, MemoryFormat::channels_last}) {
      if (format == MemoryFormat::channels_last && shape.rank() != 4) continue;
      std::vector<std::vector<double>> gradients(2);
      for (int64_t i = 0; i < shape.numel(); ++i)
        for (size_t step = 0; step < 2; ++step)
          gradients[step].push_back(
              OptimProblem::noise(step, 1, i) *
              (1 + static_cast<double>(i % 7 + i / shape.numel_between(1, shape.rank()))));
      testing::ParameterList list;
      list.add("w", Tensor::zeros(shape, {.dtype = DType::f64, .format = format}));
      Optimizer optimizer(testing::optimizer_config(yaml), list.pointers());
      for (const auto& g : gradients) {
        testing::set_gradient(optimizer.table(), 0, g);
        optimizer.step({});
      }
      const auto got = list[0].value.to_vector();
      const auto want =
          plain_two_steps(gradients[0], gradients[1], static_cast<size_t>(shape[shape.rank() - 2]),
                          static_cast<size_t>(shape[shape.rank() - 1]));
      double worst = 0;
      for (size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - want[i]));
      EXPECT_LE(worst, 1e-12) << to_string(shape) << (format == MemoryFormat::contiguous);
    }
}

TEST(AdaFactor, RefusesASecondHandOnItsRate) {
  EXPECT_EQ(refusal("host: adafactor"), "accepted");
  EXPECT_NE(refusal("host: adafactor\nschedule: cosine").find("rate of its own"),
            std::string::npos);
  EXPECT_NE(
      refusal("host: adafactor\nschedule: {name: constant, warmup: 5%}").find("rate of its own"),
      std::string::npos);
  EXPECT_EQ(refusal(kExternal + "}\nschedule: cosine"), "accepted");
  EXPECT_NE(refusal("host: {name: adafactor, relative_step: false, warmup_init: true}")
                .find("warmup_init is a form of"),
            std::string::npos);
}

}  // namespace
}  // namespace sing::optim
