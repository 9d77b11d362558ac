// The residual stream between blocks: sums are left to the norm that reads them.
#include <gtest/gtest.h>

#include "kernels/elementwise.h"
#include "sing/nn/models/vit.h"
#include "sing/ops/arithmetic.h"

namespace sing::nn {
namespace {

Tensor tokens(uint64_t seed) {
  Tensor x = Tensor::empty({2, 3, 8});
  Init::normal(1).fill(x, {.seed = seed});
  return x;
}

std::unique_ptr<TransformerBlock> make_block() {
  auto block = std::make_unique<TransformerBlock>(
      TransformerBlockOptions{.dim = 8, .heads = 2, .hidden = 16});
  block->initialize(1);
  return block;
}

TEST(ResidualStream, AnOpenSumIsTheSum) {
  const auto block = make_block();
  const Tensor x = tokens(1), branch = tokens(2);
  const Tensor wanted = block->forward(ops::add(x, branch));
  for (const bool recompute : {false, true}) {
    block->set_recompute(recompute);
    const ResidualStream got = block->forward(ResidualStream{x, branch});
    EXPECT_EQ(got.branch.defined(), !recompute);  // recomputation keeps one tensor per block
    const Tensor sum = got.branch.defined() ? ops::add(got.x, got.branch) : got.x;
    EXPECT_EQ(sum.to_vector(), wanted.to_vector());
  }
}

int64_t additions(Vit& model) {
  Tensor x = Tensor::empty({2, 1, 8, 8});
  Init::normal(1).fill(x, {.seed = 3});
  const int64_t before = kernels::binary.calls();
  model.forward(x);
  return kernels::binary.calls() - before;
}

TEST(ResidualStream, NormsTakeEverySumOfAVit) {
  VitOptions options;
  options.patch = 4, options.depth = 3, options.dim = 8, options.heads = 2;
  for (const Head head : {Head::image_to_image, Head::classifier}) {
    Vit model(options, {.channels = 1, .height = 8, .width = 8, .head = head, .outputs = 1});
    model.initialize(1);
    EXPECT_EQ(additions(model), 1);  // of the position embedding
    model.set_recompute(true);
    EXPECT_EQ(additions(model), 1 + options.depth);
  }
}

}  // namespace
}  // namespace sing::nn
