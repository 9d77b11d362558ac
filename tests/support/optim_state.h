#pragma once
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "sing/optim/optimizer.h"

namespace sing::testing {

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

inline Snapshot snapshot(optim::Optimizer& optimizer) {
  Snapshot s;
  optimizer.visit_state(s);
  return s;
}

}  // namespace sing::testing
