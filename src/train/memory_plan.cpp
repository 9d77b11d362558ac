#include "sing/train/memory_plan.h"

#include <algorithm>
#include <array>

#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"
#include "sing/backend/rehearsal.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/data/loader.h"
#include "sing/data/split.h"
#include "train/one_pass.h"

namespace sing::train {
namespace {

using backend::MemoryPurpose;

int64_t in_use() {
  return backend::runtime({}).memory().in_use;
}

int64_t held_for(MemoryPurpose purpose) {
  return backend::memory_table({})[purpose];
}

/// Adds up the tensors it is shown.
class Bytes final : public StateVisitor {
 public:
  void visit(const std::string&, Tensor& tensor) override {
    total += checked_bytes(tensor.numel(), tensor.dtype());
  }
  void visit(const std::string&, int64_t&) override {}
  void visit(const std::string&, double&) override {}
  int64_t total = 0;
};

/// What is known of a split before it is opened (which may mean work and memory of its own).
class Outline final : public data::Dataset {
 public:
  Outline(const data::Source& source, data::Split split)
      : name_(source.summary()), size_(source.size(split)), fields_(source.fields()) {}
  std::string name() const override { return name_; }
  int64_t size() const override { return size_; }
  const std::vector<data::Field>& fields() const override { return fields_; }
  void get(const data::SampleKey&, std::span<void* const>) const override {
    throw InternalError("a sample was asked of an outline");
  }
  std::string fingerprint() const override { return {}; }

 private:
  std::string name_;
  int64_t size_;
  std::vector<data::Field> fields_;
};

void rehearse_evaluation(Experiment& experiment) {
  const EvalOptions& options = experiment.config().eval;
  const auto dataset =
      std::make_shared<Outline>(experiment.source(), data::split_from_name(options.split));
  if (experiment.measures().empty() || dataset->size() == 0) return;
  const int64_t wanted = options.batch_size.value_or(experiment.batches().batch_size);
  const int64_t batch_size = std::min(wanted, dataset->size());
  data::LoaderOptions loading = loading_of(experiment, batch_size);
  loading.device = {};  // nothing of a rehearsal touches it
  const data::Loader loader(dataset, loading);
  experiment.model().train(false);
  evaluation_pass(experiment, data::allocate_batch(*dataset, batch_size));
}

}  // namespace

MemoryPlan plan_memory(const ExperimentConfig& config, std::optional<int64_t> batch_size,
                       Device device) {
  // Other threads may hold tensors: only differences count.
  const int64_t weights_before = held_for(MemoryPurpose::weights);
  const int64_t gradients_before = held_for(MemoryPurpose::gradients);
  const int64_t optimizer_before = held_for(MemoryPurpose::optimizer);
  const backend::Rehearsal rehearsal;
  backend::DeviceRuntime& runtime = backend::runtime({});
  Experiment experiment(config);
  experiment.place(device);
  nn::Model& model = experiment.model();
  // Not Experiment::initialize_model: a file to start from would be read.
  model.initialize(static_cast<uint64_t>(config.seed));
  model.set_recompute(config.train.recompute == Recompute::all);
  model.train(true);
  const auto optimizer = experiment.make_optimizer();
  MemoryPlan plan{.weights = held_for(MemoryPurpose::weights) - weights_before,
                  .gradients = held_for(MemoryPurpose::gradients) - gradients_before,
                  .optimizer = held_for(MemoryPurpose::optimizer) - optimizer_before};
  Bytes state;
  model.visit_state(state);
  optimizer->visit_state(state);
  plan.checkpoint = state.total;

  const auto dataset = std::make_shared<Outline>(experiment.source(), data::Split::train);
  const int64_t size = batch_size.value_or(experiment.batches().batch_size);
  const int64_t before_batches = in_use();
  const bool here = device.type == DeviceType::cpu;
  std::optional<data::Loader> loader;
  std::array<Batch, 2> there;  // the one in use and the one that is being copied
  if (here)
    loader.emplace(dataset, loading_of(experiment, size));
  else
    for (Batch& batch : there) batch = data::allocate_batch(*dataset, size);
  plan.batches = in_use() - before_batches;
  {
    const Batch batch = data::allocate_batch(*dataset, size);  // stands for one of the loader's
    const int64_t before_pass = in_use();
    runtime.reset_peak();
    for (int pass = 0; pass < 2; ++pass) training_pass(experiment, batch);
    plan.activations = runtime.memory().peak - before_pass;
  }
  rehearse_evaluation(experiment);
  plan.reserve = std::max<int64_t>(0, runtime.memory().reserved - plan.tensors());
  return plan;
}

}  // namespace sing::train
