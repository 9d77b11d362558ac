// The SING stage: a hand-worked case, the facts of the paper, and its numerical traps. Plain SGD of
// rate 1 from zero makes the values -g'.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "support/optim_problem.h"

namespace sing::optim {
namespace {

using testing::optimizer_config;
using testing::ParameterList;

/// g' of one gradient, by one step of SGD.
std::vector<double> transformed(const std::string& transforms, const Shape& shape,
                                const std::vector<double>& gradient, DType dtype = DType::f32,
                                bool fused = true) {
  ParameterList list;
  list.add("w", Tensor::zeros(shape, {.dtype = dtype}));
  Optimizer optimizer(
      optimizer_config("transforms: " + transforms +
                       "\nhost: {name: sgd, lr: 1}\nfused: " + (fused ? "true" : "false")),
      list.pointers());
  testing::set_gradient(optimizer.table(), 0, gradient);
  EXPECT_EQ(optimizer.step({}), StepStatus::applied);
  // The gradient the user sees is not modified.
  EXPECT_EQ(optimizer.table().gradient(0).to_vector(),
            Tensor::from(gradient, shape).to(dtype).to_vector());
  std::vector<double> result = list[0].value.to_vector();
  for (double& x : result) x = -x;
  return result;
}

double norm(const std::vector<double>& x) {
  return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
}

std::vector<double> noise(size_t n, int seed = 1) {
  std::vector<double> x(n);
  for (size_t i = 0; i < n; ++i)
    x[i] = testing::OptimProblem::noise(0, seed, static_cast<int64_t>(i));
  return x;
}

TEST(Sing, HandWorkedExample) {
  // Rows (1 2 3) and (0 4 2): means 2 and 2; centred (-1 0 1), (-2 2 0); norm sqrt(10).
  const auto g = transformed("[{name: sing, eps: 0}]", {2, 3}, {1, 2, 3, 0, 4, 2}, DType::f64);
  const double s = 1 / std::sqrt(10.0);
  const std::vector<double> want = {-s, 0, s, -2 * s, 2 * s, 0};
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(g[i], want[i], 1e-16);  // one rounding
  // Over the whole tensor the mean is 2 as well; the parts alone:
  EXPECT_EQ(transformed("[{name: sing, normalize: false}]", {2, 3}, {1, 2, 3, 0, 4, 2}),
            (std::vector<double>{-1, 0, 1, -2, 2, 0}));
  EXPECT_EQ(transformed("[centralize]", {2, 3}, {1, 2, 3, 0, 4, 2}),
            (std::vector<double>{-1, 0, 1, -2, 2, 0}));
  EXPECT_EQ(transformed("[{name: centralize, scope: tensor}]", {2, 2}, {0, 4, 0, 8}),
            (std::vector<double>{-3, 1, -3, 5}));
  EXPECT_EQ(transformed("[{name: normalize, eps: 0}]", {2, 2}, {3, 0, 0, 4}, DType::f64),
            (std::vector<double>{3.0 * 0.2, 0, 0, 4.0 * 0.2}));
}

TEST(Sing, EpsilonIsAddedToTheNorm) {
  // Norm 5e-8 with eps 1e-8: 5/6 of a unit step; max or eps under the root would give otherwise.
  const auto g = transformed("[sing]", {2}, {3e-8, 4e-8}, DType::f64);
  EXPECT_NEAR(norm(g), 5.0 / 6.0, 1e-12);  // decimal fractions of the inputs
}

TEST(Sing, VectorsAreNotCentred) {
  const auto g = transformed("[{name: sing, eps: 0}]", {4}, {1, 1, 1, 1}, DType::f64);
  EXPECT_EQ(g, (std::vector<double>{0.5, 0.5, 0.5, 0.5}));
  EXPECT_EQ(transformed("[{name: sing, eps: 0}]", {1}, {-3e-5}, DType::f64),
            std::vector<double>{-1});
  EXPECT_EQ(transformed("[{name: sing, eps: 0}]", {}, {42}, DType::f64), std::vector<double>{1});
}

TEST(Sing, InvariantToPowerOfTwoLossScaleBitwise) {
  for (const Shape& shape : {Shape{7, 5}, Shape{33}, Shape{3, 20000}}) {
    const auto g = noise(static_cast<size_t>(shape.numel()));
    const auto want = transformed("[{name: sing, eps: 0}]", shape, g);
    for (const double scale : {0x1p-20, 0x1p16, 0x1p40}) {
      auto scaled = g;
      for (double& x : scaled) x = static_cast<double>(static_cast<float>(x)) * scale;
      EXPECT_EQ(transformed("[{name: sing, eps: 0}]", shape, scaled), want) << scale;
    }
  }
}

TEST(Sing, UnitNormAndZeroRowMeans) {
  for (const Shape& shape : {Shape{7, 5}, Shape{4, 3, 3, 3}, Shape{3, 40000}, Shape{5000, 7}}) {
    const auto g = transformed("[sing]", shape, noise(static_cast<size_t>(shape.numel())));
    EXPECT_NEAR(norm(g), 1, 1e-6);  // f32 elements, wide sums; n / (n + 1e-8)
    const size_t cols = g.size() / static_cast<size_t>(shape[0]);
    for (size_t row = 0; row < static_cast<size_t>(shape[0]); ++row) {
      double sum = 0;
      for (size_t i = 0; i < cols; ++i) sum += g[row * cols + i];
      // Each element is off by at most half a unit of f32 relative to 1/sqrt(numel).
      EXPECT_LE(std::abs(sum) / static_cast<double>(cols), 1e-7);
    }
  }
}

TEST(Sing, TotalLengthIsTheRootOfTheNumberOfTensors) {
  testing::OptimProblem problem(DType::f64);
  const auto before = problem.parameters.values();
  Optimizer optimizer(optimizer_config("transforms: [{name: sing, eps: 0}]\n"
                                       "host: {name: sgd, lr: 1}"),
                      problem.parameters.pointers());
  problem.load_gradients(optimizer.table(), 1);
  optimizer.step({});
  double squares = 0;
  const auto after = problem.parameters.values();
  for (size_t k = 0; k < after.size(); ++k)
    for (size_t i = 0; i < after[k].size(); ++i)
      squares += (after[k][i] - before[k][i]) * (after[k][i] - before[k][i]);
  // Five of the six: the centred gradient of shape [6, 1] is zero.
  EXPECT_NEAR(squares, 5, 1e-13);
  EXPECT_EQ(after[4], before[4]);
}

TEST(Sing, ZeroAndRowConstantGradientsStayExactlyZero) {
  const std::vector<double> zero(35, 0.0);
  EXPECT_EQ(transformed("[sing]", {7, 5}, zero), zero);
  EXPECT_EQ(transformed("[{name: sing, eps: 0}]", {7, 5}, zero), zero);
  EXPECT_EQ(transformed("[{name: sing, eps: 0}]", {35}, zero), zero);
  // Long enough to be cut in pieces; a naive f32 mean leaves 1e-5 of noise that would be blown up.
  for (const Shape& shape : {Shape{7, 5}, Shape{3, 1001}, Shape{2, 50001}})
    for (const DType dtype : {DType::f32, DType::f64})
      for (const double value : {static_cast<double>(0.1f), 0.1, 1e30, -1e-30}) {
        const size_t n = static_cast<size_t>(shape.numel());
        const std::vector<double> g(n, value);
        EXPECT_EQ(norm(transformed("[sing]", shape, g, dtype)), 0)
            << to_string(shape) << " " << value;
      }
}

TEST(Sing, LargeMeanSmallSpread) {
  // Mean 1000, spread 0.01 in f32: norm^2 as sum g^2 - n mean^2 would be 0 or noise.
  for (const Shape& shape : {Shape{8, 64}, Shape{2, 40000}}) {
    auto g = noise(static_cast<size_t>(shape.numel()), 6);
    for (double& x : g) x = static_cast<double>(static_cast<float>(1000 + 0.01 * x));
    const auto got = transformed("[{name: sing, eps: 0}]", shape, g);
    const auto want = transformed("[{name: sing, eps: 0}]", shape, g, DType::f64);
    double error = 0, largest = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      error = std::max(error, std::abs(got[i] - want[i]));
      largest = std::max(largest, std::abs(want[i]));
    }
    EXPECT_LE(error, 3e-7 * largest);  // three f32 roundings, though the mean is 1e5 spreads away
    EXPECT_NEAR(norm(got), 1, 1e-6);
  }
}

TEST(Sing, ExtremeMagnitudesNeitherOverflowNorVanish) {
  for (const double magnitude : {1e19, 1e25, 3e38, 1e-25, 1e-37}) {
    auto g = noise(64);
    for (double& x : g) x *= magnitude;
    for (const Shape& shape : {Shape{8, 8}, Shape{64}})
      EXPECT_NEAR(norm(transformed("[{name: sing, eps: 0}]", shape, g)), 1, 1e-6) << magnitude;
  }
}

TEST(Sing, ChannelsLastRowsAreTheSameRows) {
  const Shape shape{4, 3, 3, 3};
  const auto g = noise(108);
  const auto want = transformed("[{name: sing, eps: 0}]", shape, g, DType::f64);
  ParameterList list;
  list.add("w", Tensor::zeros(shape, {.dtype = DType::f64, .format = MemoryFormat::channels_last}));
  Optimizer optimizer(
      optimizer_config("transforms: [{name: sing, eps: 0}]\nhost: {name: sgd, lr: 1}"),
      list.pointers());
  ASSERT_TRUE(optimizer.table().gradient(0).is_channels_last());
  testing::set_gradient(optimizer.table(), 0, g);
  optimizer.step({});
  const auto got = list[0].value.to_vector();
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(-got[i], want[i], 1e-15);  // order of sums
}

TEST(Sing, ClippingBeforeItCancelsAndAfterItDoesNot) {
  const auto g = noise(35);
  const auto alone = transformed("[sing]", {7, 5}, g);
  EXPECT_EQ(transformed("[{name: clip_global_norm, max_norm: 1e-3}, sing]", {7, 5}, g), alone);
  EXPECT_EQ(transformed("[{name: clip_tensor_norm, max_norm: 1e-3}, sing]", {7, 5}, g), alone);
  EXPECT_NEAR(norm(transformed("[sing, {name: clip_global_norm, max_norm: 0.25}]", {7, 5}, g)),
              0.25, 1e-6);  // the published 1e-6 in the divisor
}

TEST(Clip, NormsAndValues) {
  // As torch: factor 1 / (5 + 1e-6).
  const auto g = transformed("[clip_global_norm]", {2}, {3, 4}, DType::f64);
  EXPECT_NEAR(g[0], 3 / (5 + 1e-6), 1e-15);
  EXPECT_EQ(transformed("[{name: clip_global_norm, max_norm: 10}]", {2}, {3, 4}),
            (std::vector<double>{3, 4}));
  // Centring first makes the norm that of the centred values: (-1, 1), norm sqrt(2).
  const auto c = transformed("[centralize, clip_global_norm]", {1, 2}, {9, 11}, DType::f64);
  EXPECT_NEAR(c[1], 1 / (std::sqrt(2.0) + 1e-6), 1e-15);
  EXPECT_EQ(transformed("[{name: clip_value, max_value: 2}]", {3}, {1, -5, 2.5}),
            (std::vector<double>{1, -2, 2}));
  // A stage that is not affine between affine ones: clamp first, then centre what it left.
  EXPECT_EQ(transformed("[{name: clip_value, max_value: 2}, centralize]", {1, 2}, {0, 5}),
            (std::vector<double>{-1, 1}));
}

TEST(Clip, GlobalNormIsOverAllTensors) {
  ParameterList list;
  list.add("a", Tensor::zeros({1}, {.dtype = DType::f64}));
  list.add("b", Tensor::zeros({1}, {.dtype = DType::f64}));
  Optimizer optimizer(optimizer_config("transforms: [clip_global_norm]\nhost: {name: sgd, lr: 1}"),
                      list.pointers());
  testing::set_gradient(optimizer.table(), 0, {3});
  testing::set_gradient(optimizer.table(), 1, {4});
  optimizer.step({});
  EXPECT_NEAR(list[1].value.item(), -4 / (5 + 1e-6), 1e-15);
  EXPECT_EQ(optimizer.statistics().global_norm, 5);  // before clipping
}

}  // namespace
}  // namespace sing::optim
