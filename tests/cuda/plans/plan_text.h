#pragma once
#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "backend/cuda/cudnn/plan.h"
#include "cuda/plans/device.h"

namespace sing::test {

/// The plan of a graph for the absent device, and a line about it on standard output.
inline std::unique_ptr<cuda::cudnn::Plan> planned(
    const std::string& model, const cuda::cudnn::PlanRules& rules,
    const std::function<cuda::cudnn::Graph(const cuda::cudnn::Target&)>& make) {
  std::string reason;
  cuda::cudnn::Graph graph = make(absent_h200());
  const std::string name = graph.name();
  auto plan = cuda::cudnn::find_plan(std::move(graph), absent_h200(), rules, nullptr, reason);
  std::string line = model + ": " + name + (rules.strict_f32 ? ", no TF32: " : ": ");
  if (plan) {
    line += "engine " + std::to_string(plan->choice().engine) + ", workspace " +
            std::to_string(plan->workspace_bytes()) + " bytes, notes";
    for (const int64_t note : plan->notes()) line += " " + std::to_string(note);
  } else {
    line += "no plan, " + reason;
  }
  std::puts(line.c_str());
  return plan;
}

}  // namespace sing::test
