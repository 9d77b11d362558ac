// Products with exact GELU and its derivative have cuDNN plans, at the sizes of transformers.
#include <gtest/gtest.h>

#include <set>

#include "backend/cuda/cudnn/matmul_graph.h"
#include "cuda/plans/plan_text.h"

namespace sing::test {
namespace {

using namespace cuda::cudnn;  // NOLINT: the whole file is about it

constexpr PlanRules kUsual{true, false};

/// From `dim` to four times that and, for the gradient, from `dim` back: what a block's two layers
/// ask for.
GeluProblem problem_of(GeluPass pass, int64_t rows, int64_t dim) {
  const int64_t wide = 4 * dim;
  if (pass == GeluPass::gradient) return {pass, false, rows, wide, dim, dim, wide, 1, wide};
  return {pass, true, rows, wide, dim, dim, 1, dim, wide};
}

TEST(CudnnPlans, ProductsWithGelu) {
  const struct {
    const char* model;
    int64_t rows, dim;
  } cases[] = {{"vit_s/16 128, 512 images", 512 * 64, 384},
               {"vit_s/8 128, 512 images", 512 * 256, 384},
               {"vit_b/16 224, 128 images", 128 * 197, 768},
               {"a base encoder, 12 texts of 384", 12 * 384, 768},
               {"odd rows", 4607, 392}};
  for (const auto& c : cases)
    for (const GeluPass pass : {GeluPass::result_and_kept, GeluPass::gradient}) {
      const GeluProblem problem = problem_of(pass, c.rows, c.dim);
      const auto plan = planned(c.model, kUsual,
                                [&](const Target& target) { return gelu_graph(problem, target); });
      ASSERT_NE(plan, nullptr) << problem.text();
      EXPECT_TRUE(allowed(plan->notes(), kUsual));
      EXPECT_LE(plan->workspace_bytes(), 1 << 20) << problem.text();
    }
}

TEST(CudnnPlans, GeluWithoutAnythingKeptOrBias) {
  GeluProblem problem = problem_of(GeluPass::result, 512 * 64, 384);
  for (const bool bias : {true, false}) {
    problem.bias = bias;
    EXPECT_NE(planned("vit_s/16 128, 512 images, evaluation", kUsual,
                      [&](const Target& target) { return gelu_graph(problem, target); }),
              nullptr);
  }
}

TEST(CudnnPlans, ToTimeFromEveryEngine) {
  const GeluProblem problem = problem_of(GeluPass::gradient, 1024, 128);
  const auto make = [&] { return gelu_graph(problem, absent_h200()); };
  const auto plans = plans_to_time(make, absent_h200(), kUsual, 1);
  std::set<int64_t> engines;
  bool first_kernel = false;
  for (size_t i = 0; i < plans.size(); ++i) {
    const EngineChoice& choice = plans[i]->choice();
    std::puts(choice.text().c_str());
    EXPECT_TRUE(allowed(plans[i]->notes(), kUsual));
    for (size_t j = 0; j < i; ++j) EXPECT_NE(choice, plans[j]->choice());
    engines.insert(choice.engine);
    if (!choice.knobs.empty()) first_kernel |= choice.knobs[0].second == 0;
  }
  EXPECT_GE(engines.size(), 2u);  // the heuristic names one
  EXPECT_TRUE(first_kernel);
  // What was chosen can be asked for again.
  ASSERT_FALSE(plans.empty());
  const auto again = find_plan(make(), absent_h200(), kUsual, plans[0]->choice());
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->choice(), plans[0]->choice());
  EXPECT_EQ(find_plan(make(), absent_h200(), kUsual, EngineChoice{-1, {}}), nullptr);
}

TEST(CudnnPlans, AChoiceAsText) {
  EXPECT_EQ((EngineChoice{7, {}}.text()), "engine 7");
  EXPECT_EQ((EngineChoice{7, {{24, 21}, {17, 2}}}.text()), "engine 7 (24=21, 17=2)");
}

}  // namespace
}  // namespace sing::test
