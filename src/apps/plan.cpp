#include "apps/plan.h"

#include <fmt/format.h>

#include <cstdio>

#include "sing/autograd/autocast.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/core/file_system.h"
#include "sing/data/subset.h"
#include "sing/nn/context.h"
#include "sing/nn/summary.h"
#include "sing/train/progress.h"

namespace sing::apps {
namespace {

constexpr double kGib = 1024.0 * 1024.0 * 1024.0;

/// Peak tensor memory of a forward and backward pass on `batch` samples.
int64_t peak_of(train::Experiment& experiment, data::Loader& loader) {
  backend::DeviceRuntime& runtime = backend::runtime({});
  Batch batch;
  loader.next(batch);
  const nn::ForwardContext context(0, 0);
  runtime.reset_peak();
  const int64_t before = runtime.memory().in_use;
  const autocast::Guard mixed(experiment.precision() == train::Precision::bf16
                                  ? std::optional<DType>(DType::bf16)
                                  : std::nullopt);
  experiment.loss().forward(experiment.model().forward_batch(batch), batch).backward();
  return runtime.memory().peak - before;
}

/// Activations grow linearly with the batch: two small ones tell the line.
double planned_activations(train::Experiment& experiment) {
  const auto dataset =
      data::first_samples(experiment.source().open(data::Split::train), int64_t{8});
  int64_t peaks[2];
  const int64_t sizes[2] = {1, 3};
  for (int i = 0; i < 2; ++i) {
    data::LoaderOptions options;
    options.batch_size = std::min(sizes[i], dataset->size());
    options.workers = 0;
    options.shuffle = false;
    data::Loader loader(dataset, options);
    peaks[i] = peak_of(experiment, loader);
  }
  const double slope = static_cast<double>(peaks[1] - peaks[0]) / 2;
  const double base = static_cast<double>(peaks[0]) - slope;
  return std::max(0.0, base + slope * static_cast<double>(experiment.batches().batch_size));
}

void print_memory(train::Experiment& experiment) {
  backend::DeviceRuntime& runtime = backend::runtime({});
  const int64_t start = runtime.memory().in_use;
  experiment.initialize_model();
  const int64_t weights = runtime.memory().in_use - start;
  const auto optimizer = experiment.make_optimizer();
  const int64_t state = runtime.memory().in_use - start - weights;
  experiment.model().train(true);
  const double activations = planned_activations(experiment);
  const double total = static_cast<double>(weights + state) + activations;
  std::printf("memory   %.2f GiB: weights %.2f, gradients and optimizer %.2f, activations %.2f\n",
              total / kGib, static_cast<double>(weights) / kGib, static_cast<double>(state) / kGib,
              activations / kGib);
}

}  // namespace

void print_plan(const train::LoadedConfig& loaded, bool whole) {
  train::Experiment experiment(loaded.config);
  const train::ExperimentConfig& config = loaded.config;
  // A device that is asked for by name must be there when the run starts, not when it is checked.
  if (experiment.source().size(data::Split::train) < 1)
    throw ConfigError("data has no training samples", {}, {}, "E0243");
  if (config.checkpoint.keep_best) {
    bool found = false;
    for (const std::string& name : experiment.measure_names())
      found |= config.checkpoint.keep_best->metric == "eval/" + config.eval.split + "/" + name;
    if (!found)
      throw ConfigError(
          "checkpoint.keep_best.metric: '" + config.checkpoint.keep_best->metric +
              "' is not measured",
          {}, "metrics are named eval/" + config.eval.split + "/<one of eval.metrics>", "E0244");
  }
  config.optimizer.schedule.make(experiment.run_length());  // throws when longer than the run

  const nn::ModelSize size = nn::model_size(experiment.model());
  std::printf("config   %s, version %lld\n", config.name.c_str(),
              static_cast<long long>(config.version));
  std::printf("model    %s: %s parameters in %lld tensors, %s trained\n",
              config.model.name().c_str(), nn::with_commas(size.parameters).c_str(),
              static_cast<long long>(size.tensors), nn::with_commas(size.trainable).c_str());
  std::printf(
      "data     %s: %s train, %s %s\n", experiment.source().summary().c_str(),
      train::grouped(experiment.source().size(data::Split::train)).c_str(),
      train::grouped(experiment.source().size(data::split_from_name(config.eval.split))).c_str(),
      config.eval.split.c_str());
  std::printf("run      %s steps of %lld x %lld samples, %.4g epochs\n",
              train::grouped(experiment.total_steps()).c_str(),
              static_cast<long long>(config.train.accumulate),
              static_cast<long long>(experiment.batches().batch_size), experiment.total_epochs());
  const double macs = static_cast<double>(experiment.model().forward_macs());
  std::printf(
      "compute  %.3g GFLOP a trained sample, %.3g PFLOP in all\n", 6 * macs / 1e9,
      6 * macs *
          static_cast<double>(experiment.total_steps() * experiment.run_length().samples_per_step) /
          1e15);
  if (whole) {
    print_memory(experiment);
    std::printf("\n%s", nn::summary_text(experiment.model()).c_str());
  }
  std::printf("ok: nothing was started\n");
}

}  // namespace sing::apps
