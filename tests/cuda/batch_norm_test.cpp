// Batch normalisation on the device: sizes that are cut into chunks, and data far from zero.
#include <gtest/gtest.h>

#include <cmath>

#include "cuda/dense_samples.h"
#include "sing/ops/batch_norm.h"

namespace sing::test {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};

TEST(CudaBatchNorm, Chunks) {
  OpCase c("batch_norm");
  const auto op = [](const Inputs& i) {
    return ops::batch_norm(i["x"], i["weight"], i["bias"], {}, {});
  };
  const auto sample = [&](const char* name, const Shape& shape) {
    c.sample(name,
             {in("x", shape, Fill::normal()), in("weight", {shape[1]}), in("bias", {shape[1]})},
             op);
  };
  sample("rows of packs", {1100, 64});
  sample("pieces of channels", {2, 3, 4099});
  sample("pieces in packs", {3, 2, 16 * 400});
  expect_dense_samples_close(c);
}

/// x far from zero, and one element far from the others where a thread begins.
Tensor far_from_zero(const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = 1000 + static_cast<float>(i * 2654435761u % 1024) / 512;
  values[0] = -1000;
  return Tensor::from(values, shape);
}

TEST(CudaBatchNorm, KeepsTheDigitsOfDataFarFromZero) {
  for (const Shape& shape : {Shape{3000, 4}, Shape{3, 4, 1001}}) {
    const Tensor x = far_from_zero(shape), wide = x.to(DType::f64);
    Tensor mean = Tensor::zeros({4}), var = Tensor::zeros({4});
    Tensor device_mean = mean.to(kCuda), device_var = var.to(kCuda);
    const ops::BatchNormOptions options{.momentum = 1};
    ops::batch_norm(wide, {}, {}, mean, var, options);
    ops::batch_norm(x.to(kCuda), {}, {}, device_mean, device_var, options);
    const std::vector<double> means = mean.to_vector(), vars = var.to_vector(),
                              got_means = device_mean.to(Device{}).to_vector(),
                              got_vars = device_var.to(Device{}).to_vector();
    for (size_t c = 0; c < 4; ++c) {
      EXPECT_NEAR(got_means[c], means[c], 1e-7 * means[c]) << c;  // the f32 they are stored in
      EXPECT_NEAR(got_vars[c], vars[c], 2e-6 * vars[c]) << c;     // squares are f32, their sums f64
    }
  }
}

}  // namespace
}  // namespace sing::test
