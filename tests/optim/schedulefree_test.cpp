// Schedule-Free AdamW: steps by hand, the weights of evaluation, and what it refuses.
#include <cmath>

#include "support/optim_step.h"

namespace sing::optim {
namespace {

using testing::HandOptimizer;
using testing::refusal;

TEST(ScheduleFree, ThreePointsByHand) {
  // Steps of z have length lr (a constant gradient). x is the plain mean of z: 9, then 8.5.
  HandOptimizer o("host: {name: schedulefree_adamw, lr: 1, eps: 0, betas: [0.75, 0.5]}",
                  {{{1}, {10}}});
  EXPECT_DOUBLE_EQ(o.step({{3}})[0][0], 9);  // c = 1: x = z = y
  EXPECT_DOUBLE_EQ(o.step({{3}})[0][0], 0.75 * 8.5 + 0.25 * 8);
  ASSERT_TRUE(o.optimizer().has_averages());
  o.optimizer().use_averages(true);
  EXPECT_DOUBLE_EQ(o.values()[0][0], 8.5);
  o.optimizer().use_averages(false);
  EXPECT_DOUBLE_EQ(o.values()[0][0], 0.75 * 8.5 + 0.25 * 8);
}

TEST(ScheduleFree, WeightsFollowTheLargestRate) {
  // Rates 1/2, 1, 1 give weights 1/4, 1, 1 with power 2; z 9.5, 8.5, 7.5.
  HandOptimizer o(
      "host: {name: schedulefree_adamw, lr: 1, eps: 0, betas: [0.5, 0.5], warmup_steps: 2}",
      {{{1}, {10}}});
  EXPECT_DOUBLE_EQ(o.step({{3}})[0][0], 9.5);
  const double x2 = (0.25 * 9.5 + 8.5) / 1.25;
  EXPECT_NEAR(o.step({{3}})[0][0], 0.5 * x2 + 0.5 * 8.5, 1e-14);
  const double x3 = (0.25 * 9.5 + 8.5 + 7.5) / 2.25;
  EXPECT_NEAR(o.step({{3}})[0][0], 0.5 * x3 + 0.5 * 7.5, 1e-14);
}

TEST(ScheduleFree, DecayAtTheGradientsPoint) {
  const std::string host = "host: {name: schedulefree_adamw, lr: 0.5, eps: 0, betas: [0.5, 0]";
  HandOptimizer o(host + ", weight_decay: 0.1}", {{{1}, {10}}});
  EXPECT_DOUBLE_EQ(o.step({{3}})[0][0], 10 - 0.5 * 0.1 * 10 - 0.5);
  // y = x = z = 9: z 9 - 0.45 - 0.5, x halfway between 9 and that.
  const double z = 9 - 0.5 * 0.1 * 9 - 0.5, x = (9 + z) / 2;
  EXPECT_NEAR(o.step({{3}})[0][0], 0.5 * x + 0.5 * z, 1e-14);
  HandOptimizer coupled(host + ", weight_decay: 1, decoupled: false}", {{{1}, {10}}});
  EXPECT_DOUBLE_EQ(coupled.step({{-11}})[0][0], 10.5);  // -11 + 10 < 0
}

TEST(ScheduleFree, RateOfZeroGivesNoNan) {
  HandOptimizer o("host: {name: schedulefree_adamw, lr: 0}", {{{1}, {10}}});
  EXPECT_DOUBLE_EQ(o.step({{3}})[0][0], 10);
  EXPECT_DOUBLE_EQ(o.step({{3}})[0][0], 10);
}

TEST(ScheduleFree, UntouchedTensorsAreTheirOwnMean) {
  HandOptimizer o("host: {name: schedulefree_adamw}", {{{1}, {10}}, {{1}, {7}}});
  o.step({{3}});
  o.optimizer().use_averages(true);
  EXPECT_EQ(o.values()[1][0], 7);
}

TEST(ScheduleFree, RefusesASecondHandOnTheRateOrTheWeights) {
  const std::string host = "host: schedulefree_adamw\n";
  const auto contains = [&](const std::string& rest, const std::string& part) {
    return refusal(host + rest).find(part) != std::string::npos;
  };
  EXPECT_EQ(refusal(host), "accepted");
  EXPECT_EQ(refusal(host + "schedule: constant"), "accepted");
  EXPECT_TRUE(contains("schedule: cosine", "rate of its own"));
  EXPECT_TRUE(contains("schedule: {name: constant, warmup: 5st}", "rate of its own"));
  EXPECT_TRUE(contains("schedule: {name: constant, warmup: 5%}", "rate of its own"));
  EXPECT_TRUE(contains("lookahead: {}", "averages its weights itself"));
  EXPECT_TRUE(contains("ema: {}", "weights for evaluation of its own"));
  EXPECT_TRUE(contains("swa: {}", "weights for evaluation of its own"));
  EXPECT_NE(refusal("host: {name: schedulefree_adamw, betas: [0, 0.9]}").find("first beta above 0"),
            std::string::npos);
  EXPECT_NE(refusal("groups: [{match: {ndim: 1}, host: schedulefree_adamw}]\nlookahead: {}"),
            "accepted");
}

}  // namespace
}  // namespace sing::optim
