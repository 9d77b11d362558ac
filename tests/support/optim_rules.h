#pragma once
// Optimizer rules written out over plain arrays of double, to compare hosts with: no tensors, no
// fused path, one obvious loop each.
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "support/optim_problem.h"

namespace sing::testing {

/// One tensor of the problem in the hands of a rule.
struct RuleTensor {
  size_t k = 0;
  std::vector<double> theta, g;  ///< g: after the transforms
  int t = 0;                     ///< steps taken, the present one included
  std::map<std::string, std::vector<double>> state;

  bool matrix() const { return OptimProblem::shape(k).rank() > 1; }
  std::vector<double>& slot(const std::string& name, double initial = 0) {
    return state.try_emplace(name, theta.size(), initial).first->second;
  }
};

inline double norm_of(const std::vector<double>& x) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  return std::sqrt(squares);
}

/// What is done with the gradients of a step, with one tensor, and with all values afterwards.
struct Rule {
  std::function<void(std::vector<RuleTensor*>& present)> transform;
  std::function<void(RuleTensor& x, double lr)> update;
  std::function<double(int step)> rate;                               ///< step: from 0
  std::function<void(int step, std::vector<RuleTensor>& all)> after;  ///< step: from 1
};

/// Values of all tensors, one behind the other, after each of the given steps.
inline std::vector<std::vector<double>> follow(const Rule& rule, const std::vector<int>& kept) {
  std::vector<RuleTensor> all(OptimProblem::kTensors);
  for (size_t k = 0; k < all.size(); ++k) {
    all[k].k = k;
    for (int64_t i = 0; i < OptimProblem::shape(k).numel(); ++i)
      all[k].theta.push_back(OptimProblem::noise(k, 0, i));
  }
  std::vector<std::vector<double>> result;
  size_t next = 0;
  for (int step = 1; next < kept.size(); ++step) {
    std::vector<RuleTensor*> present;
    for (RuleTensor& x : all)
      if (auto g = OptimProblem::gradient(x.k, step, x.theta)) {
        x.g = std::move(*g);
        present.push_back(&x);
      }
    if (rule.transform) rule.transform(present);
    for (RuleTensor* x : present) {
      ++x->t;
      rule.update(*x, rule.rate(step - 1));
    }
    if (rule.after) rule.after(step, all);
    if (step != kept[next]) continue;
    ++next;
    std::vector<double>& flat = result.emplace_back();
    for (const RuleTensor& x : all) flat.insert(flat.end(), x.theta.begin(), x.theta.end());
  }
  return result;
}

}  // namespace sing::testing
