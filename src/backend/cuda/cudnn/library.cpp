#include "backend/cuda/cudnn/library.h"

#include <cstdlib>
#include <utility>

#include "backend/cuda/cudnn/parts.h"
#include "backend/cuda/runtime.h"
#include "kernels/cuda/backend.h"
#include "sing/core/error.h"
#include "sing/core/log.h"

namespace sing::cuda::cudnn {
namespace {

constexpr size_t kPlans = 512;

std::string device_text() {
  const cudaDeviceProp& p = runtime().properties();
  return std::string(p.name) + ", compute capability " + std::to_string(p.major) + "." +
         std::to_string(p.minor) + ", " + std::to_string(p.multiProcessorCount) +
         " multiprocessors";
}

int64_t installed_version() {
  if (const std::string missing = missing_part(); !missing.empty()) throw BackendError(missing);
  return static_cast<int64_t>(cudnnGetVersion());
}

}  // namespace

Library& Library::get() {
  static Library* library = new Library;  // never destroyed: others' destructors may still call
  return *library;
}

Library::Library()
    : version_(installed_version()), plans_(kPlans), choices_(version_, device_text()) {
  if (version_ / 10000 != CUDNN_MAJOR)
    throw BackendError("this backend was built for cuDNN " + std::to_string(CUDNN_MAJOR) +
                       " and found version " + std::to_string(version_));
  cudnn::check(cudnnCreate(&handle_), "start on " + device_text());
  if (const char* file = std::getenv("SING_CUDA_PLANS")) file_ = file;
  if (!file_.empty()) choices_.load(file_);
}

std::shared_ptr<const Plan> Library::make_plan(const PlanKey& key, const PlanRules& rules,
                                               const std::function<Graph(const Target&)>& make) {
  const Target target{handle_, nullptr};
  std::string reason, name;
  std::unique_ptr<Plan> plan;
  const EngineChoice* known = choices_.find(key);
  try {
    Graph graph = make(target);
    name = graph.name();
    plan = find_plan(std::move(graph), target, rules, known, reason);
  } catch (const BackendError& error) {  // a graph that cuDNN does not accept at all
    name = error.where();
    reason = error.what();
  }
  if (plan == nullptr) {
    log_info("cudnn: no plan for " + name + " (" + reason + "); own kernels serve it");
    return nullptr;
  }
  log_debug("cudnn: " + name + ": engine " + std::to_string(plan->choice().engine) +
            ", workspace " + std::to_string(plan->workspace_bytes()) + " bytes");
  if (known == nullptr || *known != plan->choice()) keep_choice(key, name, plan->choice());
  return plan;
}

void Library::keep_choice(const PlanKey& key, std::string name, EngineChoice choice) {
  if (file_.empty()) return;
  choices_.put(key, std::move(name), std::move(choice));
  choices_.save(file_);
}

std::shared_ptr<const Plan> Library::plan(const PlanKey& key, const PlanRules& rules,
                                          const std::function<Graph(const Target&)>& make) {
  return plans_.get(key, [&] { return make_plan(key, rules, make); });
}

std::shared_ptr<const Plan> Library::plan(
    const PlanKey& key, const std::function<std::unique_ptr<Plan>(const Target&)>& choose) {
  return plans_.get(key, [&] { return std::shared_ptr<const Plan>(choose({handle_, nullptr})); });
}

void Library::run(const Plan& plan, std::span<const std::pair<int64_t, void*>> tensors,
                  Stream stream, bool zero_workspace) {
  const auto bytes = static_cast<size_t>(plan.workspace_bytes());
  const Workspace workspace(bytes, stream);
  if (zero_workspace) runtime().fill_zero(workspace.data(), bytes, stream);
  {
    const std::lock_guard lock(handle_mutex_);
    cudnn::check(cudnnSetStream(handle_, native(stream)), "choose a stream");
    launching(stream);
    plan.run(handle_, tensors, workspace.data());
  }
  launched(stream, [&] { return Described{"cudnn " + plan.name(), {}}; });
}

}  // namespace sing::cuda::cudnn
