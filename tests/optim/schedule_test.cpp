#include "sing/optim/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "sing/core/error.h"
#include "support/optim_problem.h"

namespace sing::optim {
namespace {

using config::Duration;

std::unique_ptr<Schedule> make(const std::string& yaml, const RunLength& run) {
  return testing::optimizer_config("schedule: " + yaml).schedule.make(run);
}

TEST(Resolve, TurnsDurationsIntoSteps) {
  const RunLength run{.total_steps = 1000, .steps_per_epoch = 40, .samples_per_step = 32};
  EXPECT_EQ(resolve(Duration::steps(7), run, "k"), 7);
  EXPECT_EQ(resolve(Duration::epochs(2.5), run, "k"), 100);
  EXPECT_EQ(resolve(Duration::fraction(0.05), run, "k"), 50);
  EXPECT_EQ(resolve(Duration::fraction(1e-5), run, "k"), 1) << "at least one step";
  EXPECT_EQ(resolve(Duration::fraction(0), run, "k"), 0);
  EXPECT_EQ(resolve({640, Duration::Unit::samples}, run, "k"), 20);
  EXPECT_THROW(resolve(Duration::minutes(5), run, "k"), ConfigError);
  EXPECT_THROW(resolve({5, Duration::Unit::tokens}, run, "k"), ConfigError);
  EXPECT_THROW(resolve(Duration::epochs(1), {.total_steps = 5}, "k"), ConfigError);
  EXPECT_THROW(resolve(Duration::fraction(0.5), {}, "k"), ConfigError);
}

TEST(Constant, WarmsUpFromTheFirstUpdate) {
  const auto s = make("{name: constant, warmup: 4st}", {});
  EXPECT_DOUBLE_EQ(s->at(0.8, 0), 0.2);
  EXPECT_DOUBLE_EQ(s->at(0.8, 3), 0.8);
  EXPECT_DOUBLE_EQ(s->at(0.8, 1000000), 0.8);
  EXPECT_DOUBLE_EQ(make("constant", {})->at(0.3, 0), 0.3);
}

TEST(Cosine, FollowsItsFormula) {
  const auto s = make("{name: cosine, warmup: 10%, hold: 20st, min_lr: 0.1}",
                      {.total_steps = 100, .steps_per_epoch = 10});
  EXPECT_DOUBLE_EQ(s->at(1, 0), 0.1);
  EXPECT_DOUBLE_EQ(s->at(1, 9), 1);
  EXPECT_DOUBLE_EQ(s->at(1, 10), 1);
  EXPECT_DOUBLE_EQ(s->at(1, 29), 1) << "held";
  EXPECT_DOUBLE_EQ(s->at(1, 30), 1) << "the cosine starts at its top";
  EXPECT_DOUBLE_EQ(s->at(1, 65), 0.1 + 0.9 * 0.5);
  EXPECT_DOUBLE_EQ(s->at(1, 44), 0.1 + 0.9 * 0.5 * (1 + std::cos(std::numbers::pi * 14 / 70)));
  EXPECT_DOUBLE_EQ(s->at(1, 100), 0.1);
  EXPECT_DOUBLE_EQ(s->at(1, 5000), 0.1) << "clamped";
}

TEST(Cosine, RefusesRunsItDoesNotFit) {
  EXPECT_THROW(make("cosine", {}), ConfigError) << "length unknown";
  EXPECT_THROW(make("{name: cosine, warmup: 60st, hold: 50st}", {.total_steps = 100}), ConfigError);
  EXPECT_THROW(make("{name: constant, warmup: 101st}", {.total_steps = 100}), ConfigError);
  const auto all = make("{name: cosine, warmup: 100st}", {.total_steps = 100});
  EXPECT_DOUBLE_EQ(all->at(1, 100), 1) << "warm-up only, no division by zero";
}

TEST(InverseSqrt, FollowsFairseq) {
  const auto s = make("{name: inverse_sqrt, warmup: 100st, init_lr: 1e-7}", {});
  EXPECT_DOUBLE_EQ(s->at(5e-4, 0), 1e-7);
  EXPECT_DOUBLE_EQ(s->at(5e-4, 50), 1e-7 + 50 * (5e-4 - 1e-7) / 100);
  EXPECT_DOUBLE_EQ(s->at(5e-4, 100), 5e-4);
  EXPECT_DOUBLE_EQ(s->at(5e-4, 400), 2.5e-4);
}

TEST(Steps, DropAtTheirMilestones) {
  const auto step = make("{name: step, every: 30st, gamma: 0.1}", {});
  EXPECT_DOUBLE_EQ(step->at(1, 29), 1);
  EXPECT_DOUBLE_EQ(step->at(1, 30), 0.1);
  EXPECT_NEAR(step->at(1, 90), 1e-3, 1e-18);  // pow
  const auto multi =
      make("{name: multistep, milestones: [2ep, 4ep, 4ep], gamma: 0.5}", {.steps_per_epoch = 10});
  EXPECT_DOUBLE_EQ(multi->at(1, 19), 1);
  EXPECT_DOUBLE_EQ(multi->at(1, 20), 0.5);
  EXPECT_DOUBLE_EQ(multi->at(1, 40), 0.125) << "a milestone given twice counts twice";
}

TEST(Linear, GoesFromFactorToFactor) {
  const auto s =
      make("{name: linear, start_factor: 1, end_factor: 0.5, duration: 10st}", {.total_steps = 20});
  EXPECT_DOUBLE_EQ(s->at(2, 0), 2);
  EXPECT_DOUBLE_EQ(s->at(2, 5), 1.5);
  EXPECT_DOUBLE_EQ(s->at(2, 15), 1);
}

TEST(OneCycle, HasTorchsTwoPhases) {
  // torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=100), written out.
  const auto s = make("one_cycle", {.total_steps = 100});
  const auto cosine = [](double a, double b, double q) {
    return b + (a - b) / 2 * (1 + std::cos(std::numbers::pi * q));
  };
  EXPECT_NEAR(s->at(1, 0), 1.0 / 25, 1e-15);  // 1 + (1/25 - 1) rounds at the size of 1
  EXPECT_DOUBLE_EQ(s->at(1, 12), cosine(1.0 / 25, 1, 12.0 / 29));
  EXPECT_DOUBLE_EQ(s->at(1, 29), 1);
  EXPECT_DOUBLE_EQ(s->at(1, 60), cosine(1, 1 / 25e4, 31.0 / 70));
  EXPECT_NEAR(s->at(1, 99), 1 / 25e4, 1e-17);
  EXPECT_NEAR(s->at(1, 500), 1 / 25e4, 1e-17);
}

TEST(Wsd, DecaysOverTheLastUpdates) {
  const RunLength run{.total_steps = 100};
  const auto linear = make("{name: wsd, warmup: 10st, decay: 20st}", run);
  EXPECT_DOUBLE_EQ(linear->at(1, 4), 0.5);
  EXPECT_DOUBLE_EQ(linear->at(1, 79), 1);
  EXPECT_DOUBLE_EQ(linear->at(1, 80), 1);
  EXPECT_DOUBLE_EQ(linear->at(1, 95), 0.25);
  EXPECT_DOUBLE_EQ(linear->at(1, 100), 0);
  EXPECT_DOUBLE_EQ(make("{name: wsd, decay: 20st, shape: sqrt}", run)->at(1, 85), 0.5);
  EXPECT_DOUBLE_EQ(make("{name: wsd, decay: 20st, shape: cosine}", run)->at(1, 90), 0.5);
  EXPECT_THROW(make("{name: wsd, warmup: 90st, decay: 20st}", run), ConfigError);
}

}  // namespace
}  // namespace sing::optim
