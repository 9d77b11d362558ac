// configs/presets: what "default hyper-parameters" of a library means, against that library's rule
// written out.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "support/optim_golden.h"
#include "support/optim_rules.h"

namespace sing::optim {
namespace {

using testing::OptimProblem;
using testing::Rule;
using testing::RuleTensor;

std::filesystem::path folder() {
  return std::filesystem::path(SING_SOURCE_DIR) / "configs" / "presets";
}

/// The `optimizer:` block of a preset with these keys of the host on top.
OptimizerConfig preset(const std::string& name,
                       const std::map<std::string, std::string>& options = {}) {
  std::ifstream file(folder() / (name + ".yaml"));
  EXPECT_TRUE(file.good()) << name;
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  config::Problems problems;
  config::Value block = *config::read_yaml(text, name, problems)->find("optimizer");
  config::Value host = *block.find("host");
  for (const auto& [key, value] : options)
    host.set(key, value == "null" ? config::Value::none() : config::Value::scalar(value));
  block.set("host", host);
  return config::bind<OptimizerConfig>(block);
}

using Update = void (*)(RuleTensor&, double lr, double decay);

/// Worst relative error of a preset over 100 steps of the problem, with rate and decay.
double compare(const std::string& name, Update update) {
  constexpr double kRate = 0.003, kDecay = 0.1;
  Rule rule;
  rule.rate = [](int) { return kRate; };
  rule.update = [update](RuleTensor& x, double lr) { update(x, lr, kDecay); };
  const auto want = follow(rule, {OptimProblem::kSteps});
  OptimProblem problem(DType::f64);
  Optimizer optimizer(preset(name, {{"lr", "0.003"}, {"weight_decay", "0.1"}}),
                      problem.parameters.pointers());
  problem.run(optimizer, 1, OptimProblem::kSteps);
  return testing::worst_difference(problem.parameters, want[0]);
}

constexpr double kB1 = 0.9, kB2 = 0.999;

double c1(const RuleTensor& x) {
  return 1 - std::pow(kB1, x.t);
}
double c2(const RuleTensor& x) {
  return 1 - std::pow(kB2, x.t);
}

/// Moments of g (start: both moments before the first step).
void moments(RuleTensor& x) {
  auto &m = x.slot("m"), &v = x.slot("v");
  for (size_t i = 0; i < m.size(); ++i) {
    m[i] = kB1 * m[i] + (1 - kB1) * x.g[i];
    v[i] = kB2 * v[i] + (1 - kB2) * x.g[i] * x.g[i];
  }
}

void couple(RuleTensor& x, double decay) {
  for (size_t i = 0; i < x.g.size(); ++i) x.g[i] += decay * x.theta[i];
}

void fairseq_adam(RuleTensor& x, double lr, double decay) {
  moments(x);
  for (size_t i = 0; i < x.g.size(); ++i) {
    x.theta[i] -= decay * lr * x.theta[i];
    const double step = lr * std::sqrt(c2(x)) / c1(x);
    x.theta[i] -= step * x.slot("m")[i] / (std::sqrt(x.slot("v")[i]) + 1e-8);
  }
}

void huggingface_adamw(RuleTensor& x, double lr, double decay) {
  moments(x);
  for (size_t i = 0; i < x.g.size(); ++i) {
    const double step = lr * std::sqrt(c2(x)) / c1(x);
    x.theta[i] -= step * x.slot("m")[i] / (std::sqrt(x.slot("v")[i]) + 1e-6);
    x.theta[i] -= lr * decay * x.theta[i];
  }
}

void torch_adamw(RuleTensor& x, double lr, double decay) {
  moments(x);
  for (size_t i = 0; i < x.g.size(); ++i) {
    x.theta[i] *= 1 - lr * decay;
    const double root = std::sqrt(x.slot("v")[i]) / std::sqrt(c2(x));
    x.theta[i] -= lr / c1(x) * x.slot("m")[i] / (root + 1e-8);
  }
}

void torch_sgd(RuleTensor& x, double lr, double decay) {
  couple(x, decay);
  auto& b = x.slot("b");
  for (size_t i = 0; i < b.size(); ++i) {
    b[i] = x.t == 1 ? x.g[i] : 0.9 * b[i] + x.g[i];
    x.theta[i] -= lr * b[i];
  }
}

void torch_nadam(RuleTensor& x, double lr, double decay) {
  couple(x, decay);
  moments(x);
  const auto mu = [](int t) { return kB1 * (1 - 0.5 * std::pow(0.96, t * 4e-3)); };
  auto& product = x.slot("product", 1)[0];
  product *= mu(x.t);
  for (size_t i = 0; i < x.g.size(); ++i) {
    const double d = std::sqrt(x.slot("v")[i] / c2(x)) + 1e-8;
    x.theta[i] -= lr * (1 - mu(x.t)) / (1 - product) * x.g[i] / d;
    x.theta[i] -= lr * mu(x.t + 1) / (1 - product * mu(x.t + 1)) * x.slot("m")[i] / d;
  }
}

/// rho of the step, and the factor where it is defined.
std::pair<double, double> rectification(const RuleTensor& x) {
  const double most = 2 / (1 - kB2) - 1;
  const double rho = most - 2 * x.t * std::pow(kB2, x.t) / c2(x);
  return {rho,
          std::sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * std::max(rho, 5.0)))};
}

