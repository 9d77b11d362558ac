// Reductions on the device whose sizes take paths of their own, and values that are special.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cuda/dense_samples.h"
#include "sing/ops/arithmetic.h"
#include "sing/ops/reduce.h"

namespace sing::test {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};

TEST(CudaReduce, Sizes) {
  OpCase c("sum");
  const auto sample = [&](const char* name, const Shape& shape, std::vector<int> dims) {
    c.sample(name, {in("x", shape)},
             [dims](const Inputs& i) { return ops::sum(i["x"], dims, false); });
  };
  sample("a thread per short row", {700, 5}, {1});
  sample("chunks of rows, columns in packs", {1100, 64}, {0});
  sample("chunks of rows, odd columns", {900, 7}, {0});
  sample("a middle dimension", {6, 130, 16}, {1});
  sample("few long rows", {3, 20000}, {1});
  sample("one long odd row", {40003}, {0});
  sample("two dimensions around a kept one", {9, 4, 96}, {0, 2});
  expect_dense_samples_close(c);
}

TEST(CudaReduce, AddsToAGradientThatIsThere) {
  const Tensor x = Tensor::full({300, 16}, 0.5, {.device = kCuda});
  Tensor bias = Tensor::zeros({16}, {.device = kCuda});
  bias.set_requires_grad();
  for (int pass = 0; pass < 2; ++pass) ops::sum(ops::add(x, bias)).backward();
  for (const double g : bias.grad().to(Device{}).to_vector()) EXPECT_EQ(g, 600);
}

TEST(CudaReduce, NotANumberWinsAndTheFirstOfEqualsIsChosen) {
  constexpr int64_t kCols = 5000;  // a block per row
  for (const int64_t cols : {int64_t{100}, kCols}) {
    std::vector<float> values(static_cast<size_t>(3 * cols), 1.0f);
    values[static_cast<size_t>(cols / 2)] = std::numeric_limits<float>::quiet_NaN();
    values[static_cast<size_t>(cols + cols / 3)] = values[static_cast<size_t>(2 * cols - 1)] = 7;
    const Tensor x = Tensor::from(values, {3, cols}).to(kCuda);
    const std::vector<double> largest = ops::max(x, {1}, false).to(Device{}).to_vector();
    EXPECT_TRUE(std::isnan(largest[0]));
    EXPECT_EQ(largest[1], 7);
    const std::vector<double> at = ops::argmax(x, 1).to(Device{}).to_vector();
    EXPECT_EQ(
        at, (std::vector<double>{static_cast<double>(cols / 2), static_cast<double>(cols / 3), 0}));
    EXPECT_TRUE(std::isnan(ops::min(x, {1}, false).to(Device{}).to_vector()[0]));
  }
}

TEST(CudaReduce, IntegersKeepAllTheirDigits) {
  const int64_t big = (int64_t{1} << 53) + 1;
  const Tensor x = Tensor::from(std::vector<int64_t>{big - 1, big, 3, -big}, {2, 2}).to(kCuda);
  const Tensor largest = ops::max(x, {1}, false).to(Device{});
  EXPECT_EQ(largest.data<int64_t>()[0], big);
  const Tensor least = ops::min(x, {}, false).to(Device{});
  EXPECT_EQ(least.data<int64_t>()[0], -big);
}

}  // namespace
}  // namespace sing::test
