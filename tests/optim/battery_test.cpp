// What every host must do, alone and behind SING. A host that is registered is in the battery.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "sing/backend/runtime.h"
#include "sing/config/diagnostic.h"
#include "sing/core/thread_pool.h"
#include "support/optim_problem.h"
#include "support/optim_state.h"

namespace sing::optim {
namespace {

using testing::accepted;
using testing::optimizer_config;
using testing::OptimProblem;
using testing::ParameterList;
using testing::set_gradient;
using testing::Snapshot;
using testing::snapshot;

const RunLength kRun{.total_steps = 100};

struct Sample {
  std::string name, yaml;
  friend void PrintTo(const Sample& sample, std::ostream* out) { *out << sample.yaml; }
};

const Sample kChains[] = {
    {"full",
     "transforms: [sing]\n"
     "host: {name: adamw, lr: 5e-2, weight_decay: 5e-2, softplus_beta: 50}\n"
     "lookahead: {every: 5, alpha: 0.5}\n"
     "ema: {decay: 0.9, warmup: true}\n"
     "schedule: {name: cosine, warmup: 10%}"},
    {"clip_global_norm",
     "transforms: [clip_global_norm]\nhost: {name: sgd, lr: 0.1, momentum: 0.9, nesterov: true, "
     "weight_decay: 0.1}"},
    {"clip_tensor_norm",
     "transforms: [centralize, {name: clip_tensor_norm, max_norm: 0.1}]\n"
     "host: {name: adam, lr: 0.1, amsgrad: true}"},
    {"clip_value",
     "transforms: [{name: clip_value, max_value: 0.1}, {name: sing, scope: tensor}]\n"
     "host: {name: adam, lr: 0.1, softplus_beta: 20, amsgrad: true}"},
    {"agc", "transforms: [{name: agc, clip_factor: 0.1}]\nhost: {name: adam, lr: 0.1}"},
    {"own_rate", "host: {name: adafactor, beta1: 0.9}"},
    {"adanorm", "transforms: [adanorm]\nhost: {name: adafactor, relative_step: false, lr: 0.1}"},
};

/// Keys of a host beside its name: alone, behind SING with LookAhead, which halves the way it
/// makes, and in the narrow valley. Hosts that are not listed do with these.
struct Keys {
  std::string alone = "lr: 0.05", behind = "lr: 0.1", valley = "lr: 0.03";
};
Keys keys_of(const std::string& host) {
  const std::string external = "relative_step: false, scale_parameter: false, lr: ";
  const std::string vectors = ", auxiliary: {name: adamw, lr: 0.1}";
  static const std::map<std::string, Keys> kOthers = {
      {"adafactor", {external + "0.05", external + "0.1", external + "0.03"}},
      // The bound on its rates rises slowly.
      {"adamod", {.behind = "lr: 0.4", .valley = "lr: 0.1"}},
      // Divides by the root of the first, large gradient.
      {"adopt", {.valley = "lr: 0.2"}},
      // Steps as long as the weights; long ones move row means, which no centred gradient repairs.
      {"lamb", {.behind = "lr: 0.02, always_adapt: true"}},
      {"muon", {.alone = "lr: 0.05" + vectors, .behind = "lr: 0.1" + vectors}},
      {"sgd", {.valley = "lr: 0.05, momentum: 0.9"}},
  };
  const auto it = kOthers.find(host);
  return it == kOthers.end() ? Keys{} : it->second;
}

std::vector<Sample> samples() {
  std::vector<Sample> all(std::begin(kChains), std::end(kChains));
  for (const std::string& host : host_kind().names()) {
    const std::string start = "host: {name: " + host + ", ";
    all.push_back({host, start + keys_of(host).alone + "}"});
    std::string behind =
        "transforms: [sing]\n" + start + keys_of(host).behind + ", weight_decay: 5e-3}";
    const std::string more = "\nlookahead: {every: 3, alpha: 0.5}\nschedule: cosine";
    if (accepted(behind + more)) behind += more;
    all.push_back({"sing_" + host, behind});
  }
  return all;
}

class Battery : public ::testing::TestWithParam<Sample> {
 protected:
  static OptimizerConfig config(const std::string& more = "") {
    return optimizer_config(GetParam().yaml + "\n" + more);
  }
};
INSTANTIATE_TEST_SUITE_P(, Battery, ::testing::ValuesIn(samples()),
                         [](const auto& sample) { return sample.param.name; });

TEST_P(Battery, StateRoundTripIsBitwiseAlsoBetweenSynchronisations) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    OptimProblem whole(dtype), first(dtype);
    Optimizer a(config(), whole.parameters.pointers(), kRun);
    whole.run(a, 1, 23);
    Optimizer b(config(), first.parameters.pointers(), kRun);
    first.run(b, 1, 8);
    Snapshot saved = snapshot(b);

    OptimProblem second(dtype);
    for (size_t k = 0; k < OptimProblem::kTensors; ++k)
      second.parameters[k].value.copy_from(first.parameters[k].value);
    Optimizer c(config(), second.parameters.pointers(), kRun);
    saved.restoring = true;
    c.visit_state(saved);
    second.run(c, 9, 23);
    EXPECT_EQ(second.parameters.values(), whole.parameters.values());
    EXPECT_EQ(snapshot(c).content, snapshot(a).content);
  }
}

TEST_P(Battery, FusedEqualsPlainBitForBit) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    OptimProblem one(dtype), two(dtype);
    Optimizer fused(config(), one.parameters.pointers(), kRun);
    Optimizer plain(config("fused: false"), two.parameters.pointers(), kRun);
    one.run(fused, 1, 30);
    two.run(plain, 1, 30);
    EXPECT_EQ(one.parameters.values(), two.parameters.values());
    EXPECT_EQ(snapshot(fused).content, snapshot(plain).content);
  }
}

