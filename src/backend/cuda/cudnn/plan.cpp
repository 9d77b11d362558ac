#include "backend/cuda/cudnn/plan.h"

#include <algorithm>
#include <array>
#include <optional>

#include "sing/backend/memory.h"
#include "sing/core/error.h"

namespace sing::cuda::cudnn {
namespace {

std::vector<int64_t> notes_of(const Descriptor& engine) {
  return engine.get_enums(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE);
}

EngineChoice choice_of(const Descriptor& config, const Descriptor& engine) {
  EngineChoice choice{engine.get_integer(CUDNN_ATTR_ENGINE_GLOBAL_INDEX), {}};
  for (const Descriptor& knob :
       config.get_descriptors(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                              CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS)) {
    cudnnBackendKnobType_t type{};
    int64_t count = 0;
    check(cudnnBackendGetAttribute(knob.get(), CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE,
                                   CUDNN_TYPE_KNOB_TYPE, 1, &count, &type),
          "read a knob");
    choice.knobs.emplace_back(type, knob.get_integer(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
  }
  return choice;
}

/// Null and a reason when the engine does not take the graph.
std::optional<Descriptor> finalized_plan(const Descriptor& config, const Target& target,
                                         std::string& reason) {
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  if (target.handle != nullptr)
    plan.set_handle(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, target.handle);
  else
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.properties);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
  const cudnnStatus_t status = plan.try_finalize();
  if (status == CUDNN_STATUS_SUCCESS) return plan;
  reason = status_text(status);
  return std::nullopt;
}

Descriptor engine_of(const Graph& graph, const Target& target, int64_t number) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph.descriptor())
      .set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, number);
  if (target.handle == nullptr) engine.set(CUDNN_ATTR_ENGINE_DEVICEPROP, *target.properties);
  engine.finalize();
  return engine;
}

struct Found {
  Descriptor plan;
  EngineChoice choice;
  std::vector<int64_t> notes;
};

std::optional<Found> plan_of_choice(const Graph& graph, const Target& target,
                                    const PlanRules& rules, const EngineChoice& choice,
                                    std::string& reason) {
  const Descriptor engine = engine_of(graph, target, choice.engine);
  std::vector<int64_t> notes = notes_of(engine);
  if (!allowed(notes, rules)) return std::nullopt;
  std::vector<Descriptor> knobs;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const auto& [number, value] : choice.knobs) {
    const auto type = static_cast<cudnnBackendKnobType_t>(number);
    Descriptor& knob = knobs.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    knob.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type)
        .set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value)
        .finalize();
    raw.push_back(knob.get());
  }
  Descriptor config(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  config.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  if (!raw.empty()) config.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, raw);
  config.finalize();
  std::optional<Descriptor> plan = finalized_plan(config, target, reason);
  if (!plan) return std::nullopt;
  return Found{std::move(*plan), choice, std::move(notes)};
}

struct Suggestion {
  Descriptor config, engine;
};

/// What the heuristic names, best first; nothing and a reason when it refuses the graph.
std::vector<Suggestion> suggestions(const Graph& graph, const Target& target,
                                    cudnnBackendHeurMode_t mode, std::string& reason) {
  std::vector<Suggestion> all;
  Descriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.descriptor())
      .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  if (target.handle == nullptr) heuristic.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target.properties);
  if (const cudnnStatus_t status = heuristic.try_finalize(); status != CUDNN_STATUS_SUCCESS) {
    reason = status_text(status);
    return all;
  }
  for (Descriptor& config : heuristic.get_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                      CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)) {
    std::vector<Descriptor> engines =
        config.get_descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    if (!engines.empty()) all.push_back({std::move(config), std::move(engines[0])});
  }
  return all;
}

std::optional<Found> first_suggested(const Graph& graph, const Target& target,
                                     const PlanRules& rules, cudnnBackendHeurMode_t mode,
                                     std::string& reason) {
  for (const auto& [config, engine] : suggestions(graph, target, mode, reason)) {
    std::vector<int64_t> notes = notes_of(engine);
    if (!allowed(notes, rules)) continue;
    if (std::optional<Descriptor> plan = finalized_plan(config, target, reason))
      return Found{std::move(*plan), choice_of(config, engine), std::move(notes)};
  }
  return std::nullopt;
}

std::optional<Found> search(const Graph& graph, const Target& target, const PlanRules& rules,
                            const EngineChoice* known, std::string& reason) {
  if (known != nullptr) {
    try {
      if (auto found = plan_of_choice(graph, target, rules, *known, reason)) return found;
    } catch (const BackendError&) {
      // A choice that this library does not know any more: look for another one.
    }
  }
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
    if (auto found = first_suggested(graph, target, rules, mode, reason)) return found;
  return std::nullopt;
}

