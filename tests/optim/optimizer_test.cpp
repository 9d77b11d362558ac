// The optimizer as a whole: state, threads, non-finite gradients, missing ones, both paths.
#include "sing/optim/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/core/thread_pool.h"
#include "support/optim_problem.h"

namespace sing::optim {
namespace {

using testing::optimizer_config;
using testing::OptimProblem;
using testing::ParameterList;
using testing::set_gradient;

const char* const kFull =
    "transforms: [sing]\n"
    "host: {name: adamw, lr: 5e-2, weight_decay: 5e-2, softplus_beta: 50}\n"
    "lookahead: {every: 5, alpha: 0.5}\n"
    "ema: {decay: 0.9, warmup: true}\n"
    "schedule: {name: cosine, warmup: 10%}";
const char* const kAllConfigs[] = {
    kFull,
    "host: {name: sgd, lr: 0.1}",
    "transforms: [clip_global_norm]\nhost: {name: sgd, lr: 0.1, momentum: 0.9, nesterov: true, "
    "weight_decay: 0.1}",
    "transforms: [centralize, {name: clip_tensor_norm, max_norm: 0.1}]\n"
    "host: {name: adam, lr: 0.1, amsgrad: true}",
    "transforms: [{name: clip_value, max_value: 0.1}, {name: sing, scope: tensor}]\n"
    "host: {name: adam, lr: 0.1, softplus_beta: 20, amsgrad: true}",
};
const RunLength kRun{.total_steps = 100};

/// Everything the optimizer shows to a visitor, or puts it back.
struct Snapshot : StateVisitor {
  std::map<std::string, std::vector<double>> content;
  bool restoring = false;
  void visit(const std::string& name, Tensor& tensor) override {
    if (restoring)
      tensor.copy_from(Tensor::from(content.at(name), tensor.shape()));
    else
      EXPECT_TRUE(content.emplace(name, tensor.to_vector()).second) << name;
  }
  void visit(const std::string& name, int64_t& value) override {
    if (restoring)
      value = static_cast<int64_t>(content.at(name)[0]);
    else
      EXPECT_TRUE(content.emplace(name, std::vector{static_cast<double>(value)}).second) << name;
  }
  void visit(const std::string& name, double& value) override {
    if (restoring)
      value = content.at(name)[0];
    else
      EXPECT_TRUE(content.emplace(name, std::vector{value}).second) << name;
  }
};

Snapshot snapshot(Optimizer& optimizer) {
  Snapshot s;
  optimizer.visit_state(s);
  return s;
}

class EveryConfig : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(, EveryConfig, ::testing::ValuesIn(kAllConfigs));

TEST_P(EveryConfig, StateRoundTripIsBitwiseAlsoBetweenSynchronisations) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    OptimProblem whole(dtype), first(dtype);
    Optimizer a(optimizer_config(GetParam()), whole.parameters.pointers(), kRun);
    whole.run(a, 1, 23);
    Optimizer b(optimizer_config(GetParam()), first.parameters.pointers(), kRun);
    first.run(b, 1, 8);
    Snapshot saved = snapshot(b);

    OptimProblem second(dtype);
    for (size_t k = 0; k < OptimProblem::kTensors; ++k)
      second.parameters[k].value.copy_from(first.parameters[k].value);
    Optimizer c(optimizer_config(GetParam()), second.parameters.pointers(), kRun);
    saved.restoring = true;
    c.visit_state(saved);
    second.run(c, 9, 23);
    EXPECT_EQ(second.parameters.values(), whole.parameters.values());
    EXPECT_EQ(snapshot(c).content, snapshot(a).content);
  }
}

TEST_P(EveryConfig, FusedEqualsPlainBitForBit) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    OptimProblem one(dtype), two(dtype);
    Optimizer fused(optimizer_config(GetParam()), one.parameters.pointers(), kRun);
    Optimizer plain(optimizer_config(std::string(GetParam()) + "\nfused: false"),
                    two.parameters.pointers(), kRun);
    one.run(fused, 1, 30);
    two.run(plain, 1, 30);
    EXPECT_EQ(one.parameters.values(), two.parameters.values());
    EXPECT_EQ(snapshot(fused).content, snapshot(plain).content);
  }
}

TEST_P(EveryConfig, ThreadCountDoesNotMatter) {
  // Large enough for many pieces, rows longer than a piece among them.
  const std::vector<Shape> shapes = {{3, 70000}, {5000, 17}, {100003}, {300, 257}};
  std::vector<std::vector<double>> want;
  const int before = num_threads();
  for (const int threads : {1, 2, 3, 4}) {
    set_num_threads(threads);
    ParameterList list;
    for (size_t k = 0; k < shapes.size(); ++k)
      list.add(std::to_string(k), Tensor::full(shapes[k], 0.5));
    Optimizer optimizer(optimizer_config(GetParam()), list.pointers(), kRun);
    for (int step = 0; step < 6; ++step) {
      optimizer.zero_grad();
      for (size_t k = 0; k < shapes.size(); ++k) {
        Tensor g = optimizer.table().gradient(k);
        float* data = g.mutable_data<float>();
        for (int64_t i = 0; i < g.numel(); ++i)
          data[i] = static_cast<float>(OptimProblem::noise(k, step, i));
      }
      optimizer.step({.step = step});
    }
    auto got = list.values();
    got.push_back(optimizer.statistics().norms);
    if (want.empty()) want = got;
    EXPECT_TRUE(got == want) << threads << " threads";
  }
  set_num_threads(before);
}

