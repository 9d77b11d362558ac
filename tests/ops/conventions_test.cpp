// Where mathematics leaves a choice (kinks, ties, zeros, infinities), these are PyTorch's choices.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "sing/autograd/autocast.h"
#include "sing/core/error.h"
#include "sing/ops/arithmetic.h"
#include "sing/ops/compare.h"
#include "sing/ops/gather.h"
#include "sing/ops/reduce.h"
#include "sing/ops/reshape.h"
#include "sing/ops/softmax.h"
#include "sing/ops/unary.h"

namespace sing {
namespace {

using Values = std::vector<double>;
constexpr double kInf = std::numeric_limits<double>::infinity();
const double kNaN = std::nan("");

Tensor leaf(const Values& values) {
  Tensor x = Tensor::from(values, {static_cast<int64_t>(values.size())});
  x.set_requires_grad();
  return x;
}
template <class Op>
Values gradient(const Values& at, Op op) {
  Tensor x = leaf(at);
  const Tensor y = op(x);
  y.backward(Tensor::full(y.shape(), 1, {.dtype = DType::f64}));
  return x.grad().to_vector();
}

TEST(Conventions, GradientsAtKinks) {
  EXPECT_EQ(gradient({-1, 0, 1}, ops::relu), (Values{0, 0, 1}));
  EXPECT_EQ(gradient({-1, 0, 1}, ops::abs), (Values{-1, 0, 1}));
  EXPECT_EQ(gradient({-1, 0, 1}, [](const Tensor& x) { return ops::leaky_relu(x, 0.5); }),
            (Values{0.5, 0.5, 1}));
  EXPECT_EQ(gradient({-1, 0, 1, 2}, [](const Tensor& x) { return ops::clamp(x, 0, 1); }),
            (Values{0, 1, 1, 0}));
}

TEST(Conventions, PowersOfZero) {
  EXPECT_EQ(gradient({0, 2}, [](const Tensor& x) { return ops::pow(x, 0); }), (Values{0, 0}));
  EXPECT_EQ(gradient({0, 3}, [](const Tensor& x) { return ops::pow(x, 1); }), (Values{1, 1}));
  EXPECT_EQ(gradient({0, 3}, [](const Tensor& x) { return ops::pow(x, 2); }), (Values{0, 6}));
  EXPECT_EQ(ops::pow(leaf({0, -2}), 0).to_vector(), (Values{1, 1}));
}

TEST(Conventions, SoftplusIsItsArgumentAboveTheThreshold) {
  const Tensor x = leaf({20, 20.5, 1000, -1000});
  const Values y = ops::softplus(x).to_vector();
  EXPECT_GT(y[0], 20);
  EXPECT_EQ(y[1], 20.5);
  EXPECT_EQ(y[2], 1000);
  EXPECT_EQ(y[3], 0);
}

TEST(Conventions, TiesOfMaximumAreHalved) {
  Tensor a = leaf({1, 2}), b = leaf({1, 3});
  ops::maximum(a, b).backward(Tensor::full({2}, 1, {.dtype = DType::f64}));
  EXPECT_EQ(a.grad().to_vector(), (Values{0.5, 0}));
  EXPECT_EQ(b.grad().to_vector(), (Values{0.5, 1}));
}

TEST(Conventions, FirstOfEqualExtremaGetsTheGradient) {
  const auto max = [](const Tensor& x) { return ops::max(x); };
  const auto min = [](const Tensor& x) { return ops::min(x); };
  EXPECT_EQ(gradient({1, 3, 3, 2}, max), (Values{0, 1, 0, 0}));
  EXPECT_EQ(gradient({2, 1, 1, 1}, min), (Values{0, 1, 0, 0}));
  EXPECT_EQ(ops::argmax(leaf({1, 3, 3, 2}), 0).item(), 1);
}

TEST(Conventions, NaNWins) {
  for (const DType dtype : {DType::f64, DType::f32}) {
    const Tensor x = leaf({1, kNaN, 3, kNaN}).to(dtype);
    EXPECT_TRUE(std::isnan(ops::max(x).item()));
    EXPECT_TRUE(std::isnan(ops::min(x).item()));
    EXPECT_EQ(ops::argmax(x, 0).item(), 1);
    const Tensor one = Tensor::full({4}, 1, {.dtype = dtype});
    for (const Tensor& y : {ops::maximum(x, one), ops::maximum(one, x), ops::minimum(x, one),
                            ops::minimum(one, x), ops::relu(x), ops::clamp(x, 0, 1)})
      EXPECT_TRUE(std::isnan(y.to_vector()[1]));
  }
}

TEST(Conventions, SoftmaxOfLargeAndInfiniteNumbers) {
  for (const DType dtype : {DType::f64, DType::f32}) {
    const Tensor large = leaf({1000, 1000, -1000}).to(dtype);
    EXPECT_EQ(ops::softmax(large, 0).to_vector(), (Values{0.5, 0.5, 0}));
    const Values logs = ops::log_softmax(large, 0).to_vector();
    EXPECT_NEAR(logs[0], -std::log(2.0), 1e-6);
    EXPECT_NEAR(logs[2], -2000 - std::log(2.0), 1e-3);
    const Tensor masked = leaf({1, -kInf, 1}).to(dtype);
    EXPECT_EQ(ops::softmax(masked, 0).to_vector(), (Values{0.5, 0, 0.5}));
  }
}

TEST(Conventions, SumsOfNothing) {
  EXPECT_EQ(ops::sum(Tensor::zeros({0})).item(), 0);
  EXPECT_TRUE(std::isnan(ops::mean(Tensor::zeros({0})).item()));
  EXPECT_FALSE(ops::any(Tensor::zeros({0})).item() != 0);
  EXPECT_TRUE(ops::all(Tensor::zeros({0})).item() != 0);
}

TEST(Conventions, NormAtZeroHasNoGradient) {
  EXPECT_EQ(gradient({0, 0}, [](const Tensor& x) { return ops::norm(x); }), (Values{0, 0}));
}

// The gradient of many equal picks is a sum: in the bf16 it arrives in, 1 + ... + 1 would stop at
// 256.
TEST(Conventions, PickedGradientsAddWide) {
  Tensor x = Tensor::full({1}, 1, {.dtype = DType::bf16});
  x.set_requires_grad();
  const Tensor index = Tensor::zeros({1024}, {.dtype = DType::i64});
  ops::index_select(x, 0, index).backward(Tensor::full({1024}, 1, {.dtype = DType::bf16}));
  EXPECT_EQ(x.grad().item(), 1024);
}

TEST(Conventions, SumsInF32DoNotDrift) {
  // 0.1f a hundred thousand times, one after another in f32, is off by 1.4. A rounding of the
  // result is 1e-3, so are a few roundings of short f32 partial sums.
  const double tenth = static_cast<double>(0.1f);
  EXPECT_NEAR(ops::sum(Tensor::full({100000}, 0.1)).item(), 1e5 * tenth, 5e-3);
  EXPECT_NEAR(ops::sum(Tensor::full({100000, 3}, 0.1), {0}).to_vector()[1], 1e5 * tenth, 5e-3);
}

TEST(Conventions, AutocastWidensSumsAndMixedOperands) {
  const Tensor narrow = Tensor::full({2}, 1, {.dtype = DType::bf16});
  const Tensor wide = Tensor::full({2}, 2);
  EXPECT_THROW(narrow + wide, DTypeError);
  EXPECT_EQ(ops::sum(narrow).dtype(), DType::bf16);
  const autocast::Guard guard(DType::bf16);
  EXPECT_EQ((narrow + wide).dtype(), DType::f32);
  EXPECT_EQ((narrow + narrow).dtype(), DType::bf16);
  EXPECT_EQ(ops::sum(narrow).dtype(), DType::f32);
  EXPECT_EQ(ops::softmax(narrow, 0).dtype(), DType::f32);
}

TEST(Conventions, ViewsShareMemoryAndReshapeCopiesOnlyWhenItMust) {
  const Tensor x = Tensor::zeros({2, 3});
  EXPECT_EQ(ops::reshape(x, {3, 2}).storage(), x.storage());
  EXPECT_EQ(ops::transpose(x, 0, 1).storage(), x.storage());
  EXPECT_NE(ops::reshape(ops::transpose(x, 0, 1), {6}).storage(), x.storage());
}

}  // namespace
}  // namespace sing
