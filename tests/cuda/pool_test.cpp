// Pooling where the op cases do not reach: NaN, ties, packs of channels with padding, sizes that
// are refused.
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "kernels/pool.h"
#include "sing/core/error.h"
#include "sing/core/random.h"
#include "sing/ops/pool.h"

namespace sing::test {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};

/// Few different values, so that windows have ties, and a NaN here and there.
Tensor images(const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i) {
    const uint64_t pick = random_below({3, Purpose::test, 0, 0}, i, 20);
    values[i] = pick == 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(pick % 5);
  }
  return Tensor::from(values, shape);
}

std::vector<double> without_nan(std::vector<double> values) {
  for (double& v : values)
    if (v != v) v = -1000;
  return values;
}

TEST(CudaPool, WinnersOfTiesAndNanAreThoseOfTheCpu) {
  const ops::Pool2dOptions options{.kernel = {3, 3}, .stride = {{2, 1}}, .padding = {1, 1}};
  for (const MemoryFormat format : {MemoryFormat::contiguous, MemoryFormat::channels_last})
    for (const int64_t channels : {3, 8, 24})
      for (const DType dtype : {DType::f32, DType::bf16}) {
        std::vector<std::vector<double>> results;
        for (const Device device : {Device{}, kCuda}) {
          Tensor x = images({2, channels, 7, 6}).to(dtype).contiguous(format).to(device);
          x.set_requires_grad(true);
          const Tensor y = ops::max_pool2d(x, options);
          y.backward(Tensor::full(y.shape(), 0.5, {.dtype = dtype}).to(device));
          results.push_back(without_nan(y.to(Device{}).to_vector()));
          results.push_back(x.grad().to(Device{}).to_vector());
        }
        EXPECT_EQ(results[2], results[0]) << name_of(dtype) << ", " << channels << " channels";
        EXPECT_EQ(results[3], results[1]) << name_of(dtype) << ", " << channels << " channels";
      }
}

TEST(CudaPool, ImagesOfTwoBillionElementsAreRefused) {
  kernels::Pool2dFwdArgs args{};
  args.dtype = DType::f32;
  args.kind = kernels::Pooling::average;
  args.g.n = args.g.channels = args.g.kernel_h = args.g.kernel_w = 1;
  args.g.stride_h = args.g.stride_w = 1;
  args.g.in_h = args.g.out_h = 1 << 16;
  args.g.in_w = args.g.out_w = 1 << 15;
  EXPECT_THROW(kernels::pool2d_fwd(DeviceType::cuda, args), NotImplementedError);
}

}  // namespace
}  // namespace sing::test
