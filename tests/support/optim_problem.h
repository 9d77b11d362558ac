#pragma once
// Parameters and gradients shared by the optimizer tests and tests/golden/optim/problem.py.
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sing/config/bind.h"
#include "sing/config/diagnostic.h"
#include "sing/config/yaml.h"
#include "sing/optim/optimizer.h"

namespace sing::testing {

/// An `optimizer:` block from its text. Throws ConfigErrors.
inline optim::OptimizerConfig optimizer_config(const std::string& yaml) {
  config::Problems problems;
  const std::optional<config::Value> tree = config::read_yaml(yaml, "test", problems);
  problems.raise();
  return config::bind<optim::OptimizerConfig>(tree.value());
}

/// Whether such a block says nothing that is refused.
inline bool accepted(const std::string& yaml) {
  try {
    optimizer_config(yaml);
    return true;
  } catch (const config::ConfigErrors&) {
    return false;
  }
}

/// Parameters that nobody's model owns.
class ParameterList {
 public:
  nn::Parameter& add(std::string name, Tensor value, uint32_t tags = 0) {
    auto parameter = std::make_unique<nn::Parameter>();
    parameter->name = std::move(name);
    parameter->tags = tags;
    parameter->value = value;
    parameter->working = std::move(value);
    owned_.push_back(std::move(parameter));
    pointers_.push_back(owned_.back().get());
    return *owned_.back();
  }
  nn::Parameter& operator[](size_t i) { return *owned_[i]; }
  size_t size() const { return owned_.size(); }
  const std::vector<nn::Parameter*>& pointers() const { return pointers_; }
  std::vector<std::vector<double>> values() const {
    std::vector<std::vector<double>> result;
    for (const auto& p : owned_) result.push_back(p->value.to_vector());
    return result;
  }

 private:
  std::vector<std::unique_ptr<nn::Parameter>> owned_;
  std::vector<nn::Parameter*> pointers_;
};

/// Writes a gradient as a backward pass would.
inline void set_gradient(optim::ParamTable& table, size_t i, const std::vector<double>& values) {
  Tensor gradient = table.gradient(i);
  gradient.copy_from(Tensor::from(values, gradient.shape()));
}

/// Six small tensors of every rank the rules distinguish, and 100 steps of gradients from 1e-6 to
/// 1e3 with a zero, a row-constant, a large-mean and a missing one. What f32 would change beyond
/// its own rounding (0.1, and a spread far below the mean) is exact in f32.
class OptimProblem {
 public:
  static constexpr size_t kTensors = 6;
  static constexpr int kSteps = 100;
  static Shape shape(size_t k) {
    static const std::array<Shape, kTensors> shapes = {
        Shape{7, 5}, Shape{5}, Shape{4, 3, 3, 3}, Shape{2, 1, 3}, Shape{6, 1}, Shape{1}};
    return shapes[k];
  }
  /// In [-0.5, 0.5), exact in double.
  static double noise(size_t tensor, int step, int64_t i) {
    uint64_t x = (static_cast<uint64_t>(i) * 2654435761u +
                  static_cast<uint64_t>(step) * 40503u * 65536u + (tensor + 1) * 974634777u) &
                 0xffffffffu;
    x = ((x ^ (x >> 15)) * 739982445u) & 0xffffffffu;
    x ^= x >> 12;
    return static_cast<double>(x) / 4294967296.0 - 0.5;
  }
  explicit OptimProblem(DType dtype) {
    for (size_t k = 0; k < kTensors; ++k) {
      std::vector<double> values;
      for (int64_t i = 0; i < shape(k).numel(); ++i) values.push_back(noise(k, 0, i));
      parameters.add(std::to_string(k), Tensor::from(values, shape(k)).to(dtype));
    }
  }
  /// The gradient at these parameters; nothing where it is missing at this step (from 1).
  static std::optional<std::vector<double>> gradient(size_t k, int step,
                                                     const std::vector<double>& theta) {
    static constexpr double kScale[kTensors] = {1.0, 1e-6, 1e-2, 1e3, 1e-3, 10.0};
    if (k == 2 && step == 7) return std::nullopt;
    std::vector<double> g(theta.size());
    for (size_t i = 0; i < g.size(); ++i) {
      const double z = noise(k, step, static_cast<int64_t>(i));
      g[i] = k == 1 && step == 3   ? 0
             : k == 0 && step == 4 ? static_cast<double>(0.1f)
             : k == 2 && step == 6 ? static_cast<double>(static_cast<float>(1000.0 + 0.01 * z))
                                   : kScale[k] * (z + 0.125 * theta[i]);
    }
    return g;
  }
  /// Clears the gradients and puts those of this step in place.
  void load_gradients(optim::ParamTable& table, int step, double factor = 1) const {
    table.zero_grad();
    for (size_t i = 0; i < table.size(); ++i) {
      const size_t k = static_cast<size_t>(std::stoi(table.meta(i).name));
      auto g = gradient(k, step, table.parameter(i).value.to_vector());
      if (!g) continue;
      for (double& x : *g) x *= factor;
      set_gradient(table, i, *g);
    }
  }
  void run(optim::Optimizer& optimizer, int first, int last) const {
    for (int step = first; step <= last; ++step) {
      load_gradients(optimizer.table(), step);
      optimizer.step({.step = step - 1});
    }
  }

  ParameterList parameters;
};

}  // namespace sing::testing
