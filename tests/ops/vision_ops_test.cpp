// Losses, dropout, convolution, pooling and batch norm: what the op cases do not say.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "backend/cpu/onednn/engine.h"
#include "sing/autograd/tape.h"
#include "sing/backend/kernel_slot.h"
#include "sing/core/error.h"
#include "sing/core/random.h"
#include "sing/core/thread_pool.h"
#include "sing/ops/batch_norm.h"
#include "sing/ops/conv.h"
#include "sing/ops/dropout.h"
#include "sing/ops/embedding.h"
#include "sing/ops/loss.h"
#include "sing/ops/pool.h"

namespace sing {
namespace {

using backend::KernelPath;
using backend::KernelPathGuard;
constexpr KernelPath kPaths[] = {KernelPath::automatic, KernelPath::reference};
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Tensor random(const Shape& shape, uint64_t seed, DType dtype = DType::f32) {
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  Random r({.seed = seed});
  for (float& v : values) v = static_cast<float>(r.normal());
  return Tensor::from(values, shape).to(dtype);
}

/// Bits of several tensors, one after another.
std::vector<char> bytes(const std::vector<Tensor>& tensors) {
  std::vector<char> all;
  for (const Tensor& t : tensors) {
    const Tensor dense = t.contiguous();
    const char* first = static_cast<const char*>(dense.raw());
    all.insert(all.end(), first, first + checked_bytes(dense.numel(), dense.dtype()));
  }
  return all;
}

template <class F>
void expect_same_bits_for_any_thread_count(F&& run) {
  const int before = num_threads();
  set_num_threads(1);
  const std::vector<char> one = bytes(run());
  for (const int threads : {2, 3}) {
    set_num_threads(threads);
    EXPECT_EQ(one, bytes(run())) << threads << " threads";
  }
  set_num_threads(before);
}

TEST(Conv2d, AnyThreadCountGivesTheSameBits) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    // 27 images of 5 x 5 outputs, 11 to a chunk: the last chunk is shorter.
    expect_same_bits_for_any_thread_count([&] {
      Tensor x = random({27, 48, 5, 5}, 1, dtype).set_requires_grad();
      Tensor w = random({64, 48, 3, 3}, 2, dtype).set_requires_grad();
      Tensor b = random({64}, 3, dtype).set_requires_grad();
      const Tensor y = ops::conv2d(x, w, b, {.padding = {1, 1}});
      y.backward(random(y.shape(), 4, dtype));
      return std::vector<Tensor>{y, x.grad(), w.grad(), b.grad()};
    });
  }
}

TEST(Conv2d, AWeightGradientAddsToItsBufferInEitherLayout) {
  const Tensor x = random({3, 4, 6, 6}, 1);
  const Tensor w = random({5, 4, 3, 3}, 2);
  std::vector<std::vector<double>> sums;
  for (const MemoryFormat format : {MemoryFormat::contiguous, MemoryFormat::channels_last}) {
    Tensor leaf = w.contiguous(format).clone().set_requires_grad();
    leaf.set_grad(Tensor::full(w.shape(), 2));
    const Tensor y = ops::conv2d(x, leaf);
    EXPECT_TRUE(y.is_channels_last());
    y.backward(Tensor::full(y.shape(), 1));
    sums.push_back(leaf.grad().to_vector());
  }
  for (size_t i = 0; i < sums[0].size(); ++i) EXPECT_NEAR(sums[0][i], sums[1][i], 1e-5);
}

TEST(Conv2d, TheImageAfterAnErrorIsStillRight) {
  const Tensor x = random({1, 2, 4, 4}, 1), w = random({3, 2, 3, 3}, 2);
  const std::vector<double> first = ops::conv2d(x, w).to_vector();
  EXPECT_THROW(ops::conv2d(x, random({3, 3, 3, 3}, 2)), ShapeError);
  EXPECT_EQ(ops::conv2d(x, w).to_vector(), first);
}

TEST(OneDnn, WhatItLacksIsLeftToTheReferenceAndFailuresAreNamed) {
  using backend::onednn::guarded;
  EXPECT_TRUE(guarded<int>(
      "op", [](const int& a) { return a == 3; }, 3));
  EXPECT_FALSE(guarded<int>(
      "op", [](const int&) -> bool { throw dnnl::error(dnnl_unimplemented, "no"); }, 3));
  EXPECT_THROW(
      guarded<int>(
          "op", [](const int&) -> bool { throw dnnl::error(dnnl_invalid_arguments, "bad"); }, 3),
      BackendError);
}

