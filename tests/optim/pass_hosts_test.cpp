// Hosts that see whole tensors between two passes: ngd, lamb, lars, adamnorm. Steps by hand.
#include <cmath>

#include "support/optim_step.h"

namespace sing::optim {
namespace {

using testing::HandOptimizer;

// ---- ngd ---------------------------------------------------------------------------------------

TEST(Ngd, OneNormOverAllTensors) {
  HandOptimizer o("host: {name: ngd, lr: 10, eps: 0}", {{{2}, {1, 1}}, {{1, 1}, {5}}});
  const auto after = o.step({{3, 0}, {4}});
  EXPECT_DOUBLE_EQ(after[0][0], 1 - 10 * 3.0 / 5);
  EXPECT_DOUBLE_EQ(after[0][1], 1);
  EXPECT_DOUBLE_EQ(after[1][0], 5 - 10 * 4.0 / 5);
}

TEST(Ngd, EpsIsAddedToTheNorm) {
  HandOptimizer o("host: {name: ngd, lr: 1, eps: 5}", {{{2}, {0, 0}}});
  EXPECT_DOUBLE_EQ(o.step({{3, 4}})[0][0], -3.0 / 10);
}

TEST(Ngd, NormalisesTheAverageWithMomentum) {
  HandOptimizer o("host: {name: ngd, lr: 1, eps: 0, momentum: 0.5}", {{{2}, {0, 0}}});
  EXPECT_DOUBLE_EQ(o.step({{8, 0}})[0][0], -1);  // m = (4, 0)
  const auto after = o.step({{2, 4}});           // m = (3, 2)
  EXPECT_DOUBLE_EQ(after[0][0], -1 - 3 / std::sqrt(13.0));
  EXPECT_DOUBLE_EQ(after[0][1], -2 / std::sqrt(13.0));
}

TEST(Ngd, DecayOutsideTheNormOrInsideIt) {
  const std::string host = "host: {name: ngd, lr: 0.1, eps: 0, weight_decay: 1, decoupled: ";
  HandOptimizer outside(host + "true}", {{{1}, {2}}});
  EXPECT_DOUBLE_EQ(outside.step({{7}})[0][0], 2 * 0.9 - 0.1);
  HandOptimizer inside(host + "false}", {{{2}, {2, 0}}});  // g + theta = (3, 4)
  EXPECT_DOUBLE_EQ(inside.step({{1, 4}})[0][0], 2 - 0.1 * 3 / 5);
}

// Squares of f32 gradients beyond 1e19 are no f32.
TEST(Ngd, HugeAndTinyGradientsKeepTheirDirection) {
  for (const double size : {1e25, 1e-25}) {
    HandOptimizer o("host: {name: ngd, lr: 1, eps: 0}", {{{2}, {0, 0}}}, DType::f32);
    const auto after = o.step({{3 * size, -4 * size}});
    EXPECT_NEAR(after[0][0], -0.6, 1e-6);
    EXPECT_NEAR(after[0][1], 0.8, 1e-6);
  }
}

TEST(Ngd, WarnsBehindSing) {
  EXPECT_EQ(testing::warning_codes("transforms: [sing]\nhost: {name: ngd, lr: 0.1}"), "W0224 ");
  EXPECT_EQ(testing::warning_codes("host: {name: ngd, lr: 0.1}"), "");
}

// ---- lamb --------------------------------------------------------------------------------------

TEST(Lamb, FirstStepIsAsLongAsTheWeights) {
  // Adam's first direction is the sign; with decay u = sign + 0.5 theta = (2.5, 1), |theta| = 5.
  HandOptimizer o("host: {name: lamb, lr: 0.1, eps: 0, weight_decay: 0.5, max_grad_norm: null}",
                  {{{2}, {3, 4}}});
  const auto after = o.step({{1e-3, -10}});
  const double trust = 5 / std::sqrt(2.5 * 2.5 + 1);
  EXPECT_NEAR(after[0][0], 3 - 0.1 * trust * 2.5, 1e-14);
  EXPECT_NEAR(after[0][1], 4 - 0.1 * trust * 1, 1e-14);
}

TEST(Lamb, WithoutDecayItIsAdamUnlessAskedToAdapt) {
  const std::string host = "host: {name: lamb, lr: 0.1, eps: 0, weight_decay: 0";
  HandOptimizer adam(host + "}", {{{2}, {3, 4}}});
  EXPECT_NEAR(adam.step({{1, -1}})[0][0], 2.9, 1e-14);
  HandOptimizer adapts(host + ", always_adapt: true}", {{{2}, {3, 4}}});
  EXPECT_NEAR(adapts.step({{1, -1}})[0][0], 3 - 0.1 * 5 / std::sqrt(2.0), 1e-14);
  HandOptimizer clipped(host + ", always_adapt: true, trust_clip: true}", {{{2}, {3, 4}}});
  EXPECT_NEAR(clipped.step({{1, -1}})[0][0], 2.9, 1e-14);
  HandOptimizer zero(host + ", always_adapt: true}", {{{2}, {0, 0}}});
  EXPECT_NEAR(zero.step({{1, -1}})[0][0], -0.1, 1e-14);  // no length to take: ratio 1
}

TEST(Lamb, ClipsOverAllTensorsBeforeTheMoments) {
  // Without correction m / sqrt(v) hides the factor, an eps of 1 does not: norm 5, limit 1.
  HandOptimizer o(
      "host: {name: lamb, lr: 1, eps: 1, weight_decay: 0, betas: [0, 0], bias_correction: false}",
      {{{1}, {0}}, {{1}, {0}}});
  const auto after = o.step({{3}, {4}});
  EXPECT_NEAR(after[0][0], -0.6 / 1.6, 1e-15);
  EXPECT_NEAR(after[1][0], -0.8 / 1.8, 1e-15);
  const auto again = o.step({{0.3}, {0.4}});  // norm 0.5: not lengthened
  EXPECT_NEAR(again[0][0] - after[0][0], -0.3 / 1.3, 1e-15);
}

TEST(Lamb, DecayIsDecoupledBehindSing) {
  const char* tail = ", lr: 0.1, eps: 0, weight_decay: 0.5, max_grad_norm: null, decay: all";
  HandOptimizer with("transforms: [sing]\nhost: {name: lamb" + std::string(tail) + "}",
                     {{{2}, {3, 4}}});
  HandOptimizer without("host: {name: lamb" + std::string(tail) + ", decoupled: true}",
                        {{{2}, {3, 4}}});
  const auto a = with.step({{1, -1}}), b = without.step({{1, -1}});
  for (size_t i = 0; i < 2; ++i) EXPECT_NEAR(a[0][i], b[0][i], 1e-14);
}

TEST(Lamb, DecoupledDecayComesFirst) {
  HandOptimizer o(
      "host: {name: lamb, lr: 0.1, eps: 0, weight_decay: 1, max_grad_norm: null, decoupled: true}",
      {{{2}, {3, 4}}});
  const double trust = 0.9 * 5 / std::sqrt(2.0);
  EXPECT_NEAR(o.step({{2, 2}})[0][0], 0.9 * 3 - 0.1 * trust, 1e-14);
}

TEST(Lamb, WarnsBehindSingWhileItClips) {
  EXPECT_EQ(testing::warning_codes("transforms: [sing]\nhost: lamb"), "W0224 ");
  EXPECT_EQ(testing::warning_codes("transforms: [sing]\nhost: {name: lamb, max_grad_norm: null}"),
            "");
  EXPECT_EQ(testing::warning_codes("host: lamb"), "");
}

// ---- lars --------------------------------------------------------------------------------------

TEST(Lars, NormOfTheGradientIsTakenBeforeDecay) {
  HandOptimizer o("host: {name: lars, lr: 1, weight_decay: 0.5, eps: 0, trust_coefficient: 0.1}",
                  {{{2}, {3, 4}}});
  const auto after = o.step({{0, 2}});  // 0.1 * 5 / (2 + 0.5 * 5) * (1.5, 4)
  EXPECT_NEAR(after[0][0], 3 - 0.5 / 4.5 * 1.5, 1e-15);
  EXPECT_NEAR(after[0][1], 4 - 0.5 / 4.5 * 4, 1e-15);
}

TEST(Lars, TheRatioIsInsideTheBuffer) {
  HandOptimizer o(
      "host: {name: lars, lr: 0.5, momentum: 0.5, always_adapt: true, eps: 0, "
      "trust_coefficient: 1}",
      {{{1}, {8}}});
  EXPECT_NEAR(o.step({{100}})[0][0], 4, 1e-14);  // ratio 8 / 100, buffer 8
  EXPECT_NEAR(o.step({{1}})[0][0], 0, 1e-14);    // buffer 0.5 * 8 + 4 / 1
}

TEST(Lars, WithoutDecayItIsSgd) {
  HandOptimizer o("host: {name: lars, lr: 0.5}", {{{1}, {8}}});
  EXPECT_NEAR(o.step({{3}})[0][0], 6.5, 1e-15);
}

TEST(Lars, TrustClipComparesWithTheRate) {
  const std::string host = "host: {name: lars, always_adapt: true, eps: 0, trust_coefficient: ";
  HandOptimizer cut(host + "1, lr: 0.5, trust_clip: true}", {{{1}, {8}}});
  EXPECT_NEAR(cut.step({{4}})[0][0], 6, 1e-15);  // min(8 / 4 / 0.5, 1)
  HandOptimizer below(host + "0.1, lr: 0.5, trust_clip: true}", {{{1}, {8}}});
  EXPECT_NEAR(below.step({{4}})[0][0], 8 - 0.5 * 0.4 * 4, 1e-15);  // 0.1 * 8 / 4 / 0.5 = 0.4
}

TEST(Lars, RefusesWhatNesterovCannotHave) {
  EXPECT_NE(testing::refusal("host: {name: lars, nesterov: true, momentum: 0}"), "accepted");
  EXPECT_NE(testing::refusal("host: {name: lars, nesterov: true, dampening: 0.1}"), "accepted");
  EXPECT_EQ(testing::refusal("host: {name: lars, nesterov: true}"), "accepted");
}

// ---- adamnorm ----------------------------------------------------------------------------------

TEST(AdamNorm, LengthensOnlyTheFirstMoment) {
  HandOptimizer o("host: {name: adamnorm, lr: 1, eps: 0, r: 0.5, betas: [0.5, 0.5]}",
                  {{{2}, {0, 0}}});
  EXPECT_NEAR(o.step({{6, 8}})[0][0], -1, 1e-15);  // average 5 is below 10: plain Adam
  // Average 0.5 * 5 + 0.5 * 1 = 3 against a gradient of length 1: three times as long.
  const double m = 0.5 * 3 + 0.5 * 3 * 0.6, v = 0.5 * 18 + 0.5 * 0.36;
  EXPECT_NEAR(o.step({{0.6, 0.8}})[0][0], -1 - m / 0.75 / std::sqrt(v / 0.75), 1e-14);
}

TEST(AdamNorm, CoupledDecayCounts) {
  // A gradient of 0 plus the weights: length 5, average 0.5 * 5.
  HandOptimizer o("host: {name: adamnorm, lr: 0, eps: 0, r: 0.5, weight_decay: 1}",
                  {{{2}, {3, 4}}});
  o.step({{0, 0}});
  struct Length : StateVisitor {
    double value = 0;
    void visit(const std::string& name, Tensor& t) override {
      if (name == "optimizer/p0/length") value = t.item();
    }
    void visit(const std::string&, int64_t&) override {}
    void visit(const std::string&, double&) override {}
  } length;
  o.optimizer().visit_state(length);
  EXPECT_EQ(length.value, 2.5);
}

TEST(AdamNorm, RefusesAdaNormAhead) {
  EXPECT_NE(testing::refusal("transforms: [adanorm]\nhost: adamnorm").find("does itself"),
            std::string::npos);
}

}  // namespace
}  // namespace sing::optim