std::vector<EngineChoice> choices_to_time(const Graph& graph, const Target& target,
                                          int64_t kernels) {
  std::vector<EngineChoice> choices;
  const auto add = [&](EngineChoice choice) {
    if (std::ranges::find(choices, choice) == choices.end()) choices.push_back(std::move(choice));
  };
  std::string reason;
  for (const auto& [config, engine] : suggestions(graph, target, CUDNN_HEUR_MODE_A, reason))
    add(choice_of(config, engine));
  const int64_t engines =
      graph.descriptor().get_integer(CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT);
  for (int64_t engine = 0; engine < engines; ++engine) {
    const auto same = [&](const EngineChoice& choice) { return choice.engine == engine; };
    if (std::ranges::none_of(choices, same)) add({engine, {}});
    for (int64_t kernel = 0; kernel < kernels; ++kernel)
      add({engine, {{CUDNN_KNOB_TYPE_KERNEL_CFG, kernel}}});
  }
  return choices;
}

}  // namespace

std::string EngineChoice::text() const {
  std::string text = "engine " + std::to_string(engine);
  for (size_t i = 0; i < knobs.size(); ++i)
    text += (i == 0 ? " (" : ", ") + std::to_string(knobs[i].first) + "=" +
            std::to_string(knobs[i].second);
  return text + (knobs.empty() ? "" : ")");
}

bool allowed(const std::vector<int64_t>& notes, const PlanRules& rules) {
  const auto has = [&](int64_t note) { return std::ranges::find(notes, note) != notes.end(); };
  if (rules.deterministic && has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)) return false;
  if (!rules.strict_f32) return true;
  return !has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE) && !has(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS) &&
         !has(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION) && !has(CUDNN_NUMERICAL_NOTE_FFT) &&
         !has(CUDNN_NUMERICAL_NOTE_WINOGRAD);
}

Plan::Plan(Graph graph, Descriptor plan, EngineChoice choice, std::vector<int64_t> notes)
    : graph_(std::move(graph)),
      plan_(std::move(plan)),
      choice_(std::move(choice)),
      notes_(std::move(notes)),
      workspace_bytes_(plan_.get_integer(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE)) {}

void Plan::run(cudnnHandle_t handle, std::span<const std::pair<int64_t, void*>> tensors,
               void* workspace) const {
  constexpr size_t kMost = 16;
  SING_ASSERT(tensors.size() <= kMost);
  std::array<int64_t, kMost> ids{};
  std::array<void*, kMost> pointers{};
  for (size_t i = 0; i < tensors.size(); ++i) std::tie(ids[i], pointers[i]) = tensors[i];
  const auto count = static_cast<int64_t>(tensors.size());
  try {
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids.data())
        .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointers.data())
        .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace)
        .finalize();
    check(cudnnBackendExecute(handle, plan_.get(), pack.get()),
          "run engine " + std::to_string(choice_.engine));
  } catch (const BackendError& error) {
    const std::string place = backend::place_text();
    throw BackendError(error.what(), place + (place.empty() ? "" : ": ") + name());
  }
}

std::unique_ptr<Plan> find_plan(Graph graph, const Target& target, const PlanRules& rules,
                                const EngineChoice* known, std::string& reason) {
  reason = "no engine";
  std::optional<Found> found = search(graph, target, rules, known, reason);
  if (!found) return nullptr;
  return std::make_unique<Plan>(std::move(graph), std::move(found->plan), std::move(found->choice),
                                std::move(found->notes));
}

std::unique_ptr<Plan> find_plan(Graph graph, const Target& target, const PlanRules& rules,
                                const EngineChoice& choice) {
  std::string reason;
  try {
    std::optional<Found> found = plan_of_choice(graph, target, rules, choice, reason);
    if (found)
      return std::make_unique<Plan>(std::move(graph), std::move(found->plan), choice,
                                    std::move(found->notes));
  } catch (const BackendError&) {
    // An engine that this library does not have, or that does not take the graph.
  }
  return nullptr;
}

std::vector<std::unique_ptr<Plan>> plans_to_time(const std::function<Graph()>& make,
                                                 const Target& target, const PlanRules& rules,
                                                 int64_t kernels) {
  std::vector<std::unique_ptr<Plan>> plans;
  for (const EngineChoice& choice : choices_to_time(make(), target, kernels))
    if (auto plan = find_plan(make(), target, rules, choice)) plans.push_back(std::move(plan));
  return plans;
}

}  // namespace sing::cuda::cudnn