TEST(BatchNorm, AnyThreadCountGivesTheSameBits) {
  for (const MemoryFormat format : {MemoryFormat::contiguous, MemoryFormat::channels_last}) {
    expect_same_bits_for_any_thread_count([&] {
      Tensor x = random({9, 40, 17, 16}, 1).contiguous(format).set_requires_grad();
      Tensor w = random({40}, 2).set_requires_grad(), b = random({40}, 3).set_requires_grad();
      const Tensor mean = Tensor::zeros({40}), var = Tensor::full({40}, 1);
      const Tensor y = ops::batch_norm(x, w, b, mean, var);
      y.backward(random(y.shape(), 4));
      return std::vector<Tensor>{y, x.grad(), w.grad(), b.grad(), mean, var};
    });
  }
}

TEST(BatchNorm, RunningStatisticsFollowTheBatch) {
  for (const KernelPath path : kPaths) {
    const KernelPathGuard guard(path);
    // Channel 0: 1 2 3 4 (mean 2.5, unbiased variance 5/3); channel 1: 10 10 10 14.
    const Tensor x = Tensor::from(std::vector<float>{1, 10, 2, 10, 3, 10, 4, 14}, {4, 2});
    const Tensor mean = Tensor::from(std::vector<float>{1, 1}, {2});
    const Tensor var = Tensor::from(std::vector<float>{2, 2}, {2});
    ops::batch_norm(x, {}, {}, mean, var, {.momentum = 0.25});
    EXPECT_FLOAT_EQ(static_cast<float>(mean.to_vector()[0]), 0.75f + 0.25f * 2.5f);
    EXPECT_FLOAT_EQ(static_cast<float>(mean.to_vector()[1]), 0.75f + 0.25f * 11);
    EXPECT_FLOAT_EQ(static_cast<float>(var.to_vector()[0]), 1.5f + 0.25f * 5 / 3);
    EXPECT_FLOAT_EQ(static_cast<float>(var.to_vector()[1]), 1.5f + 0.25f * 4);
    const std::vector<double> before = mean.to_vector();
    ops::batch_norm(x, {}, {}, mean, var, {.training = false});
    EXPECT_EQ(mean.to_vector(), before);
  }
}

TEST(BatchNorm, AMeanFarFromZeroCostsNoPrecision) {
  // Values 4096 + {0, 1, 2, 3}: a variance taken as E[x^2] - E[x]^2 in f32 would be off by 100 %.
  std::vector<float> values;
  for (int i = 0; i < 400; ++i) values.push_back(4096.0f + static_cast<float>(i % 4));
  for (const KernelPath path : kPaths) {
    const KernelPathGuard guard(path);
    const std::vector<double> y =
        ops::batch_norm(Tensor::from(values, {400, 1}), {}, {}, {}, {}).to_vector();
    for (size_t i = 0; i < 4; ++i)
      EXPECT_NEAR(y[i], (static_cast<double>(i) - 1.5) / std::sqrt(1.25 + 1e-5), 1e-6);
  }
}

TEST(BatchNorm, SavedStatisticsAreNotTheRunningOnes) {
  Tensor x = random({3, 2}, 1).set_requires_grad();
  Tensor mean = Tensor::zeros({2}, {.dtype = DType::f64});
  const Tensor var = Tensor::full({2}, 1, {.dtype = DType::f64});
  Tensor w = Tensor::full({2}, 1).set_requires_grad();
  const Tensor y = ops::batch_norm(x, w, {}, mean, var, {.training = false});
  const std::vector<double> expected = [&] {
    Tensor again = w.detach().set_requires_grad();
    ops::batch_norm(x.detach(), again, {}, mean, var, {.training = false})
        .backward(Tensor::full({3, 2}, 1));
    return again.grad().to_vector();
  }();
  mean.fill(100);
  y.backward(Tensor::full({3, 2}, 1));
  EXPECT_EQ(w.grad().to_vector(), expected);
}

TEST(MaxPool, TiesGoToTheFirstAndNanWins) {
  for (const KernelPath path : kPaths) {
    const KernelPathGuard guard(path);
    for (const MemoryFormat format : {MemoryFormat::contiguous, MemoryFormat::channels_last}) {
      const auto pooled = [&](std::vector<double> values) {
        Tensor x = Tensor::from(values, {1, 1, 2, 2}).to(DType::f32);
        x = x.expand({1, 3, 2, 2}).contiguous(format).set_requires_grad();
        const Tensor y = ops::max_pool2d(x, {.kernel = {2, 2}});
        y.backward(Tensor::full(y.shape(), 1));
        return std::pair{y.to_vector()[1], x.grad().to_vector()};
      };
      const auto [tie, tie_grad] = pooled({2, 5, 5, 5});
      EXPECT_EQ(tie, 5);
      EXPECT_EQ(tie_grad, (std::vector<double>{0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0}));
      const auto [nan, nan_grad] = pooled({2, kNaN, 7, kNaN});
      EXPECT_TRUE(std::isnan(nan));
      EXPECT_EQ(nan_grad, (std::vector<double>{0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0}));
      const double low = -std::numeric_limits<double>::infinity();
      const auto [lowest, lowest_grad] = pooled({low, low, low, low});
      EXPECT_EQ(lowest, low);
      EXPECT_EQ(lowest_grad[0], 1);
    }
  }
}

