// What the fused sum and norm promises beside its op case: the numbers of two ops, one pass each
// way.
#include <gtest/gtest.h>

#include "kernels/elementwise.h"
#include "kernels/layer_norm.h"
#include "kernels/memory.h"
#include "sing/autograd/autocast.h"
#include "sing/autograd/tape.h"
#include "sing/core/random.h"
#include "sing/ops/arithmetic.h"
#include "sing/ops/norm.h"
#include "sing/ops/unary.h"

namespace sing {
namespace {

Tensor random(const Shape& shape, uint64_t seed, DType dtype) {
  Random random({.seed = seed, .purpose = Purpose::test});
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  for (float& v : values) v = static_cast<float>(random.uniform() * 4 - 2);
  return Tensor::from(values, shape).to(dtype);
}

class AddLayerNorm : public ::testing::TestWithParam<DType> {};

// x and branch are in an op's hands, as in a network: what leaves receive is copied.
TEST_P(AddLayerNorm, BitsOfTwoOps) {
  const Shape shape{9, 37};
  const DType dtype = GetParam();
  for (const backend::KernelPath path :
       {backend::KernelPath::automatic, backend::KernelPath::reference}) {
    const backend::KernelPathGuard guard(path);
    Tensor x = random(shape, 1, dtype), branch = random(shape, 2, dtype);
    Tensor weight = random({37}, 3, dtype), bias = random({37}, 4, dtype);
    x.set_requires_grad(), branch.set_requires_grad(), weight.set_requires_grad();
    const ops::AddedNorm got = ops::add_layer_norm(x, branch, weight, bias);
    const Tensor sum = ops::add(x, branch), y = ops::layer_norm(sum, weight, bias);
    EXPECT_EQ(got.sum.to_vector(), sum.to_vector());
    EXPECT_EQ(got.y.to_vector(), y.to_vector());

    const Tensor of_sum = random(shape, 5, dtype), of_y = random(shape, 6, dtype);
    y.backward(of_y);
    Tensor wanted = x.grad().clone();
    const Tensor wanted_weight = weight.grad().clone();
    autograd::accumulate(wanted, of_sum);  // rounded in between, as two passes do
    for (Tensor* t : {&x, &branch, &weight}) t->set_grad({});
    // <sum, of_sum> + <y, of_y>, with the first factor of each tied to both outputs.
    ops::add(ops::mul(got.sum, of_sum), ops::mul(got.y, of_y))
        .backward(Tensor::full(shape, 1, {.dtype = dtype}));
    EXPECT_EQ(x.grad().to_vector(), wanted.to_vector());
    EXPECT_EQ(branch.grad().to_vector(), wanted.to_vector());
    EXPECT_EQ(weight.grad().to_vector(), wanted_weight.to_vector());
  }
}

INSTANTIATE_TEST_SUITE_P(DTypes, AddLayerNorm, ::testing::Values(DType::f32, DType::bf16),
                         [](const auto& param) { return std::string(name_of(param.param)); });

TEST(AddLayerNorm, OneKernelEachWay) {
  Tensor leaf = random({4, 16}, 1, DType::f32);
  leaf.set_requires_grad();
  const Tensor x = ops::mul_scalar(leaf, 2), branch = ops::mul_scalar(leaf, 3);
  const auto calls = [] {
    return std::array<int64_t, 4>{kernels::layer_norm_forward.calls(), kernels::binary.calls(),
                                  kernels::layer_norm_backward.calls(),
                                  kernels::strided_copy.calls()};
  };
  auto before = calls();
  const ops::AddedNorm result = ops::add_layer_norm(x, branch);
  auto after = calls();
  EXPECT_EQ(after[0] - before[0], 1);
  EXPECT_EQ(after[1] - before[1], 0);
  const Tensor loss = ops::add(result.sum, result.y);
  const Tensor grad = Tensor::full({4, 16}, 1);
  before = calls();
  loss.backward(grad);
  after = calls();
  EXPECT_EQ(after[2] - before[2], 1);
  // Two: the gradient of the leaf arrives from x and from branch. None to add up that of the sum.
  EXPECT_EQ(after[3] - before[3], 2);
}

// Under autocast a narrow branch meets a wide stream: the stream stays wide, gradients go back in
// the dtype of each side.
TEST(AddLayerNorm, MixedDtypes) {
  Tensor x = random({3, 8}, 1, DType::f32), branch = random({3, 8}, 2, DType::bf16);
  x.set_requires_grad(), branch.set_requires_grad();
  const autocast::Guard guard(DType::bf16);
  const ops::AddedNorm result = ops::add_layer_norm(x, branch);
  EXPECT_EQ(result.sum.dtype(), DType::f32);
  EXPECT_EQ(result.y.dtype(), DType::f32);
  EXPECT_EQ(result.sum.to_vector(), ops::add(x, branch.to(DType::f32)).to_vector());
  result.sum.backward(Tensor::full({3, 8}, 1));
  EXPECT_EQ(x.grad().dtype(), DType::f32);
  EXPECT_EQ(branch.grad().dtype(), DType::bf16);
}

TEST(AddLayerNorm, WithoutBranchTheSumIsX) {
  Tensor x = random({3, 8}, 1, DType::f32);
  x.set_requires_grad();
  const ops::AddedNorm result = ops::add_layer_norm(x, {});
  EXPECT_TRUE(result.sum.same_as(x));
  EXPECT_EQ(result.y.to_vector(), ops::layer_norm(x).to_vector());
}

}  // namespace
}  // namespace sing
