#include "apps/plan.h"

#include <fmt/format.h>

#include <cstdio>

#include "sing/core/error.h"
#include "sing/core/file_system.h"
#include "sing/nn/summary.h"
#include "sing/train/memory_plan.h"
#include "sing/train/progress.h"

namespace sing::apps {
namespace {

constexpr double kGib = 1024.0 * 1024.0 * 1024.0;

void print_memory(train::Experiment& experiment) {
  const train::MemoryPlan plan = train::plan_memory(experiment);
  const int64_t batch_size = experiment.batches().batch_size;
  const auto gib = [](auto bytes) { return static_cast<double>(bytes) / kGib; };
  std::printf(
      "memory   %.2f GiB: activations %.2f, optimizer %.2f, weights %.2f, gradients %.2f, "
      "batches %.2f\n",
      gib(plan.total(batch_size)), gib(plan.activations_of(batch_size)), gib(plan.optimizer),
      gib(plan.weights), gib(plan.gradients), gib(plan.batches_of(batch_size)));
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
