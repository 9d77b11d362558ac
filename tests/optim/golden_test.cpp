// 100 steps in f64 against PyTorch's optimizers and an own float64 SING
// (tests/golden/write_optim_golden.py).
#include <gtest/gtest.h>

#include <cmath>

#include "sing/tensor/safetensors.h"
#include "support/optim_problem.h"

namespace sing::optim {
namespace {

struct Case {
  const char* name;
  const char* yaml;
};

class Golden : public ::testing::TestWithParam<Case> {};

TEST_P(Golden, HundredStepsInDouble) {
  static const auto golden =
      load_tensors(SING_SOURCE_DIR "/tests/golden/optim_trajectories.safetensors");
  testing::OptimProblem problem(DType::f64);
  Optimizer optimizer(testing::optimizer_config(GetParam().yaml), problem.parameters.pointers(),
                      {.total_steps = 100});
  double worst = 0;
  int compared = 0;
  for (int step = 1; step <= problem.kSteps; ++step) {
    problem.run(optimizer, step, step);
    for (size_t k = 0; k < problem.kTensors; ++k) {
      const auto it = golden.find(std::string(GetParam().name) + "/" + std::to_string(step) + "/" +
                                  std::to_string(k));
      if (it == golden.end()) continue;
      const std::vector<double> want = it->second.to_vector();
      const std::vector<double> got = problem.parameters[k].value.to_vector();
      double error = 0, size = 0;
      for (size_t i = 0; i < want.size(); ++i) {
        error = std::max(error, std::abs(got[i] - want[i]));
        size = std::max(size, std::abs(want[i]));
      }
      // The promise of the project; rounding of 100 steps stays near 1e-13.
      EXPECT_LE(error, 1e-10 * size) << "tensor " << k << ", step " << step;
      worst = std::max(worst, error / size);
      ++compared;
    }
  }
  EXPECT_EQ(compared, 30);
  RecordProperty("worst_relative_error", std::to_string(worst));
  std::printf("%-20s worst relative error %.1e\n", GetParam().name, worst);
}

INSTANTIATE_TEST_SUITE_P(
    , Golden,
    ::testing::Values(
        Case{"sgd", "host: {name: sgd, lr: 0.01, weight_decay: 0.01}"},
        Case{"sgd_momentum",
             "host: {name: sgd, lr: 0.01, momentum: 0.9, dampening: 0.1, weight_decay: 0.01}"},
        Case{"sgd_nesterov", "host: {name: sgd, lr: 0.01, momentum: 0.9, nesterov: true}"},
        Case{"adam", "host: {name: adam, lr: 0.01, weight_decay: 0.01}"},
        Case{"adamw", "host: {name: adamw, lr: 0.01, betas: [0.8, 0.95], weight_decay: 0.05}"},
        Case{"adamw_amsgrad", "host: {name: adamw, lr: 0.01, amsgrad: true, weight_decay: 0.05}"},
        Case{"sing_sgd",
             "transforms: [sing]\n"
             "host: {name: sgd, lr: 0.1, momentum: 0.9, weight_decay: 5e-3}\n"
             "lookahead: {every: 5, alpha: 0.5}"},
        Case{"sing_adamw", "transforms: [sing]\nhost: {name: adamw, lr: 5e-3, weight_decay: 5e-2}"},
        Case{"sing_adamw_softplus",
             "transforms: [sing]\n"
             "host: {name: adamw, lr: 5e-2, weight_decay: 5e-2, softplus_beta: 50}"},
        Case{"sing_adamw_full",
             "transforms: [sing]\n"
             "host: {name: adamw, lr: 5e-2, weight_decay: 5e-2, softplus_beta: 50}\n"
             "lookahead: {every: 5, alpha: 0.5}\n"
             "schedule: {name: cosine, warmup: 10st}"},
        Case{"sing_clip_adamw",
             "transforms: [sing, {name: clip_global_norm, max_norm: 1}]\n"
             "host: {name: adamw, lr: 5e-3, weight_decay: 5e-2}"}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace sing::optim