TEST_P(Battery, ThreadCountDoesNotMatter) {
  // Large enough for many pieces, rows longer than a piece among them.
  const std::vector<Shape> shapes = {{3, 70000}, {5000, 17}, {100003}, {300, 257}};
  std::vector<std::vector<double>> want;
  const int before = num_threads();
  for (const int threads : {1, 2, 3, 4}) {
    set_num_threads(threads);
    ParameterList list;
    for (size_t k = 0; k < shapes.size(); ++k)
      list.add(std::to_string(k), Tensor::full(shapes[k], 0.5));
    Optimizer optimizer(config(), list.pointers(), kRun);
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

TEST_P(Battery, NonFiniteGradientsLeaveEverythingUntouched) {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
          -std::numeric_limits<double>::infinity()})
      for (const size_t where : {size_t{0}, size_t{1}, size_t{5}}) {
        OptimProblem problem(dtype);
        Optimizer optimizer(config(), problem.parameters.pointers(), kRun);
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

TEST_P(Battery, ZeroGradientsGiveNoNan) {
  OptimProblem problem(DType::f32);
  Optimizer optimizer(config(), problem.parameters.pointers(), kRun);
  for (int step = 0; step < 3; ++step) {
    optimizer.zero_grad();
    for (size_t i = 0; i < optimizer.table().size(); ++i) optimizer.table().set_present(i, true);
    EXPECT_EQ(optimizer.step({.step = step}), StepStatus::applied);
  }
  for (const auto& values : problem.parameters.values())
    for (const double x : values) EXPECT_TRUE(std::isfinite(x));
}

TEST_P(Battery, AStepTakesNoMemory) {
  OptimProblem problem(DType::f32);
  Optimizer optimizer(config(), problem.parameters.pointers(), kRun);
  problem.run(optimizer, 1, 1);
  problem.load_gradients(optimizer.table(), 2);
  const auto before = backend::runtime({}).memory();
  for (int step = 1; step < 8; ++step) optimizer.step({.step = step});
  const auto after = backend::runtime({}).memory();
#if !defined(__SANITIZE_ADDRESS__)  // there the arena keeps nothing, so that overruns are seen
  EXPECT_EQ(after.requests, before.requests);
#endif
  EXPECT_EQ(after.in_use, before.in_use);
  // Products of matrices have a workspace, which the arena hands out again and again.
  if (config().host.name() == "muon") return;
  EXPECT_EQ(after.allocations, before.allocations);
}

TEST_P(Battery, DescendsAQuadratic) {
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
  Optimizer optimizer(config(), list.pointers(), {.total_steps = 400});
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

/// Start 24.2, minimum 0 at (1, 1), at the end of a narrow curved valley. Gradients are those of a
/// hundredth of it: the first steps of rectified hosts are as long as they.
TEST(EveryHost, DescendsRosenbrock) {
  for (const std::string& host : host_kind().names()) {
    std::string yaml = "host: {name: " + host + ", " + keys_of(host).valley + "}";
    if (accepted(yaml + "\nschedule: cosine")) yaml += "\nschedule: cosine";
    ParameterList list;
    list.add("xy", Tensor::from(std::vector<double>{-1.2, 1.0}, {1, 2}));
    Optimizer optimizer(optimizer_config(yaml), list.pointers(), {.total_steps = 3000});
    const auto loss = [&] {
      const auto p = list[0].value.to_vector();
      return std::pow(1 - p[0], 2) + 100 * std::pow(p[1] - p[0] * p[0], 2);
    };
    for (int step = 0; step < 3000; ++step) {
      const auto p = list[0].value.to_vector();
      const double r = p[1] - p[0] * p[0];
      set_gradient(optimizer.table(), 0, {-0.02 * (1 - p[0]) - 4 * p[0] * r, 2 * r});
      optimizer.step({.step = step});
    }
    optimizer.use_averages(true);
    EXPECT_LT(loss(), 0.1) << yaml;
  }
}

// Frozen tensors leave the state and all norms: the others step as if these did not exist.
TEST_P(Battery, FrozenTensorsAreAsIfTheyWereNotThere) {
  OptimProblem with(DType::f64), without(DType::f64);
  Optimizer a(config("groups: [{match: {name: \"0\"}, freeze: true}]"), with.parameters.pointers(),
              kRun);
  Optimizer b(config(), std::span(without.parameters.pointers()).subspan(1), kRun);
  const auto start = with.parameters.values();
  with.run(a, 1, 10);
  without.run(b, 1, 10);
  auto want = without.parameters.values();
  EXPECT_EQ(want[0], start[0]);
  EXPECT_EQ(with.parameters.values(), want);
  EXPECT_EQ(snapshot(a).content, snapshot(b).content);
}

// A group of its own numbers: no decay and no rate leave its values alone.
TEST_P(Battery, GroupsHaveTheirRateAndDecay) {
  OptimProblem problem(DType::f64);
  Optimizer optimizer(config("groups: [{match: {ndim: 1}, lr_scale: 0, weight_decay: 0}]"),
                      problem.parameters.pointers(), kRun);
  const auto start = problem.parameters.values();
  problem.run(optimizer, 1, 7);
  const auto after = problem.parameters.values();
  for (size_t k = 0; k < OptimProblem::kTensors; ++k) {
    if (OptimProblem::shape(k).rank() == 1) {
      EXPECT_EQ(after[k], start[k]) << k;
    } else if (OptimProblem::shape(k) != Shape{6, 1}) {  // one element a row: zero behind sing
      EXPECT_NE(after[k], start[k]) << k;
    }
  }
}

}  // namespace
}  // namespace sing::optim
