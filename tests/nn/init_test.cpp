#include "sing/nn/init.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "sing/core/error.h"
#include "sing/core/thread_pool.h"

namespace sing::nn {
namespace {

constexpr RandomKey kKey{.seed = 3, .purpose = Purpose::initial_weights, .epoch = 0, .position = 9};

std::vector<double> drawn(const Init& init, const Shape& shape) {
  Tensor t = Tensor::empty(shape);
  init.fill(t, kKey);
  return t.to_vector();
}

struct Moments {
  double mean, deviation, low, high;
};

Moments moments(const std::vector<double>& v) {
  double sum = 0, squares = 0;
  for (const double x : v) sum += x;
  const double mean = sum / static_cast<double>(v.size());
  for (const double x : v) squares += (x - mean) * (x - mean);
  return {mean, std::sqrt(squares / static_cast<double>(v.size())),
          *std::min_element(v.begin(), v.end()), *std::max_element(v.begin(), v.end())};
}

// 64 x 32 x 3 x 3 = 18,432 draws: the sample deviation is within 3 / sqrt(2 n) = 1.6 % of the true
// one, the extremes of a uniform draw within 0.2 % of its ends.
const Shape kConv{64, 32, 3, 3};

void expect_uniform(const Init& init, const Shape& shape, double bound) {
  const Moments m = moments(drawn(init, shape));
  EXPECT_NEAR(m.deviation, bound / std::sqrt(3.0), 0.016 * bound);
  EXPECT_LE(m.high, bound);
  EXPECT_GE(m.low, -bound);
  EXPECT_GT(m.high, 0.998 * bound);
  EXPECT_LT(m.low, -0.998 * bound);
}

TEST(Init, Constants) {
  EXPECT_EQ(drawn(Init::zeros(), {3}), std::vector<double>(3, 0.0));
  EXPECT_EQ(drawn(Init::ones(), {2, 2}), std::vector<double>(4, 1.0));
  EXPECT_EQ(drawn(Init::constant(0.25), {}), std::vector<double>(1, 0.25));
  EXPECT_TRUE(drawn(Init::kaiming_uniform(), {0, 4}).empty());
}

TEST(Init, UniformKinds) {
  expect_uniform(Init::uniform(0.7), kConv, 0.7);
  expect_uniform(Init::kaiming_uniform(), kConv, std::sqrt(6.0 / 288));
  expect_uniform(Init::kaiming_uniform(0, FanMode::fan_out), kConv, std::sqrt(6.0 / 576));
  expect_uniform(Init::torch_default(), kConv, 1 / std::sqrt(288.0));
  expect_uniform(Init::bias_default(25), {18432}, 0.2);
  expect_uniform(Init::xavier_uniform(2), {192, 96}, 2 * std::sqrt(6.0 / 288));
}

TEST(Init, NormalKinds) {
  const Moments plain = moments(drawn(Init::normal(0.5, 2), kConv));
  EXPECT_NEAR(plain.mean, 2, 0.5 * 3 / std::sqrt(18432.0));
  EXPECT_NEAR(plain.deviation, 0.5, 0.5 * 0.016);
  const double wanted = std::sqrt(2.0 / (1.25 * 576));
  EXPECT_NEAR(moments(drawn(Init::kaiming_normal(0.5, FanMode::fan_out), kConv)).deviation, wanted,
              0.016 * wanted);
}

TEST(Init, TruncatedNormalRedrawsWhatIsOutside) {
  const std::vector<double> wide = drawn(Init::truncated_normal(0.02), kConv);
  EXPECT_EQ(wide, drawn(Init::normal(0.02), kConv));  // 2 is 100 deviations away
  const std::vector<double> narrow = drawn(Init::truncated_normal(1, -0.5, 1), kConv);
  const Moments cut = moments(narrow);
  EXPECT_GE(cut.low, -0.5);
  EXPECT_LE(cut.high, 1);
  EXPECT_LT(std::count(narrow.begin(), narrow.end(), -0.5), 2);  // redrawn, not clamped
  // E = (phi(-0.5) - phi(1)) / (Phi(1) - Phi(-0.5)) = 0.2067.
  EXPECT_NEAR(cut.mean, 0.2067, 0.01);
}

TEST(Init, SameForEveryThreadCount) {
  const Shape large{70, 1000};  // many chunks
  const int before = num_threads();
  set_num_threads(1);
  const std::vector<double> one = drawn(Init::truncated_normal(1, -1, 1), large);
  for (int n = 2; n <= 4; ++n) {
    set_num_threads(n);
    EXPECT_EQ(drawn(Init::truncated_normal(1, -1, 1), large), one) << n;
  }
  set_num_threads(before);
}

TEST(Init, DependsOnLogicalOrderOnly) {
  Tensor nchw = Tensor::empty({2, 3, 4, 5});
  Tensor nhwc = Tensor::empty({2, 3, 4, 5}, {.format = MemoryFormat::channels_last});
  Tensor wide = Tensor::empty({2, 3, 4, 5}, {.dtype = DType::f64});
  for (Tensor* t : {&nchw, &nhwc, &wide}) Init::normal(1).fill(*t, kKey);
  EXPECT_EQ(nchw.to_vector(), nhwc.to_vector());
  EXPECT_EQ(nchw.to_vector(), wide.to_vector());
}

TEST(Init, FanNeedsAMatrix) {
  Tensor vector = Tensor::empty({3});
  EXPECT_THROW(Init::kaiming_uniform().fill(vector, kKey), ShapeError);
}

}  // namespace
}  // namespace sing::nn
