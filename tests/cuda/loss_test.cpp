// Cross entropy on the device: widths that take different paths, and labels that do not exist.
#include <gtest/gtest.h>

#include <cmath>

#include "cuda/dense_samples.h"
#include "sing/core/error.h"
#include "sing/ops/loss.h"

namespace sing::test {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};

TEST(CudaCrossEntropy, Widths) {
  OpCase c("cross_entropy");
  // Whole warps of packs, rows that start between packs, a block per row.
  for (const int64_t classes : {512, 1003, 2500, 5001}) {
    const ops::CrossEntropyOptions options{.label_smoothing = 0.1};
    c.sample(std::to_string(classes),
             {in("x", {3, classes}), in("labels", {3}, Fill::index(classes))},
             [=](const Inputs& i) { return ops::cross_entropy(i["x"], i["labels"], options); });
  }
  expect_dense_samples_close(c);
}

TEST(CudaCrossEntropy, MaskedLogits) {
  // -inf is an ordinary way to forbid a class; a row of nothing else has no loss.
  const float none = -INFINITY;
  const Tensor x = Tensor::from(
      std::vector<float>{none, 1, 2, none, none, none, none, none, none, none, none, 5}, {3, 4});
  const Tensor labels = Tensor::from(std::vector<int64_t>{2, 1, 3}, {3});
  const ops::CrossEntropyOptions options{.reduction = ops::Reduction::none};
  const std::vector<double> loss =
      ops::cross_entropy(x.to(kCuda), labels.to(kCuda), options).to(Device{}).to_vector();
  EXPECT_NEAR(loss[0], std::log(1 + std::exp(-1.0)), 1e-6);  // f32 rounding
  EXPECT_TRUE(std::isnan(loss[1]));
  EXPECT_EQ(loss[2], 0);
}

TEST(CudaCrossEntropy, LabelOutsideTheClassesIsAnErrorAtTheNextWait) {
  for (const int64_t label : {int64_t{4}, int64_t{-1}}) {
    Tensor x = Tensor::zeros({2, 4}, {.device = kCuda});
    x.set_requires_grad();
    const Tensor labels = Tensor::from(std::vector<int64_t>{1, label}, {2}).to(kCuda);
    const Tensor loss = ops::cross_entropy(x, labels);
    try {
      loss.to(Device{});
      FAIL() << "label " << label << " passed";
    } catch (const DataError& error) {
      EXPECT_EQ(error.code(), "E0305");
      EXPECT_NE(std::string(error.what()).find(std::to_string(label)), std::string::npos);
    }
    // The bad row is left out, as an ignored one: nothing was read or written beyond the rows.
    loss.backward();
    const std::vector<double> gradient = x.grad().to(Device{}).to_vector();
    EXPECT_NEAR(gradient[1], -0.75, 1e-6);
    EXPECT_EQ(gradient[4], 0);
  }
}

}  // namespace
}  // namespace sing::test
