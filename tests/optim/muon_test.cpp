// Muon: steps by hand on matrices whose singular values are known, and who takes what.
#include <algorithm>
#include <cmath>

#include "sing/config/bind.h"
#include "sing/config/describe.h"
#include "support/optim_step.h"

namespace sing::optim {
namespace {

using testing::HandOptimizer;

/// A singular value after five steps of the published iteration.
double iterated(double s, int steps = 5) {
  for (int i = 0; i < steps; ++i)
    s = 3.4445 * s - 4.7750 * std::pow(s, 3) + 2.0315 * std::pow(s, 5);
  return s;
}
/// Where s ends up when the matrix has Frobenius norm n.
double moved(double s, double n, int steps = 5) {
  return iterated(s / (n + 1e-7), steps);
}

TEST(Muon, SquareWideAndTallByHand) {
  const std::string host = "host: {name: muon, lr: 1, momentum: 0, nesterov: false}";
  HandOptimizer o(host,
                  {{{2, 2}, {0, 0, 0, 0}}, {{2, 3}, {0, 0, 0, 0, 0, 0}}, {{3, 1}, {0, 0, 0}}});
  const auto after = o.step({{3, 0, 0, -4}, {0, 3, 0, 4, 0, 0}, {0, 5, 0}});
  const double a = moved(3, 5), b = moved(4, 5);
  const double size = std::sqrt(3.0);  // tall: sqrt(rows / cols)
  const std::vector<std::vector<double>> want = {
      {-a, 0, 0, b}, {0, -a, 0, -b, 0, 0}, {0, -size * moved(5, 5), 0}};
  for (size_t k = 0; k < want.size(); ++k)
    for (size_t i = 0; i < want[k].size(); ++i) EXPECT_NEAR(after[k][i], want[k][i], 1e-14) << k;
}

TEST(Muon, StepsOfTheIterationAndMatchedSize) {
  HandOptimizer o(
      "host: {name: muon, lr: 1, momentum: 0, nesterov: false, ns_steps: 2, scale: match_rms}",
      {{{2, 4}, std::vector<double>(8, 0)}});
  const auto after = o.step({{3, 0, 0, 0, 0, 4, 0, 0}});
  EXPECT_NEAR(after[0][0], -0.2 * 2 * moved(3, 5, 2), 1e-14);
  EXPECT_NEAR(after[0][5], -0.2 * 2 * moved(4, 5, 2), 1e-14);
}

TEST(Muon, MomentumAndItsLookAhead) {
  const std::string host = "host: {name: muon, lr: 1, momentum: 0.5, nesterov: ";
  for (const bool nesterov : {false, true}) {
    HandOptimizer o(host + (nesterov ? "true}" : "false}"), {{{2, 2}, {0, 0, 0, 0}}});
    const auto first =
        o.step({{8, 0, 0, 0}});  // m = 4 in place 0, its direction is all that counts
    EXPECT_NEAR(first[0][0], -moved(nesterov ? 6 : 4, nesterov ? 6 : 4), 1e-14);
    const auto second =
        o.step({{0, 0, 0, 4}});  // m = (2, 2), and half of that again plus half of g
    const double x = nesterov ? 1 : 2, y = nesterov ? 3 : 2;
    EXPECT_NEAR(second[0][0] - first[0][0], -moved(x, std::hypot(x, y)), 1e-14) << nesterov;
    EXPECT_NEAR(second[0][3], -moved(y, std::hypot(x, y)), 1e-14) << nesterov;
  }
}

TEST(Muon, ZeroStaysZeroAndDecayIsDecoupled) {
  HandOptimizer o("host: {name: muon, lr: 0.1, weight_decay: 0.5}", {{{2, 2}, {1, 2, 3, 4}}});
  EXPECT_EQ(o.step({{0, 0, 0, 0}})[0], (std::vector<double>{0.95, 0.95 * 2, 0.95 * 3, 0.95 * 4}));
}

TEST(Muon, OthersGoToTheAuxiliary) {
  const double start = 5;
  const std::vector<testing::GivenTensor> tensors = {
      {{2}, {start, start}},
      {{1, 2}, {start, start}, static_cast<uint32_t>(nn::Tag::embedding)},
      {{1, 2}, {start, start}, nn::Tag::weight | nn::Tag::head},
      {{1, 2}, {start, start}, static_cast<uint32_t>(nn::Tag::position)},
      {{1, 2}, {start, start}, static_cast<uint32_t>(nn::Tag::token)},
      {{1, 2}, {start, start}, static_cast<uint32_t>(nn::Tag::weight)}};
  const std::vector<std::vector<double>> gradients(6, {2, -2});
  HandOptimizer o("host: muon", tensors);
  const auto after = o.step(gradients);
  for (size_t k = 0; k < 5; ++k) EXPECT_NEAR(after[k][0], start - 3e-4, 1e-12) << k;
  // Direction 0.05 g + 0.95 m with m = 0.05 g: one singular value, all the norm there is.
  const double n = (0.05 + 0.95 * 0.05) * std::sqrt(8.0);
  EXPECT_NEAR(after[5][0], start - 0.02 * moved(n, n) / std::sqrt(2.0), 1e-14);
  HandOptimizer sgd("host: {name: muon, auxiliary: {name: sgd, lr: 0.5}}", tensors);
  EXPECT_NEAR(sgd.step(gradients)[0][0], start - 1, 1e-15);
}

TEST(Muon, DefaultsOfTheAuxiliary) {
  const config::Value all = config::to_value(testing::optimizer_config("host: muon"));
  const config::Value& plain = *all.find("host")->find("auxiliary");
  EXPECT_EQ(plain.find("name")->text, "adamw");
  EXPECT_EQ(plain.find("lr")->text, "3e-4");
  EXPECT_EQ(plain.find("betas")->items[1].text, "0.95");
  EXPECT_EQ(plain.find("eps")->text, "1e-10");
  EXPECT_EQ(plain.find("weight_decay")->text, "0");
}

// A host that holds a host: what walks the schema must come to an end, and show both.
TEST(Muon, TheSchemaEnds) {
  const config::StructSchema& root = config::schema_of<OptimizerConfig>();
  const auto keys = config::all_keys(root);
  EXPECT_EQ(std::ranges::count_if(
                keys, [](const auto& key) { return key.path == "host{muon}.auxiliary"; }),
            1);
  const std::string text = config::explain(root, "muon");
  EXPECT_NE(text.find("auxiliary: "), std::string::npos) << text;
  EXPECT_NE(text.find("default adamw"), std::string::npos) << text;
  EXPECT_NE(config::json_schema(root, "optimizer").find("\"auxiliary\""), std::string::npos);
  const OptimizerConfig again = config::bind<OptimizerConfig>(config::to_value(
      testing::optimizer_config("host: {name: muon, auxiliary: {name: sgd, lr: 0.5}}")));
  EXPECT_EQ(again.host.make()->auxiliary()->make()->common().lr, 0.5);
}

// Filters are matrices [out, all others] in whatever order the others are stored.
TEST(Muon, ChannelsLastFiltersStepLikeContiguousOnes) {
  const Shape shape{4, 3, 2, 2};
  std::vector<std::vector<double>> results;
  for (const MemoryFormat format : {MemoryFormat::contiguous, MemoryFormat::channels_last}) {
    testing::ParameterList list;
    std::vector<double> values, gradient;
    for (int64_t i = 0; i < shape.numel(); ++i) {
      values.push_back(testing::OptimProblem::noise(0, 0, i));
      gradient.push_back(testing::OptimProblem::noise(0, 1, i));
    }
    list.add("w", Tensor::from(values, shape).contiguous(format));
    Optimizer optimizer(testing::optimizer_config("host: muon"), list.pointers());
    testing::set_gradient(optimizer.table(), 0, gradient);
    optimizer.step({});
    results.push_back(list[0].value.to_vector());
  }
  for (size_t i = 0; i < results[0].size(); ++i) EXPECT_NEAR(results[0][i], results[1][i], 1e-14);
}

TEST(Muon, WhatTheAuxiliaryRefusesIsRefused) {
  EXPECT_NE(testing::refusal("host: {name: muon, auxiliary: schedulefree_adamw}\nschedule: cosine")
                .find("rate of its own"),
            std::string::npos);
  EXPECT_EQ(testing::warning_codes("transforms: [sing]\nhost: {name: muon, auxiliary: lamb}"),
            "W0224 ");
}

}  // namespace
}  // namespace sing::optim
