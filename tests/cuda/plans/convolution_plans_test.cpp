// Every convolution of the shipped models has a cuDNN plan.
#include <gtest/gtest.h>

#include "cuda/plans/plan_text.h"
#include "cuda/plans/shipped_shapes.h"

namespace sing::test {
namespace {

using namespace cuda::cudnn;  // NOLINT: the whole file is about it

constexpr PlanRules kStrict{true, true}, kUsual{true, false};

ConvolutionProblem problem_of(const ShippedConvolution& c, DType dtype) {
  return {c.pass, c.geometry, dtype, dtype, false, false, 16};
}

TEST(CudnnPlans, ShippedConvolutions) {
  const std::vector<ShippedConvolution> all = shipped_convolutions();
  // Stem, three shapes of the first stages and three per further stage, times three passes (the
  // stem has no gradient for the image): a model that were not recorded would show here.
  EXPECT_GE(all.size(), 60u);
  for (const ShippedConvolution& c : all)
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const ConvolutionProblem problem = problem_of(c, dtype);
      const auto make = [&](const Target& t) { return convolution_graph(problem, t); };
      const auto plan = planned(c.model, dtype == DType::f32 ? kStrict : kUsual, make);
      ASSERT_NE(plan, nullptr) << problem.text();
      EXPECT_TRUE(allowed(plan->notes(), dtype == DType::f32 ? kStrict : kUsual));
    }
}

/// 3 x 3, 64 channels, as in the first stage of a ResNet.
kernels::Conv2dGeometry common() {
  return {32, 64, 56, 56, 64, 56, 56, 3, 3, 1, 1, 1, 1, 1, 1, 1, {576, 1, 192, 64}};
}

TEST(CudnnPlans, BiasGroupsDilationAccumulationAndOddAlignment) {
  kernels::Conv2dGeometry groups = common(), dilated = common();
  groups.groups = 4;
  groups.weight_strides = {144, 1, 48, 16};
  dilated.dilation_h = dilated.dilation_w = 2;
  dilated.pad_h = dilated.pad_w = 2;
  constexpr auto kForward = ConvolutionPass::forward;
  constexpr auto kWeight = ConvolutionPass::backward_weight;
  for (const DType t : {DType::f32, DType::bf16})
    for (const ConvolutionProblem& p :
         {ConvolutionProblem{kForward, common(), t, t, true, false, 16},
          ConvolutionProblem{kForward, groups, t, t, false, false, 16},
          ConvolutionProblem{kWeight, dilated, t, t, false, false, 16},
          ConvolutionProblem{kWeight, common(), t, t, false, true, 16},
          ConvolutionProblem{kForward, common(), t, t, false, false,
                             static_cast<int64_t>(size_of(t))}}) {
      const auto make = [&](const Target& target) { return convolution_graph(p, target); };
      EXPECT_NE(planned("conv2d", t == DType::f32 ? kStrict : kUsual, make), nullptr) << p.text();
    }
}

TEST(CudnnPlans, StrictF32UsesNoTensorCores) {
  const ConvolutionProblem p{
      ConvolutionPass::forward, common(), DType::f32, DType::f32, false, false, 16};
  const auto make = [&](const Target& t) { return convolution_graph(p, t); };
  const auto has_tensor_core = [](const Plan& plan) {
    for (const int64_t note : plan.notes())
      if (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE) return true;
    return false;
  };
  const auto strict = planned("conv2d", kStrict, make), fast = planned("conv2d", kUsual, make);
  ASSERT_TRUE(strict && fast);
  EXPECT_FALSE(has_tensor_core(*strict));
  EXPECT_TRUE(has_tensor_core(*fast));  // or the rule above would show nothing
}

TEST(CudnnPlans, AnImpossibleGraphNamesOpAndShape) {
  kernels::Conv2dGeometry wrong = common();
  wrong.out_h = 57;
  const ConvolutionProblem p{
      ConvolutionPass::forward, wrong, DType::bf16, DType::bf16, false, false, 16};
  try {
    convolution_graph(p, absent_h200());
    FAIL() << "cuDNN accepted an output of another size";
  } catch (const BackendError& error) {
    EXPECT_EQ(error.where().rfind("conv2d forward, x (32, 64, 56, 56) bf16", 0), 0u)
        << error.where();
    EXPECT_NE(std::string(error.what()).find("CUDNN_STATUS_"), std::string::npos) << error.what();
  }
}

std::unique_ptr<Plan> replay(const ConvolutionProblem& p, const PlanRules& rules,
                             const EngineChoice& choice) {
  std::string reason;
  return find_plan(convolution_graph(p, absent_h200()), absent_h200(), rules, &choice, reason);
}

TEST(CudnnPlans, AKnownChoiceIsTakenUnlessItIsUnknownOrNotAllowed) {
  const ConvolutionProblem p{
      ConvolutionPass::backward_weight, common(), DType::f32, DType::f32, false, false, 16};
  const auto make = [&](const Target& t) { return convolution_graph(p, t); };
  const auto fast = planned("conv2d", kUsual, make), strict = planned("conv2d", kStrict, make);
  ASSERT_TRUE(fast && strict);
  ASSERT_NE(fast->choice(), strict->choice());
  EXPECT_FALSE(fast->choice().knobs.empty());
  // Without rules against it, either is what was asked for, also the one that comes later.
  for (const Plan* known : {fast.get(), strict.get()}) {
    const auto again = replay(p, kUsual, known->choice());
    ASSERT_TRUE(again);
    EXPECT_EQ(again->choice(), known->choice());
    EXPECT_EQ(again->workspace_bytes(), known->workspace_bytes());
  }
  const auto refused = replay(p, kStrict, fast->choice());
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->choice(), strict->choice());
  const auto unknown = replay(p, kUsual, {99999, {}});
  ASSERT_TRUE(unknown);
  EXPECT_EQ(unknown->choice(), fast->choice());
}

}  // namespace
}  // namespace sing::test