TEST_P(EveryConfig, NonFiniteGradientsLeaveEverythingUntouched) {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
          -std::numeric_limits<double>::infinity()})
      for (const size_t where : {size_t{0}, size_t{1}, size_t{5}}) {
        OptimProblem problem(dtype);
        Optimizer optimizer(optimizer_config(GetParam()), problem.parameters.pointers(), kRun);
        problem.run(optimizer, 1, 4);
        const auto values = problem.parameters.values();
        const Snapshot state = snapshot(optimizer);
        problem.load_gradients(optimizer.table(), 5);
        auto g = optimizer.table().gradient(where).to_vector();
        g.back() = bad;
        set_gradient(optimizer.table(), where, g);
        EXPECT_EQ(optimizer.step({.step = 4}), StepStatus::nonfinite);
        EXPECT_TRUE(optimizer.statistics().found_nonfinite);
        EXPECT_EQ(optimizer.statistics().first_nonfinite, static_cast<int>(where));
        EXPECT_EQ(problem.parameters.values(), values);
        EXPECT_EQ(snapshot(optimizer).content, state.content);
        // And it goes on as if nothing had been.
        problem.load_gradients(optimizer.table(), 5);
        EXPECT_EQ(optimizer.step({.step = 4}), StepStatus::applied);
        EXPECT_FALSE(optimizer.statistics().found_nonfinite);
      }
}

TEST_P(EveryConfig, ZeroGradientsGiveNoNan) {
  OptimProblem problem(DType::f32);
  Optimizer optimizer(optimizer_config(GetParam()), problem.parameters.pointers(), kRun);
  for (int step = 0; step < 3; ++step) {
    optimizer.zero_grad();
    for (size_t i = 0; i < optimizer.table().size(); ++i) optimizer.table().set_present(i, true);
    EXPECT_EQ(optimizer.step({.step = step}), StepStatus::applied);
  }
  for (const auto& values : problem.parameters.values())
    for (const double x : values) EXPECT_TRUE(std::isfinite(x));
}

TEST_P(EveryConfig, AStepTakesNoMemory) {
  OptimProblem problem(DType::f32);
  Optimizer optimizer(optimizer_config(GetParam()), problem.parameters.pointers(), kRun);
  problem.run(optimizer, 1, 1);
  problem.load_gradients(optimizer.table(), 2);
  const auto before = backend::runtime({}).memory().allocations;
  for (int step = 1; step < 8; ++step) optimizer.step({.step = step});
  EXPECT_EQ(backend::runtime({}).memory().allocations, before);
}

TEST_P(EveryConfig, DescendsAQuadratic) {
  ParameterList list;
  list.add("w", Tensor::full({4, 3}, 3, {.dtype = DType::f64}));
  list.add("b", Tensor::full({5}, -3, {.dtype = DType::f64}));
  // Centring keeps row means with some of these chains, so the minimum has the same row means.
  const std::vector<std::vector<double>> centre = {{2, 3, 4, 4, 3, 2, 3, 3, 3, 1, 3, 5},
                                                   {1, -1, 2, 0, 3}};
  const auto loss = [&] {
    double sum = 0;
    for (size_t k = 0; k < 2; ++k) {
      const auto x = list[k].value.to_vector();
      for (size_t i = 0; i < x.size(); ++i)
        sum += static_cast<double>(i + 1) * (x[i] - centre[k][i]) * (x[i] - centre[k][i]) / 24;
    }
    return sum;
  };
  const double start = loss();
  Optimizer optimizer(optimizer_config(GetParam()), list.pointers(), {.total_steps = 400});
  for (int step = 0; step < 400; ++step) {
    optimizer.zero_grad();
    for (size_t k = 0; k < 2; ++k) {
      auto g = list[k].value.to_vector();
      for (size_t i = 0; i < g.size(); ++i)
        g[i] = static_cast<double>(i + 1) * (g[i] - centre[k][i]) / 12;
      set_gradient(optimizer.table(), k, g);
    }
    optimizer.step({.step = step});
  }
  EXPECT_LT(loss(), 0.35 * start) << start;
}

TEST(Optimizer, DescendsRosenbrock) {
  for (const char* yaml :
       {"host: {name: adamw, lr: 0.02, weight_decay: 0}",
        "host: {name: sgd, lr: 5e-4, momentum: 0.9}",
        "transforms: [sing]\nhost: {name: adamw, lr: 0.02, weight_decay: 0, softplus_beta: 50}\n"
        "lookahead: {}\nschedule: cosine"}) {
    ParameterList list;
    list.add("xy", Tensor::from(std::vector<double>{-1.2, 1.0}, {2}));
    Optimizer optimizer(optimizer_config(yaml), list.pointers(), {.total_steps = 3000});
    for (int step = 0; step < 3000; ++step) {
      const auto p = list[0].value.to_vector();
      const double r = p[1] - p[0] * p[0];
      set_gradient(optimizer.table(), 0, {-2 * (1 - p[0]) - 400 * p[0] * r, 200 * r});
      optimizer.step({.step = step});
    }
    const auto p = list[0].value.to_vector();
    const double r = p[1] - p[0] * p[0];
    EXPECT_LT((1 - p[0]) * (1 - p[0]) + 100 * r * r, 0.05) << yaml;  // starts at 24.2
  }
}

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
