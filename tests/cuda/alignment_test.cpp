// Tensors that do not begin at a multiple of 16 bytes: kernels that load 16 bytes at a time would
// fault on them.
#include <gtest/gtest.h>

#include "sing/ops/batch_norm.h"
#include "sing/ops/linear.h"
#include "sing/ops/loss.h"
#include "sing/ops/norm.h"
#include "sing/ops/reduce.h"
#include "sing/ops/reshape.h"
#include "sing/ops/softmax.h"

namespace sing::test {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};
constexpr int64_t kRows = 6, kCols = 16;

struct Result {
  std::vector<double> y, dx;
};
template <class Op>
Result run(const Op& op, Tensor x) {
  x.set_requires_grad();
  const Tensor y = op(x);
  y.backward(Tensor::full(y.shape(), 0.5, {.dtype = y.dtype(), .device = kCuda}));
  return {y.to(Device{}).to_vector(), x.grad().to(Device{}).to_vector()};
}

void expect_near(const std::vector<double>& got, const std::vector<double>& wanted, double bound,
                 const std::string& where) {
  ASSERT_EQ(got.size(), wanted.size()) << where;
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], wanted[i], bound) << where << ", " << i;
}

template <class Op>
void expect_alignment_is_free(const char* name, const Op& op) {
  std::vector<float> values(static_cast<size_t>(kRows * kCols) + 1);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(i * 2654435761u % 256) / 128 - 1;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Tensor all = Tensor::from(values, {kRows * kCols + 1}).to(dtype).to(kCuda);
    const Tensor shifted = all.narrow(0, 1, kRows * kCols).view({kRows, kCols}).detach();
    ASSERT_NE(reinterpret_cast<uintptr_t>(shifted.raw()) % 16, 0u);
    const Tensor aligned = shifted.clone();
    ASSERT_EQ(reinterpret_cast<uintptr_t>(aligned.raw()) % 16, 0u);
    const Result got = run(op, shifted), wanted = run(op, aligned);
    // Other orders of f32 sums, then one rounding.
    const double bound = dtype == DType::f32 ? 1e-5 : 0.02;
    const std::string where = std::string(name) + ", " + std::string(name_of(dtype));
    expect_near(got.y, wanted.y, bound, where + ", output");
    expect_near(got.dx, wanted.dx, bound, where + ", gradient");
  }
}

TEST(CudaAlignment, OfRowsAndSums) {
  expect_alignment_is_free("sum of rows", [](const Tensor& x) { return ops::sum(x, {1}, false); });
  expect_alignment_is_free("sum of columns",
                           [](const Tensor& x) { return ops::sum(x, {0}, false); });
  expect_alignment_is_free("layer_norm", [](const Tensor& x) { return ops::layer_norm(x); });
  expect_alignment_is_free("softmax", [](const Tensor& x) { return ops::softmax(x, 1); });
  expect_alignment_is_free("log_softmax", [](const Tensor& x) { return ops::log_softmax(x, 1); });
  expect_alignment_is_free("batch_norm",
                           [](const Tensor& x) { return ops::batch_norm(x, {}, {}, {}, {}); });
  expect_alignment_is_free("batch_norm of sequences", [](const Tensor& x) {
    return ops::batch_norm(ops::reshape(x, {kRows / 2, 2, kCols}), {}, {}, {}, {});
  });
}

TEST(CudaAlignment, OfLosses) {
  const Tensor labels = Tensor::from(std::vector<int64_t>{3, 1, 4, 1, 5, 15}, {kRows}).to(kCuda);
  expect_alignment_is_free("cross_entropy",
                           [&](const Tensor& x) { return ops::cross_entropy(x, labels); });
  expect_alignment_is_free("mse_loss", [](const Tensor& x) {
    return ops::mse_loss(x, Tensor::zeros(x.shape(), {.dtype = x.dtype(), .device = kCuda}),
                         ops::Reduction::none);
  });
}

TEST(CudaAlignment, OfParameters) {
  // The parameters begin in the middle of 16 bytes, the rows do not.
  const Tensor all = Tensor::full({kCols + 1}, 0.5, {.device = kCuda});
  const Tensor odd = all.narrow(0, 1, kCols), even = odd.clone();
  const Tensor x = Tensor::full({kRows, kCols}, 2, {.device = kCuda});
  expect_near(ops::layer_norm(x, odd, odd).to(Device{}).to_vector(),
              ops::layer_norm(x, even, even).to(Device{}).to_vector(), 1e-6, "layer_norm");
}

TEST(CudaAlignment, OfOutputGradients) {
  const Tensor all = Tensor::full({kRows * kCols + 1}, 0.5, {.device = kCuda});
  const Tensor odd = all.narrow(0, 1, kRows * kCols).view({kRows, kCols});
  const Tensor x = Tensor::full({kRows, 4}, 0.25, {.device = kCuda});
  const Tensor weight = Tensor::full({kCols, 4}, 0.5, {.device = kCuda});
  for (const ops::Activation activation : {ops::Activation::none, ops::Activation::gelu}) {
    std::vector<std::vector<double>> gradients;
    for (const Tensor& gradient : {odd, odd.clone()}) {
      Tensor bias = Tensor::zeros({kCols}, {.device = kCuda});
      bias.set_requires_grad();
      ops::linear(x, weight, bias, activation).backward(gradient);
      gradients.push_back(bias.grad().to(Device{}).to_vector());
    }
    expect_near(gradients[0], gradients[1], 1e-5, "linear");  // another order of f32 sums
  }
}

}  // namespace
}  // namespace sing::test
