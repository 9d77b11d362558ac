// What the paper proves about SING (Courtois et al., arXiv:2307.06098, section 3 and appendices A
// and D), and where its claims end.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "support/optim_problem.h"

namespace sing::optim {
namespace {

using testing::optimizer_config;
using testing::OptimProblem;
using testing::ParameterList;
using Values = std::vector<std::vector<double>>;

/// The problem's values after some steps with gradients times `factor`.
Values after(const std::string& yaml, int steps, DType dtype = DType::f64, double factor = 1) {
  OptimProblem problem(dtype);
  Optimizer optimizer(optimizer_config(yaml), problem.parameters.pointers(), {.total_steps = 100});
  for (int step = 1; step <= steps; ++step) {
    problem.load_gradients(optimizer.table(), step, factor);
    optimizer.step({.step = step - 1});
  }
  return problem.parameters.values();
}

/// One tensor after one step from the given values.
std::vector<double> one_step(const std::string& yaml, const Shape& shape,
                             const std::vector<double>& from, const std::vector<double>& gradient) {
  ParameterList list;
  list.add("w", Tensor::from(from, shape).to(DType::f64));
  Optimizer optimizer(optimizer_config(yaml), list.pointers());
  testing::set_gradient(optimizer.table(), 0, gradient);
  EXPECT_EQ(optimizer.step({}), StepStatus::applied);
  return list[0].value.to_vector();
}

double length(const std::vector<double>& x) {
  return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
}

std::vector<double> difference(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> d(a.size());
  for (size_t i = 0; i < a.size(); ++i) d[i] = a[i] - b[i];
  return d;
}

double sum(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.0);
}

/// phi of the paper by hand: g minus the mean of each row; vectors as they are.
std::vector<double> centred(const Shape& shape, std::vector<double> g) {
  if (shape.rank() < 2) return g;
  const size_t cols = g.size() / static_cast<size_t>(shape[0]);
  for (size_t row = 0; row < g.size(); row += cols) {
    double mean = 0;
    for (size_t c = 0; c < cols; ++c) mean += g[row + c];
    mean /= static_cast<double>(cols);
    for (size_t c = 0; c < cols; ++c) g[row + c] -= mean;
  }
  return g;
}

// ---- Length of a raw step (lemma A.3: the root of D) -------------------------------------------

TEST(Theory, EachTensorStepsByItsNormOverNormPlusEps) {
  for (const std::string eps : {"0", "1e-8", "1e-3", "1"}) {
    const Values before = after("host: sgd", 0);
    const Values moved =
        after("host: {name: sgd, lr: 1}\ntransforms: [{name: sing, eps: " + eps + "}]", 1);
    double squares = 0, wanted = 0;
    int tensors = 0;
    for (size_t k = 0; k < before.size(); ++k) {
      const auto g = OptimProblem::gradient(k, 1, before[k]).value();
      const double n = length(centred(OptimProblem::shape(k), g));
      const double got = length(difference(moved[k], before[k]));
      const double want = n > 0 ? n / (n + std::stod(eps)) : 0;
      EXPECT_NEAR(got, want, 1e-12) << "tensor " << k << " eps " << eps;  // rounding of theta
      squares += got * got;
      wanted += want * want;
      tensors += n > 0;
    }
    EXPECT_NEAR(squares, wanted, 1e-11);
    if (eps == "0") {
      EXPECT_EQ(tensors, 5) << "the centred gradient of shape [6, 1] is zero and does not count";
      EXPECT_NEAR(std::sqrt(squares), std::sqrt(5.0), 1e-12);
    }
  }
}

TEST(Theory, NormalisedDescentOverAllTensorsStepsByOne) {
  const Values before = after("host: sgd", 0);
  const Values moved = after("host: {name: ngd, lr: 1, eps: 0}", 1);
  double squares = 0;
  for (size_t k = 0; k < before.size(); ++k)
    squares += std::pow(length(difference(moved[k], before[k])), 2);
  EXPECT_NEAR(squares, 1, 1e-12);  // equation 26b: whatever the number of tensors
}

// ---- Theorem 3.2: a rescaled objective gives the same iterates ---------------------------------

std::string sing_with(const std::string& host) {
  return "transforms: [{name: sing, eps: 0}]\nhost: " + host;
}

TEST(Theory, LossScaleChangesNoBitThroughAnyHost) {
  int hosts = 0;
  for (const std::string& host : host_kind().names())
    for (const DType dtype : {DType::f32, DType::f64}) {
      const std::string yaml = sing_with(host);
      const Values want = after(yaml, 12, dtype);
      for (const double scale : {0x1p-30, 0x1p20})
        EXPECT_EQ(after(yaml, 12, dtype, scale), want) << host << " " << scale;
      ++hosts;
    }
  EXPECT_GE(hosts, 6);
}

TEST(Theory, AnyLossScaleUpToRounding) {
  // Gradients that are rounded anew for each factor: 100 steps keep the difference near 1e-13.
  const std::string yaml = sing_with("{name: adamw, lr: 5e-2, softplus_beta: 50}");
  const Values want = after(yaml, 100);
  for (const double scale : {3.7e-3, 1.0 / 3, 1e4}) {
    const Values got = after(yaml, 100, DType::f64, scale);
    for (size_t k = 0; k < want.size(); ++k)
      // Tensor 4 has one element a row: what is left of its gradient is zero or rounding, and
      // eps: 0 makes no difference between the two unless the mean is exact. It is.
      EXPECT_LE(length(difference(got[k], want[k])), 1e-10 * length(want[k])) << k;
  }
}

TEST(Theory, WithoutSingTheLossScaleIsFelt) {
  EXPECT_NE(after("host: {name: sgd, lr: 0.002}", 2, DType::f64, 2),
            after("host: {name: sgd, lr: 0.002}", 2));
}

// ---- Theorem 3.2: means are preserved ----------------------------------------------------------

/// Largest change of a row mean, and of the sum of all elements, over the tensors of more than one
/// dimension.
struct Drift {
  double row = 0, matrices = 0, vectors = 0;
};
Drift drift(const std::string& yaml, int steps) {
  const Values before = after("host: sgd", 0), now = after(yaml, steps);
  Drift result;
  for (size_t k = 0; k < now.size(); ++k) {
    const std::vector<double> moved = difference(now[k], before[k]);
    if (OptimProblem::shape(k).rank() < 2) {
      result.vectors = std::max(result.vectors, std::abs(sum(moved)));
      continue;
    }
    result.matrices = std::max(result.matrices, std::abs(sum(moved)));
    const size_t cols = moved.size() / static_cast<size_t>(OptimProblem::shape(k)[0]);
    for (size_t row = 0; row < moved.size(); row += cols) {
      double total = 0;
      for (size_t c = 0; c < cols; ++c) total += moved[row + c];
      result.row = std::max(result.row, std::abs(total) / static_cast<double>(cols));
    }
  }
  return result;
}

// The gradient of mean 1000 and spread 0.01 (norm 0.03) has means off by 1.1e-13: 4e-12 of a step,
// times rate 0.1 and the 10 steps a momentum of 0.9 adds up.
constexpr double kRounding = 4e-12;

TEST(Theory, RowMeansStayWithLinearHostsAndNoDecay) {
  for (const char* host : {"{name: sgd, lr: 0.1}", "{name: sgd, lr: 0.1, momentum: 0.9}",
                           "{name: sgd, lr: 0.1, momentum: 0.9, dampening: 0.5}",
                           "{name: sgd, lr: 0.1, momentum: 0.9, nesterov: true}"})
    for (const char* rest : {"", "\nlookahead: {every: 5, alpha: 0.5}", "\nschedule: cosine"}) {
      const std::string yaml = "transforms: [sing]\nhost: " + std::string(host) + rest;
      const Drift d = drift(yaml, 100);
      EXPECT_LE(d.row, kRounding) << yaml;
      EXPECT_LE(d.matrices, 108 * kRounding) << yaml;  // sums of up to 108 elements
    }
}

TEST(Theory, WholeTensorMeansStayWithScopeTensor) {
  const Drift d =
      drift("transforms: [{name: sing, scope: tensor}]\nhost: {name: sgd, lr: 0.1}", 20);
  EXPECT_LE(d.matrices, 108 * kRounding);  // the form in which the paper proves equation 7
  EXPECT_GT(d.row, 1e-3) << "single rows move";
}

// Equation 7 is stated for all parameters together. It does not hold for vectors, which are not
// centred; with hosts whose update is not linear in the gradient; with weight decay.
TEST(Theory, WhereMeansAreNotPreserved) {
  EXPECT_GT(drift("transforms: [sing]\nhost: {name: sgd, lr: 0.1}", 20).vectors, 0.1);
  EXPECT_EQ(one_step("transforms: [{name: sing, eps: 0}]\nhost: {name: sgd, lr: 1}", {4},
                     {0, 0, 0, 0}, {3, 3, 3, 3}),
            (std::vector<double>{-0.5, -0.5, -0.5, -0.5}));
  for (const char* host : {"{name: adamw, lr: 0.01, weight_decay: 0}",
                           "{name: adamw, lr: 0.01, weight_decay: 0, softplus_beta: 50}"})
    EXPECT_GT(drift("transforms: [sing]\nhost: " + std::string(host), 20).row, 1e-3) << host;
  // Decoupled decay shrinks the mean by the factor of the weights themselves.
  const auto decayed = one_step("transforms: [sing]\nhost: {name: sgd, lr: 0.1, weight_decay: 0.5}",
                                {1, 2}, {1, 3}, {5, -1});
  EXPECT_NEAR(sum(decayed), 4 * (1 - 0.1 * 0.5), 1e-15);
}

// ---- Theorem 3.1: one step leaves the ball -----------------------------------------------------

/// A network of `tensors` vectors of three elements, inside the ball of radius r about zero, with
/// gradients of any size. Returns the distance from the centre after one raw step.
double distance_after(int tensors, double radius, double lr, int seed, bool worst, bool sing) {
  const auto n = static_cast<size_t>(tensors);
  std::vector<double> at(3 * n), g(3 * n);
  for (size_t i = 0; i < at.size(); ++i) {
    at[i] = OptimProblem::noise(n, 2 * seed, static_cast<int64_t>(i));
    g[i] = OptimProblem::noise(n, 2 * seed + 1, static_cast<int64_t>(i));
  }
  const double inside = worst ? 1 : 0.999 * std::abs(2 * OptimProblem::noise(n, seed, 7777));
  if (worst) {
    // On the rim, with a step straight through the centre.
    for (size_t t = 0; t < n; ++t) {
      const double norm = length({g[3 * t], g[3 * t + 1], g[3 * t + 2]});
      for (size_t i = 3 * t; i < 3 * t + 3; ++i) at[i] = g[i] / norm;
    }
  }
  const double far = length(at);
  for (double& x : at) x *= inside * radius / far;
  ParameterList list;
  for (size_t t = 0; t < n; ++t)
    list.add(std::to_string(t),
             Tensor::from(std::vector<double>(at.begin() + 3 * t, at.begin() + 3 * t + 3), {3})
                 .to(DType::f64));
  Optimizer optimizer(
      optimizer_config("host: {name: sgd, lr: 1}" +
                       std::string(sing ? "\ntransforms: [{name: sing, eps: 0}]" : "")),
      list.pointers());
  for (size_t t = 0; t < n; ++t) {
    // From 1e-6 to 1: near a minimum gradients vanish, which SING does not feel.
    const double size = std::pow(10.0, -6.0 * static_cast<double>(t % 3) / 2);
    testing::set_gradient(optimizer.table(), t,
                          {g[3 * t] * size, g[3 * t + 1] * size, g[3 * t + 2] * size});
  }
  optimizer.step({.lr_factor = lr});
  std::vector<double> all;
  for (const auto& values : list.values()) all.insert(all.end(), values.begin(), values.end());
  return length(all);
}

TEST(Theory, OneStepLeavesABallOfRadiusR) {
  for (const int tensors : {1, 2, 7, 64})
    for (const double radius : {1e-3, 1.0, 50.0}) {
      const double lr = 2 * radius / std::sqrt(static_cast<double>(tensors));
      for (int seed = 0; seed < 10; ++seed)
        EXPECT_GE(distance_after(tensors, radius, lr, seed, false, true), radius)
            << tensors << " tensors, radius " << radius << ", seed " << seed;
      // The worst point lands on the other rim: the bound cannot be made smaller.
      const double worst = distance_after(tensors, radius, lr, 3, true, true);
      EXPECT_NEAR(worst, radius, 1e-13 * radius * tensors);
      EXPECT_LT(distance_after(tensors, radius, 0.95 * lr, 3, true, true), 0.91 * radius);
      // Plain gradient descent with that rate stays inside: it needs 2 r / |gradient|.
      EXPECT_LT(distance_after(tensors, radius, 1e-3 * lr, 3, false, false), radius);
    }
}

// ---- Appendix D: clipping ----------------------------------------------------------------------

TEST(Theory, NormClippingAheadCancelsBitwise) {
  for (const char* host : {"{name: sgd, lr: 0.1, momentum: 0.9}", "{name: adamw, lr: 5e-3}"})
    for (const DType dtype : {DType::f32, DType::f64}) {
      const std::string tail = "sing]\nhost: " + std::string(host);
      const Values want = after("transforms: [" + tail, 100, dtype);
      for (const char* clip :
           {"{name: clip_global_norm, max_norm: 1e-3}, ", "clip_global_norm, ",
            "{name: clip_tensor_norm, max_norm: 1e-5}, ", "clip_tensor_norm, clip_global_norm, "})
        EXPECT_EQ(after("transforms: [" + std::string(clip) + tail, 100, dtype), want) << clip;
    }
}

TEST(Theory, ClippingOfRowsOrValuesAheadDoesNotCancelOnMatrices) {
  const std::string tail = "sing]\nhost: {name: sgd, lr: 0.1}";
  const Values want = after("transforms: [" + tail, 1);
  const Values agc = after("transforms: [{name: agc, clip_factor: 1e-6}, " + tail, 1);
  const Values value = after("transforms: [{name: clip_value, max_value: 1e-2}, " + tail, 1);
  // Tensor 0 is [7, 5]: rows are shortened by different factors, elements cut one by one.
  EXPECT_GT(length(difference(agc[0], want[0])), 1e-3);
  EXPECT_GT(length(difference(value[0], want[0])), 1e-3);
  // A vector is one unit of agc: there it is one factor, and cancels.
  EXPECT_LE(length(difference(agc[1], want[1])),
            1e-2 * length(difference(want[1], after("host: sgd", 0)[1])));
  // Values are cut in vectors as well (tensor 5 has one element, whose sign is all that counts).
  EXPECT_NEAR(value[5][0], want[5][0], 0.1 * 1e-8 / 1e-2);  // up to eps / norm
}

TEST(Theory, ClippingBehindIsOneFactorForAll) {
  const Values before = after("host: sgd", 0);
  const std::string host = "\nhost: {name: sgd, lr: 1}";
  const Values want = after("transforms: [{name: sing, eps: 0}]" + host, 1);
  for (const double most : {0.5, 1.0, 2.0, 2.5, 10.0}) {
    const Values got =
        after("transforms: [{name: sing, eps: 0}, {name: clip_global_norm, max_norm: " +
                  std::to_string(most) + "}]" + host,
              1);
    if (most > std::sqrt(5.0)) {
      EXPECT_EQ(got, want) << most;
      continue;
    }
    const double factor = most / (std::sqrt(5.0) + 1e-6);  // the 1e-6 of the published clipping
    for (size_t k = 0; k < got.size(); ++k)
      for (size_t i = 0; i < got[k].size(); ++i)
        EXPECT_NEAR(got[k][i] - before[k][i], factor * (want[k][i] - before[k][i]), 1e-14);
  }
}

}  // namespace
}  // namespace sing::optim
