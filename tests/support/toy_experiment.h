#pragma once
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sing/autograd/tape.h"
#include "sing/train/checkpoint_state.h"
#include "sing/train/experiment.h"
#include "sing/train/session.h"
#include "sing/train/trainer.h"
#include "support/temporary_folder.h"
#include "train/feed.h"

namespace sing::test {

/// A run that takes a fraction of a second and has everything that is hard to resume: dropout,
/// accumulation with a short last window and a short last batch, warm-up, SING and LookAhead.
/// 22 samples in batches of 4: windows of 3 and 3 micro-batches; 6 updates in 18 micro-steps.
inline const char* toy_config() {
  return R"(version: 1
seed: 3
model: {name: vit, patch: 8, dim: 16, depth: 1, num_heads: 2, dropout: 0.1}
data: {name: rde, preset: quick, train_size: 22, test_size: 8, batch_size: 4, workers: 1}
loss: mse
optimizer:
  transforms: [sing]
  host: {name: adamw, lr: 1e-2, weight_decay: 5e-2, softplus_beta: 50}
  lookahead: {every: 2, alpha: 0.5}
  schedule: {name: cosine, warmup: 2st}
train: {duration: 3ep, accumulate: 3, threads: 1}
eval: {every: 1ep, metrics: [mse, depth_accuracy], batch_size: 4}
checkpoint: {every: 1st, keep_last: 2}
log: {every: 1st, samples: 2, tensors_every: 2st}
)";
}

/// The config read from `text` with overrides.
inline train::LoadedConfig load_text(const std::string& text,
                                     const std::vector<std::string>& overrides = {}) {
  const TemporaryFolder folder;
  std::ofstream(folder / "toy.yaml") << text;
  config::LoadRequest request;
  request.files = {folder / "toy.yaml"};
  request.overrides = overrides;
  train::LoadedConfig loaded = config::load<train::ExperimentConfig>(request);
  loaded.config.name = "toy";
  return loaded;
}

/// Everything a run needs in memory, no files.
class ToyRun {
 public:
  explicit ToyRun(const std::vector<std::string>& overrides = {}, int workers = 1,
                  Device device = {}, const char* config = toy_config())
      : loaded(load_text(config, overrides)), experiment(loaded.config) {
    experiment.place(device);
    experiment.initialize_model();
    optimizer = experiment.make_optimizer();
    data::LoaderOptions loading = data::loader_options(experiment.batches(), data::Split::train,
                                                       static_cast<uint64_t>(loaded.config.seed));
    loading.workers = workers;
    loading.device = device;
    loader = std::make_unique<data::Loader>(
        train::on_device(experiment.source().open(data::Split::train), device), loading);
    train::TrainerOptions options;
    options.seed = static_cast<uint64_t>(loaded.config.seed);
    options.accumulate = loaded.config.train.accumulate;
    options.total_steps = experiment.total_steps();
    options.on_nonfinite = loaded.config.train.on_nonfinite;
    options.spike = loaded.config.train.spike;
    options.precision = experiment.precision();
    options.device = device;
    options.graph = loaded.config.train.graph == train::GraphUse::automatic;
    trainer = std::make_unique<train::Trainer>(options, experiment.model(), experiment.loss(),
                                               *loader, *optimizer);
  }

  /// A deep copy of the present state.
  train::CheckpointContents snapshot() {
    train::CheckpointContents contents = train::checkpoint_contents(*trainer);
    for (auto* part : {&contents.model, &contents.optimizer})
      for (auto& [name, tensor] : *part) tensor = tensor.clone();
    return contents;
  }

  train::LoadedConfig loaded;
  train::Experiment experiment;
  std::unique_ptr<optim::Optimizer> optimizer;
  std::unique_ptr<data::Loader> loader;
  std::unique_ptr<train::Trainer> trainer;
};

/// Calls a function at each event without holding a device up: nothing has to be settled for it.
class Watch : public train::Callback {
 public:
  explicit Watch(std::function<void(train::Event, train::Trainer&)> call)
      : call_(std::move(call)) {}
  void on_event(train::Event event, train::Trainer& trainer) override { call_(event, trainer); }
  bool wants_numbers(const train::Trainer&) const override { return false; }
  bool within_step() const override { return false; }

 private:
  std::function<void(train::Event, train::Trainer&)> call_;
};

/// Calls a function at each event.
class OnEvent : public train::Callback {
 public:
  explicit OnEvent(std::function<void(train::Event, train::Trainer&)> call)
      : call_(std::move(call)) {}
  void on_event(train::Event event, train::Trainer& trainer) override { call_(event, trainer); }

 private:
  std::function<void(train::Event, train::Trainer&)> call_;
};

inline bool same_bytes(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  const Tensor x = a.contiguous(), y = b.contiguous();
  return std::memcmp(x.raw(), y.raw(), static_cast<size_t>(a.numel()) * size_of(a.dtype())) == 0;
}

/// Names whose tensors differ in any bit, or are missing on one side.
inline std::vector<std::string> differences(const std::map<std::string, Tensor>& a,
                                            const std::map<std::string, Tensor>& b) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : a) {
    const auto it = b.find(name);
    if (it == b.end() || !same_bytes(tensor, it->second)) names.push_back(name);
  }
  for (const auto& [name, tensor] : b)
    if (!a.contains(name)) names.push_back(name);
  return names;
}

}  // namespace sing::test
