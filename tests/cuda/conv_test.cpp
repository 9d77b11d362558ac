// The backend's own convolution where the op battery does not reach: sums cut into several ranges,
// more channels than one tile, accumulation into f32 gradients.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/conv.h"
#include "sing/backend/plugin.h"
#include "sing/tensor/tensor.h"

namespace sing::test {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};

/// Numbers of magnitude 1 that repeat nowhere soon.
Tensor numbers(const Shape& shape, double seed) {
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i) {
    const auto at = static_cast<double>(i);
    values[i] = static_cast<float>(1.5 * std::sin(seed + 0.7 * at + 1e-4 * at * at));
  }
  return Tensor::from(values, shape);
}

struct Case {
  const char* name;
  kernels::Conv2dGeometry g;
};

/// Square images, kernel 3 x 3 or 1 x 1 with "same" padding.
Case square(const char* name, int64_t n, int64_t in, int64_t out, int64_t size, int64_t kernel,
            int64_t groups, bool channels_last) {
  const int64_t i = in / groups, k = kernel, pad = kernel / 2;
  kernels::Conv2dGeometry g{n,
                            in,
                            size,
                            size,
                            out,
                            size,
                            size,
                            k,
                            k,
                            1,
                            1,
                            pad,
                            pad,
                            1,
                            1,
                            groups,
                            {i * k * k, k * k, k, 1}};
  if (channels_last) g.weight_strides = {i * k * k, 1, k * i, i};
  return {name, g};
}

std::vector<Case> cases() {
  return {square("several ranges of pixels", 3, 3, 5, 33, 3, 1, false),
          square("more channels than a tile", 1, 70, 130, 7, 3, 1, true),
          square("groups wider than a narrow tile", 2, 18, 27, 9, 3, 3, false),
          square("one by one", 2, 65, 66, 8, 1, 1, true),
          square("no output channel", 2, 3, 0, 5, 3, 1, false),
          square("no input channel", 2, 0, 3, 5, 3, 1, false)};
}

/// The three passes on one device; what comes out is f32 on the CPU.
struct Results {
  Tensor y, grad_x, grad_weight, grad_bias;
};

Results run(const Case& c, DType dtype, bool add, Device device) {
  const kernels::Conv2dGeometry& g = c.g;
  const int64_t taps = g.kernel_h * g.kernel_w, in_group = g.in_channels / g.groups;
  const auto input = [&](int64_t n, double seed) {
    return numbers({n}, seed).to(dtype).to(device);
  };
  const Tensor x = input(g.n * g.in_h * g.in_w * g.in_channels, 1);
  const Tensor weight = input(g.out_channels * in_group * taps, 2);
  const Tensor bias = input(g.out_channels, 3);
  const Tensor grad_y = input(g.n * g.out_h * g.out_w * g.out_channels, 4);
  Tensor y = Tensor::empty(grad_y.shape(), {.dtype = dtype, .device = device});
  Tensor grad_x = Tensor::empty(x.shape(), {.dtype = dtype, .device = device});
  Tensor grad_weight = numbers(weight.shape(), 5).to(device);
  Tensor grad_bias = numbers(bias.shape(), 6).to(device);
  kernels::conv2d_fwd(device.type,
                      {g, x.raw(), weight.raw(), bias.raw(), y.mutable_raw(), dtype, {}});
  kernels::conv2d_bwd_data(device.type,
                           {g, grad_y.raw(), weight.raw(), grad_x.mutable_raw(), dtype, {}});
  kernels::conv2d_bwd_weight(device.type, {g,
                                           x.raw(),
                                           grad_y.raw(),
                                           grad_weight.mutable_raw(),
                                           grad_bias.mutable_raw(),
                                           add,
                                           add,
                                           dtype,
                                           DType::f32,
                                           DType::f32,
                                           {}});
  const auto output = [](const Tensor& t) { return t.to(Device{}).to(DType::f32); };
  return {output(y), output(grad_x), output(grad_weight), output(grad_bias)};
}

/// Sums of `terms` products of magnitude 1 in f32: each addition rounds a partial sum of magnitude
/// sqrt(terms), and the errors add up like a random walk, to terms * eps; 8 to be safe. `rounding`
/// is that of a result once more.
void expect_close(const Tensor& got, const Tensor& wanted, int64_t terms, double rounding) {
  const std::vector<double> a = got.to_vector(), b = wanted.to_vector();
  const double sum = 8 * static_cast<double>(terms + 1) *
                     static_cast<double>(std::numeric_limits<float>::epsilon());
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_NEAR(a[i], b[i], sum + rounding * (1 + std::abs(b[i]))) << "element " << i;
}

TEST(CudaConvolution, AgreesWithTheReference) {
  const backend::BackendState& state = backend::backend_state(DeviceType::cuda);
  ASSERT_TRUE(state.usable) << state.reason;
  for (const Case& c : cases())
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const bool add : {false, true}) {
        SCOPED_TRACE(std::string(c.name) + ", " + std::string(name_of(dtype)) +
                     (add ? " +=" : " ="));
        Results wanted;
        {
          const backend::KernelPathGuard reference(backend::KernelPath::reference);
          wanted = run(c, dtype, add, Device{});
        }
        const Results got = run(c, dtype, add, kCuda);
        const kernels::Conv2dGeometry& g = c.g;
        const int64_t taps = g.kernel_h * g.kernel_w, pixels = g.n * g.out_h * g.out_w;
        const double narrow = dtype == DType::bf16 ? 0x1p-7 : 0x1p-22;
        expect_close(got.y, wanted.y, taps * g.in_channels / g.groups, narrow);
        expect_close(got.grad_x, wanted.grad_x, taps * g.out_channels / g.groups, narrow);
        // On a device cuDNN rounds a gradient from bf16 images to bf16 before it is added.
        expect_close(got.grad_weight, wanted.grad_weight, pixels, narrow);
        expect_close(got.grad_bias, wanted.grad_bias, pixels, 0x1p-22);
      }
}

}  // namespace
}  // namespace sing::test