TEST(Pooling, TheResultKeepsTheMemoryFormat) {
  const Tensor x = random({2, 3, 6, 6}, 1);
  EXPECT_TRUE(ops::blur_pool(x, 2).is_contiguous());
  EXPECT_TRUE(ops::blur_pool(x.contiguous(MemoryFormat::channels_last), 2).is_channels_last());
}

TEST(Dropout, TheMaskDependsOnKeyAndLogicalIndexOnly) {
  const RandomKey key{.seed = 3, .purpose = Purpose::dropout, .epoch = 4, .position = 5};
  const Tensor x = Tensor::full({2, 3, 7, 5}, 1);
  const std::vector<double> y = ops::dropout(x, 0.4, key).to_vector();
  EXPECT_EQ(ops::dropout(x.contiguous(MemoryFormat::channels_last), 0.4, key).to_vector(), y);
  EXPECT_EQ(ops::dropout(x.to(DType::f64), 0.4, key).to_vector().size(), y.size());
  const KernelPathGuard reference(KernelPath::reference);
  EXPECT_EQ(ops::dropout(x, 0.4, key).to_vector(), y);
  RandomKey other = key;
  other.position = 6;
  EXPECT_NE(ops::dropout(x, 0.4, other).to_vector(), y);
}

TEST(Dropout, KeepsAboutTheShareItShould) {
  const Tensor x = Tensor::full({100000}, 1);
  for (const double p : {0.1, 0.5, 0.75}) {
    const std::vector<double> y = ops::dropout(x, p, {.seed = 9}).to_vector();
    const double kept =
        static_cast<double>(std::count_if(y.begin(), y.end(), [](double v) { return v != 0; }));
    // Five standard deviations of a binomial count.
    EXPECT_NEAR(kept, 1e5 * (1 - p), 5 * std::sqrt(1e5 * p * (1 - p)));
  }
}

TEST(Dropout, IsTheIdentityOutsideTraining) {
  const Tensor x = random({5}, 1);
  EXPECT_TRUE(ops::dropout(x, 0.5, {}, false).same_as(x));
  EXPECT_TRUE(ops::dropout(x, 0, {}).same_as(x));
}

TEST(CrossEntropy, NothingButIgnoredRowsIsNanWithoutGradient) {
  for (const KernelPath path : kPaths) {
    const KernelPathGuard guard(path);
    Tensor x = random({2, 3}, 1).set_requires_grad();
    const Tensor targets = Tensor::from(std::vector<int64_t>{-100, -100}, {2});
    const Tensor loss = ops::cross_entropy(x, targets);
    EXPECT_TRUE(std::isnan(loss.item()));
    loss.backward();
    EXPECT_EQ(x.grad().to_vector(), std::vector<double>(6));
  }
}

template <class F>
void expect_position(F&& call, const std::string& where) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const DataError& e) {
    EXPECT_EQ(e.code(), "E0305");
    EXPECT_EQ(e.where(), where);
  }
}

TEST(Indices, TheFirstBadPositionIsNamedForAnyThreadCount) {
  // Two bad entries in different chunks.
  std::vector<int64_t> bad(40000, 1);
  bad[30011] = bad[39999] = 4;
  const Tensor at = Tensor::from(bad, {40000});
  const int before = num_threads();
  for (const int threads : {1, 3}) {
    set_num_threads(threads);
    for (const KernelPath path : kPaths) {
      const KernelPathGuard guard(path);
      expect_position(
          [&] {
            ops::cross_entropy(Tensor::zeros({40000, 4}), at);
          },
          "cross_entropy, position 30011");
      expect_position(
          [&] {
            ops::embedding(Tensor::zeros({4, 2}), at);
          },
          "embedding, position 30011");
    }
  }
  set_num_threads(before);
}

TEST(Embedding, ThePaddingRowGetsNoGradient) {
  Tensor w = random({4, 2}, 1).set_requires_grad();
  const Tensor y = ops::embedding(w, Tensor::from(std::vector<int32_t>{1, 2, 1, 3}, {4}), 1);
  EXPECT_EQ(y.to_vector()[0], w.to_vector()[2]);
  y.backward(Tensor::full({4, 2}, 1));
  EXPECT_EQ(w.grad().to_vector(), (std::vector<double>{0, 0, 0, 0, 1, 1, 1, 1}));
}

TEST(Losses, AreWideForNarrowInputs) {
  const Tensor x = random({64, 9}, 1, DType::bf16), t = random({64, 9}, 2, DType::bf16);
  const Tensor loss = ops::mse_loss(x, t);
  EXPECT_EQ(loss.dtype(), DType::f32);
  EXPECT_NEAR(loss.item(), ops::mse_loss(x.to(DType::f64), t.to(DType::f64)).item(), 1e-6);
}

}  // namespace
}  // namespace sing
