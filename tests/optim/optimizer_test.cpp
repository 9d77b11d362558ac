// The optimizer as a whole: missing gradients, statistics, post-steps, working copies.
#include "sing/optim/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sing/core/error.h"
#include "support/optim_problem.h"
#include "support/optim_state.h"

namespace sing::optim {
namespace {

using testing::optimizer_config;
using testing::OptimProblem;
using testing::ParameterList;
using testing::set_gradient;
using testing::Snapshot;
using testing::snapshot;

const char* const kFull =
    "transforms: [sing]\n"
    "host: {name: adamw, lr: 5e-2, weight_decay: 5e-2, softplus_beta: 50}\n"
    "lookahead: {every: 5, alpha: 0.5}\n"
    "ema: {decay: 0.9, warmup: true}\n"
    "schedule: {name: cosine, warmup: 10%}";
const RunLength kRun{.total_steps = 100};

TEST(Optimizer, MissingGradientsAreSkippedWithoutStateOrCount) {
  OptimProblem problem(DType::f32);
  Optimizer optimizer(optimizer_config(kFull), problem.parameters.pointers(), kRun);
  for (int step = 1; step <= 4; ++step) {
    problem.load_gradients(optimizer.table(), step);
    if (step != 3) optimizer.table().set_present(0, false);
    optimizer.step({.step = step - 1});
    EXPECT_EQ(optimizer.statistics().tensors, step == 3 ? 6 : 5);
    EXPECT_EQ(optimizer.statistics().norms[0] == 0, step != 3);
    if (step < 3) {
      EXPECT_EQ(snapshot(optimizer).content.at("optimizer/0/v"), std::vector<double>(35, 0));
      EXPECT_EQ(problem.parameters[0].value.to_vector(),
                OptimProblem(DType::f32).parameters[0].value.to_vector());
    }
  }
  EXPECT_EQ(optimizer.steps(0), 1);
  EXPECT_EQ(optimizer.steps(1), 4);
}

TEST(Optimizer, StatisticsAreThoseOfTheRawGradients) {
  ParameterList list;
  list.add("a", Tensor::zeros({2, 2}));
  list.add("b", Tensor::zeros({3}));
  Optimizer optimizer(optimizer_config("transforms: [sing]"), list.pointers());
  set_gradient(optimizer.table(), 0, {1, 1, 1, 1});  // centred: zero
  set_gradient(optimizer.table(), 1, {2, 1, 2});
  optimizer.step({});
  const GradientStatistics& s = optimizer.statistics();
  EXPECT_DOUBLE_EQ(s.norms[0], 2);
  EXPECT_DOUBLE_EQ(s.norms[1], 3);
  EXPECT_DOUBLE_EQ(s.global_norm, std::sqrt(13.0));
  EXPECT_EQ(s.tensors, 2);
}

TEST(Optimizer, LookAheadFollowsItsRuleByHand) {
  // Steps of -1 from 10; slow is 10 before the first step. After 3: 7 -> 10 + .5 (7 - 10) = 8.5.
  ParameterList list;
  list.add("w", Tensor::full({1}, 10, {.dtype = DType::f64}));
  Optimizer optimizer(
      optimizer_config("host: {name: sgd, lr: 1}\nlookahead: {every: 3, alpha: 0.5}"),
      list.pointers());
  std::vector<double> path;
  for (int step = 0; step < 6; ++step) {
    set_gradient(optimizer.table(), 0, {1});
    optimizer.step({.step = step});
    path.push_back(list[0].value.item());
  }
  EXPECT_EQ(path, (std::vector<double>{9, 8, 8.5, 7.5, 6.5, 7}));
}

TEST(Optimizer, LookAheadTakesItsCopyBeforeTheFirstStepNotAtConstruction) {
  ParameterList list;
  list.add("w", Tensor::full({1}, 10, {.dtype = DType::f64}));
  Optimizer optimizer(
      optimizer_config("host: {name: sgd, lr: 1}\nlookahead: {every: 1, alpha: 0.5}"),
      list.pointers());
  list[0].value.fill(20);  // weights loaded later
  set_gradient(optimizer.table(), 0, {2});
  optimizer.step({});
  EXPECT_EQ(list[0].value.item(), 19);
}

TEST(Optimizer, AveragesFollowTheirRuleAndSwap) {
  ParameterList list;
  list.add("w", Tensor::full({1}, 0, {.dtype = DType::f64}));
  Optimizer optimizer(optimizer_config("host: {name: sgd, lr: 1}\nema: {decay: 0.75}"),
                      list.pointers());
  for (int step = 0; step < 3; ++step) {
    set_gradient(optimizer.table(), 0, {-4});
    optimizer.step({.step = step});
  }
  // Values 4, 8, 12; average 4, then .75 * 4 + .25 * 8 = 5, then .75 * 5 + 3 = 6.75.
  ASSERT_TRUE(optimizer.has_averages());
  optimizer.use_averages(true);
  EXPECT_EQ(list[0].value.item(), 6.75);
  EXPECT_THROW(optimizer.step({}), InternalError);
  Snapshot s;
  EXPECT_THROW(optimizer.visit_state(s), InternalError);
  optimizer.use_averages(false);
  EXPECT_EQ(list[0].value.item(), 12);
}

TEST(Optimizer, WorkingCopyIsTheRoundedMaster) {
  ParameterList list;
  nn::Parameter& p = list.add("w", Tensor::full({3, 1000}, 1));
  p.working = p.value.to(DType::bf16);
  Optimizer optimizer(optimizer_config(kFull), list.pointers(), kRun);
  EXPECT_EQ(p.grad().dtype(), DType::f32);
  for (int step = 0; step < 5; ++step) {  // the last one is a LookAhead synchronisation
    Tensor g = optimizer.table().gradient(0);
    for (int64_t i = 0; i < g.numel(); ++i)
      g.mutable_data<float>()[i] = static_cast<float>(OptimProblem::noise(0, step, i));
    optimizer.step({.step = step});
    EXPECT_EQ(p.working.to_vector(), p.value.to(DType::bf16).to_vector());
  }
  EXPECT_EQ(p.working.dtype(), DType::bf16);
}

TEST(Optimizer, PartialGradientsSurviveASaveBetweenTwoPasses) {
  OptimProblem a(DType::f32), b(DType::f32);
  Optimizer one(optimizer_config(kFull), a.parameters.pointers(), kRun);
  Optimizer two(optimizer_config(kFull), b.parameters.pointers(), kRun);
  a.load_gradients(one.table(), 7);  // tensor 2 is missing at step 7
  Snapshot saved;
  one.table().visit_gradients(saved);
  saved.restoring = true;
  two.table().visit_gradients(saved);
  EXPECT_TRUE(two.table().present(0));
  EXPECT_FALSE(two.table().present(2)) << "not reached yet";
  for (Optimizer* optimizer : {&one, &two}) {  // the second pass reaches tensor 2 only
    optimizer->table().parameter(2).working.backward(Tensor::full({4, 3, 3, 3}, 0.5));
    optimizer->step({});
  }
  EXPECT_EQ(b.parameters.values(), a.parameters.values());
  EXPECT_EQ(two.steps(2), 1);
}

TEST(Optimizer, RateFactorScalesTheScheduledRate) {
  ParameterList list;
  list.add("w", Tensor::full({1}, 0, {.dtype = DType::f64}));
  Optimizer optimizer(optimizer_config("host: {name: sgd, lr: 8}\nschedule: {name: constant, "
                                       "warmup: 4st}"),
                      list.pointers());
  EXPECT_EQ(optimizer.learning_rate(0), 2);
  set_gradient(optimizer.table(), 0, {1});
  optimizer.step({.step = 1, .lr_factor = 0.5});
  EXPECT_EQ(list[0].value.item(), -2);
}

}  // namespace
}  // namespace sing::optim
