#pragma once
// A few f64 tensors under one optimizer, for rules checked by hand.
#include <gtest/gtest.h>

#include "sing/config/diagnostic.h"
#include "support/optim_problem.h"

namespace sing::testing {

struct GivenTensor {
  Shape shape;
  std::vector<double> values;
  uint32_t tags = 0;
};

class HandOptimizer {
 public:
  HandOptimizer(const std::string& yaml, const std::vector<GivenTensor>& tensors,
                DType dtype = DType::f64) {
    for (const GivenTensor& t : tensors)
      list_.add("p" + std::to_string(list_.size()), Tensor::from(t.values, t.shape).to(dtype),
                t.tags);
    optimizer_ = std::make_unique<optim::Optimizer>(optimizer_config(yaml), list_.pointers());
  }
  /// One step; the values after it.
  std::vector<std::vector<double>> step(const std::vector<std::vector<double>>& gradients) {
    optimizer_->zero_grad();
    for (size_t i = 0; i < gradients.size(); ++i)
      set_gradient(optimizer_->table(), i, gradients[i]);
    EXPECT_EQ(optimizer_->step({.step = steps_++}), optim::StepStatus::applied);
    return list_.values();
  }
  optim::Optimizer& optimizer() { return *optimizer_; }
  std::vector<std::vector<double>> values() const { return list_.values(); }

 private:
  ParameterList list_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  int64_t steps_ = 0;
};

/// What a config says to `warnings`, codes only.
inline std::string warning_codes(const std::string& yaml) {
  std::string result;
  for (const std::string& warning : optim::warnings(optimizer_config(yaml), true))
    result += warning.substr(0, 5) + " ";
  return result;
}

/// The first complaint about a config, or "accepted".
inline std::string refusal(const std::string& yaml) {
  try {
    optimizer_config(yaml);
  } catch (const config::ConfigErrors& errors) {
    return errors.diagnostics()[0].code + " " + errors.diagnostics()[0].what;
  }
  return "accepted";
}

}  // namespace sing::testing
