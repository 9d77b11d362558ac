#include "train/callbacks/norm_growth.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/optim_problem.h"

namespace sing::train {
namespace {

/// Steps until the first warning, 0 when there is none in `steps`; gradients of the tensor with the
/// tags are `size(step)` long, the other one's do not change.
template <class Size>
int64_t first_warning(uint32_t tags, int64_t steps, Size size, std::string* text = nullptr) {
  testing::ParameterList list;
  list.add("norm.weight", Tensor::from(std::vector<double>{1, 1}, {2}).to(DType::f64), tags);
  list.add("w", Tensor::from(std::vector<double>{1, 1}, {2}).to(DType::f64));
  optim::Optimizer optimizer(
      testing::optimizer_config("transforms: [sing]\nhost: {name: sgd, lr: 1e-3}"),
      list.pointers());
  NormGrowth growth;
  int64_t first = 0;
  for (int64_t step = 1; step <= steps; ++step) {
    testing::set_gradient(optimizer.table(), 0, {size(step), 0});
    testing::set_gradient(optimizer.table(), 1, {1, 1});
    optimizer.step({.step = step - 1});
    const auto said = growth.observe(optimizer);
    if (!said) continue;
    EXPECT_EQ(first, 0) << "said twice";
    first = step;
    if (text != nullptr) *text = *said;
  }
  return first;
}

constexpr uint32_t kNorm = static_cast<uint32_t>(nn::Tag::norm);
double doubling(int64_t step) {
  return std::exp2(static_cast<double>(step) / 100);
}

TEST(NormGrowth, IsToldOnceWithTheRemedy) {
  std::string text;
  // Six windows of 100 steps make five rises, each by a factor of two.
  EXPECT_EQ(first_warning(kNorm, 2000, doubling, &text), 600);
  EXPECT_NE(text.find("32.0x in 500 steps"), std::string::npos) << text;
  EXPECT_NE(text.find("groups: [{match: {tags: [norm]}, freeze: true}]"), std::string::npos);
}

TEST(NormGrowth, OtherTensorsMayGrow) {
  EXPECT_EQ(first_warning(static_cast<uint32_t>(nn::Tag::weight), 2000, doubling), 0);
}

TEST(NormGrowth, SlowOrPassingGrowthIsNone) {
  EXPECT_EQ(
      first_warning(kNorm, 2000, [](int64_t step) { return 1 + static_cast<double>(step) / 2000; }),
      0);
  // Up for 400 steps, down for 400, again and again.
  EXPECT_EQ(first_warning(kNorm, 4000,
                          [](int64_t step) {
                            const int64_t phase = step % 800;
                            return doubling(phase < 400 ? phase : 800 - phase);
                          }),
            0);
  EXPECT_EQ(first_warning(kNorm, 2000, [](int64_t) { return 3.0; }), 0);
}

}  // namespace
}  // namespace sing::train
