// Several hosts in one optimizer, schedules that move the momentum, and stages over other rows.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "sing/core/error.h"
#include "support/optim_problem.h"

namespace sing::optim {
namespace {

using testing::optimizer_config;
using testing::OptimProblem;

std::vector<std::vector<double>> after(const char* yaml, int steps) {
  OptimProblem problem(DType::f64);
  Optimizer optimizer(optimizer_config(yaml), problem.parameters.pointers(), {.total_steps = 100});
  problem.run(optimizer, 1, steps);
  return problem.parameters.values();
}

TEST(SeveralHosts, GroupsStepLikeOptimizersOfTheirOwn) {
  const auto mixed = after(
      "host: {name: adamw, lr: 0.01}\n"
      "lookahead: {every: 3}\n"
      "groups: [{match: {ndim: 1}, host: {name: sgd, lr: 0.02, momentum: 0.9}}]",
      20);
  const auto adamw = after("host: {name: adamw, lr: 0.01}\nlookahead: {every: 3}", 20);
  const auto sgd = after("host: {name: sgd, lr: 0.02, momentum: 0.9}\nlookahead: {every: 3}", 20);
  for (size_t k = 0; k < OptimProblem::kTensors; ++k)
    EXPECT_EQ(mixed[k], OptimProblem::shape(k).rank() == 1 ? sgd[k] : adamw[k]) << k;
}

TEST(SeveralHosts, StateIsTheHostsOwn) {
  OptimProblem problem(DType::f64);
  Optimizer optimizer(
      optimizer_config("host: {name: adamw}\n"
                       "groups: [{match: {ndim: 1}, host: {name: sgd, momentum: 0.9}}]"),
      problem.parameters.pointers());
  struct Names : StateVisitor {
    std::vector<std::string> seen;
    void visit(const std::string& name, Tensor&) override { seen.push_back(name); }
    void visit(const std::string&, int64_t&) override {}
    void visit(const std::string&, double&) override {}
  } names;
  optimizer.visit_state(names);
  std::ranges::sort(names.seen);
  EXPECT_EQ(names.seen, (std::vector<std::string>{
                            "optimizer/0/m", "optimizer/0/v", "optimizer/1/momentum",
                            "optimizer/2/m", "optimizer/2/v", "optimizer/3/m", "optimizer/3/v",
                            "optimizer/4/m", "optimizer/4/v", "optimizer/5/momentum"}));
}

TEST(CycledMomentum, IsRefusedWithoutMomentum) {
  OptimProblem problem(DType::f64);
  const auto config =
      optimizer_config("host: {name: sgd}\nschedule: {name: one_cycle, cycle_momentum: true}");
  EXPECT_THROW(Optimizer(config, problem.parameters.pointers(), {.total_steps = 10}), ConfigError);
}

TEST(CycledMomentum, EndsWhereItBegan) {
  const auto config = optimizer_config("schedule: {name: one_cycle, cycle_momentum: true}");
  const auto schedule = config.schedule.make(RunLength{.total_steps = 100});
  EXPECT_DOUBLE_EQ(schedule->momentum_at(0).value(), 0.95);
  EXPECT_DOUBLE_EQ(schedule->momentum_at(29).value(), 0.85);
  EXPECT_DOUBLE_EQ(schedule->momentum_at(99).value(), 0.95);
}

// Stages that want the rows of one tensor cut differently must not share one measurement.
TEST(Chain, RowsAndWholeTensorsInOneChain) {
  const char* host = "host: {name: sgd, lr: 0.1}\n";
  const auto one = after((std::string(host) + "transforms: [{name: agc, clip_factor: 1e-3},"
                                              " {name: centralize, scope: tensor}]")
                             .c_str(),
                         1);
  OptimProblem problem(DType::f64);
  const std::vector<double> start = problem.parameters[0].value.to_vector();
  const auto g = OptimProblem::gradient(0, 1, start).value();
  // Tensor 0 is [7, 5]: clip rows by hand, then subtract the mean of all.
  std::vector<double> clipped = g;
  for (size_t row = 0; row < 7; ++row) {
    double weights = 0, gradient = 0;
    for (size_t c = 0; c < 5; ++c) {
      weights += start[row * 5 + c] * start[row * 5 + c];
      gradient += g[row * 5 + c] * g[row * 5 + c];
    }
    const double longest = 1e-3 * std::max(std::sqrt(weights), 1e-3);
    ASSERT_GT(std::sqrt(gradient), longest);
    for (size_t c = 0; c < 5; ++c) clipped[row * 5 + c] *= longest / std::sqrt(gradient);
  }
  double mean = 0;
  for (const double x : clipped) mean += x / 35;
  for (size_t i = 0; i < 35; ++i)
    EXPECT_NEAR(one[0][i], start[i] - 0.1 * (clipped[i] - mean), 1e-15);
}

}  // namespace
}  // namespace sing::optim
