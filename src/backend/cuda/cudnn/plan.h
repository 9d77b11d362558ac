#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/cuda/cudnn/graph.h"

namespace sing::cuda::cudnn {

/// What distinguishes one way of running a graph from another: cuDNN's number of the engine and
/// its settings (knob type, value). Valid for one version of cuDNN and one kind of device.
struct EngineChoice {
  int64_t engine = -1;
  std::vector<std::pair<int64_t, int64_t>> knobs;
  friend bool operator==(const EngineChoice&, const EngineChoice&) = default;
  /// "engine 7 (24=21)".
  std::string text() const;
};

/// Which engines may not be used, by the numerical notes cuDNN attaches to them.
struct PlanRules {
  bool deterministic = true;  ///< none that adds in an order that changes from run to run
  bool strict_f32 = false;  ///< none that lowers f32 operands (TF32) or transforms them (Winograd)
};

/// Whether an engine with these notes (cudnnBackendNumericalNote_t) may be used.
bool allowed(const std::vector<int64_t>& notes, const PlanRules& rules);

/// A graph with an engine, ready to run. Not changed by running, so several threads may use it,
/// each with a handle of its own.
class Plan {
 public:
  Plan(Graph graph, Descriptor plan, EngineChoice choice, std::vector<int64_t> notes);
  int64_t workspace_bytes() const { return workspace_bytes_; }
  const EngineChoice& choice() const { return choice_; }
  const std::vector<int64_t>& notes() const { return notes_; }
  const std::string& name() const { return graph_.name(); }
  /// `tensors`: unique ids with device pointers (host pointers for scalars). Runs on the stream of
  /// the handle. Throws BackendError that names the graph.
  void run(cudnnHandle_t handle, std::span<const std::pair<int64_t, void*>> tensors,
           void* workspace) const;

 private:
  Graph graph_;
  Descriptor plan_;
  EngineChoice choice_;
  std::vector<int64_t> notes_;
  int64_t workspace_bytes_;
};

/// The first engine that heuristic mode A, then the fallback list, suggests, that `rules` allow and
/// that finalises. `known`, when given, is tried before. Null when there is none; `reason` then
/// says why. `graph` must be finalised for the same target.
std::unique_ptr<Plan> find_plan(Graph graph, const Target& target, const PlanRules& rules,
                                const EngineChoice* known, std::string& reason);

/// What `choice` says, or null.
std::unique_ptr<Plan> find_plan(Graph graph, const Target& target, const PlanRules& rules,
                                const EngineChoice& choice);

/// Plans for those who time them, that `rules` allow: what heuristic mode A suggests; since that
/// may leave out engines that serve the graph well, from each of those its own settings; and from
/// every engine the first `kernels` of the kernels it can make (larger tiles come first). `make`
/// returns the finalised graph. Each plan may take seconds.
std::vector<std::unique_ptr<Plan>> plans_to_time(const std::function<Graph()>& make,
                                                 const Target& target, const PlanRules& rules,
                                                 int64_t kernels);

}  // namespace sing::cuda::cudnn