void torch_radam(RuleTensor& x, double lr, double decay) {
  couple(x, decay);
  moments(x);
  const auto [rho, factor] = rectification(x);
  for (size_t i = 0; i < x.g.size(); ++i) {
    const double m = x.slot("m")[i] / c1(x);
    x.theta[i] -=
        rho > 5 ? lr * m * factor * std::sqrt(c2(x)) / (std::sqrt(x.slot("v")[i]) + 1e-8) : lr * m;
  }
}

void yogi(RuleTensor& x, double lr, double decay) {
  couple(x, decay);
  auto &m = x.slot("m", 1e-6), &v = x.slot("v", 1e-6);
  for (size_t i = 0; i < m.size(); ++i) {
    const double square = x.g[i] * x.g[i];
    m[i] = kB1 * m[i] + (1 - kB1) * x.g[i];
    v[i] -= (1 - kB2) * ((v[i] > square) - (v[i] < square)) * square;
    x.theta[i] -= lr / c1(x) * m[i] / (std::sqrt(v[i]) / std::sqrt(c2(x)) + 1e-3);
  }
}

void lamb(RuleTensor& x, double lr, double decay) {
  moments(x);
  std::vector<double> step(x.g.size());
  for (size_t i = 0; i < step.size(); ++i)
    step[i] = x.slot("m")[i] / (std::sqrt(x.slot("v")[i]) + 1e-6) + decay * x.theta[i];
  const double weights = std::min(testing::norm_of(x.theta), 10.0);
  const double length = testing::norm_of(step);
  const double ratio = weights == 0 || length == 0 ? 1 : weights / length;
  for (size_t i = 0; i < step.size(); ++i) x.theta[i] -= lr * ratio * step[i];
}

void adabound(RuleTensor& x, double lr, double decay) {
  couple(x, decay);
  moments(x);
  const double final_lr = 0.1;  // times lr / base_lr, which is 1 at a constant rate
  const double low = final_lr * (1 - 1 / (1e-3 * x.t + 1)),
               high = final_lr * (1 + 1 / (1e-3 * x.t));
  for (size_t i = 0; i < x.g.size(); ++i) {
    const double own = lr * std::sqrt(c2(x)) / c1(x) / (std::sqrt(x.slot("v")[i]) + 1e-8);
    x.theta[i] -= std::min(std::max(own, low), high) * x.slot("m")[i];
  }
}

void adabelief(RuleTensor& x, double lr, double decay) {
  auto &m = x.slot("m"), &s = x.slot("s");
  const auto [rho, factor] = rectification(x);
  for (size_t i = 0; i < m.size(); ++i) {
    x.theta[i] *= 1 - lr * decay;
    m[i] = kB1 * m[i] + (1 - kB1) * x.g[i];
    s[i] = kB2 * s[i] + (1 - kB2) * (x.g[i] - m[i]) * (x.g[i] - m[i]) + 1e-16;
    x.theta[i] -= rho >= 5
                      ? lr * factor * std::sqrt(c2(x)) / c1(x) * m[i] / (std::sqrt(s[i]) + 1e-16)
                      : lr / c1(x) * m[i];
  }
}

const std::map<std::string, Update> kRules = {
    {"adabelief_020", adabelief},
    {"fairseq_adam", fairseq_adam},
    {"huggingface_adamw", huggingface_adamw},
    {"pytorch_optimizer_adabound", adabound},
    {"pytorch_optimizer_lamb", lamb},
    {"pytorch_optimizer_yogi", yogi},
    {"torch_adamw", torch_adamw},
    {"torch_nadam", torch_nadam},
    {"torch_radam", torch_radam},
    {"torch_sgd", torch_sgd},
};

TEST(Presets, FollowTheLibrarysRule) {
  for (const auto& [name, update] : kRules) {
    // sgd at this rate with gradients up to 1e3: still finite, and as exact as the others.
    EXPECT_LE(compare(name, update), 1e-10) << name;
  }
}

// The keys that exist for the sake of a preset do something.
TEST(Presets, DifferFromThePlainHosts) {
  EXPECT_GT(compare("fairseq_adam", torch_adamw), 1e-7);
  EXPECT_GT(compare("huggingface_adamw", fairseq_adam), 1e-5);
  // No tensor of the problem is longer than 10.
  const auto far = [](const std::string& most) {
    testing::ParameterList list;
    list.add("w", Tensor::from(std::vector<double>{30, 40}, {2}).to(DType::f64));
    Optimizer optimizer(
        preset("pytorch_optimizer_lamb", {{"lr", "0.1"}, {"max_weight_norm", most}}),
        list.pointers());
    testing::set_gradient(optimizer.table(), 0, {0, 2});
    optimizer.step({});
    return list[0].value.to_vector();
  };
  // Before correction m / sqrt(v) is 0.1 / sqrt(1e-3); the step is as long as the weights count.
  EXPECT_NEAR(far("10")[1], 40 - 0.1 * 10, 1e-2);
  EXPECT_NEAR(far("null")[1], 40 - 0.1 * 50, 5e-2);
}

TEST(Presets, EachHasItsRule) {
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder()))
    files.insert(entry.path().stem().string());
  // Its rule is that of the host, whose golden cases have these options.
  files.erase("adafactor_external");
  for (const auto& [name, update] : kRules) EXPECT_EQ(files.erase(name), 1u) << name;
  EXPECT_EQ(files, std::set<std::string>{});
}

TEST(Presets, OptionsThatContradictEachOtherAreRefused) {
  EXPECT_THROW(
      testing::optimizer_config("host: {name: adamw, eps_mode: legacy, softplus_beta: 50}"), Error);
  EXPECT_THROW(testing::optimizer_config("host: {name: adamw, decay_last: true, decoupled: false}"),
               Error);
}

}  // namespace
}  // namespace sing::optim
