#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "sing/nn/load.h"
#include "sing/nn/module.h"
#include "support/golden_file.h"

namespace sing::test {

/// Golden values of PyTorch in f64: sums in another order differ by some eps = 2.2e-16 per term,
/// and by what a deep net amplifies; the bound is the one promised (reliability: 1e-9).
inline constexpr double kGolden = 1e-9;

/// The tensors whose name starts with `prefix`, which is cut off.
inline Tensors part(const Tensors& all, const std::string& prefix) {
  Tensors result;
  for (auto it = all.lower_bound(prefix); it != all.end() && it->first.starts_with(prefix); ++it)
    result[it->first.substr(prefix.size())] = it->second;
  return result;
}

/// The cases "<kind>.00", "<kind>.01", ... of a file, by name.
inline std::map<std::string, Tensors> golden_cases(const std::string& file,
                                                   const std::string& kind) {
  std::map<std::string, Tensors> result;
  for (const auto& [name, tensor] : golden_file(file))
    if (name.starts_with(kind + "."))
      result[name.substr(0, name.find('/'))][name.substr(name.find('/') + 1)] = tensor;
  return result;
}

/// Largest difference, relative to the largest element of `wanted` (or absolute below 1e-3, where
/// values are sums that cancel).
inline double difference(const Tensor& got, const Tensor& wanted) {
  if (got.shape() != wanted.shape()) return HUGE_VAL;
  const std::vector<double> a = got.to_vector(), b = wanted.to_vector();
  double worst = 0, scale = 1e-3;
  for (const double value : b) scale = std::max(scale, std::abs(value));
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(a[i] - b[i]);
    worst = std::isnan(d) ? HUGE_VAL : std::max(worst, d);
  }
  return worst / scale;
}

#define SING_EXPECT_CLOSE(got, wanted, bound, label)                        \
  EXPECT_LE(::sing::test::difference((got), (wanted)), bound)               \
      << (label) << ": " << ::sing::to_string((got).shape()) << ", wanted " \
      << ::sing::to_string((wanted).shape())

/// The running statistics that the script starts every batch norm from.
inline void set_running_statistics(nn::Module& module) {
  for (const NamedTensor& buffer : module.buffers()) {
    const bool mean = buffer.name.ends_with("running_mean");
    if (!mean && !buffer.name.ends_with("running_var")) continue;
    std::vector<double> values;
    for (int64_t i = 0; i < buffer.tensor.numel(); ++i)
      values.push_back(mean ? static_cast<double>(i % 3) * 0.25
                            : 1 + static_cast<double>(i % 4) * 0.125);
    Tensor target = buffer.tensor;
    target.copy_from(Tensor::from(values, target.shape()));
  }
}

/// Loads `param/...` (and `buffer/...` never: those are results) into a module in f64.
/// `prefix` is cut off the names of the file.
inline void load_golden(nn::Module& module, const Tensors& golden, const std::string& prefix = "") {
  module.initialize(0);
  module.to(DType::f64);
  const nn::LoadReport report =
      nn::load_parameters(module, part(golden, "param/" + prefix), nn::LoadMode::partial);
  EXPECT_TRUE(report.unexpected.empty() && report.misshapen.empty()) << report.text();
  for (const std::string& name : report.missing)
    EXPECT_TRUE(name.find("running_") != std::string::npos) << "missing " << name;
  set_running_statistics(module);
}

/// Compares every gradient with `grad/...`; frozen parameters must have none.
inline void expect_golden_gradients(nn::Module& module, const Tensors& golden,
                                    const std::string& prefix = "") {
  for (const nn::Parameter* p : module.parameters()) {
    if (!p->trainable) {
      EXPECT_FALSE(p->grad().defined()) << p->name;
      continue;
    }
    ASSERT_TRUE(golden.contains("grad/" + prefix + p->name)) << p->name;
    ASSERT_TRUE(p->grad().defined()) << p->name;
    SING_EXPECT_CLOSE(p->grad(), golden.at("grad/" + prefix + p->name), kGolden, p->name);
  }
}

}  // namespace sing::test
