#include "apps/plan.h"

#include <fmt/format.h>

#include <cstdio>

#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/core/file_system.h"
#include "sing/nn/summary.h"
#include "sing/train/memory_plan.h"
#include "sing/train/progress.h"

namespace sing::apps {
namespace {

constexpr double kGib = 1024.0 * 1024.0 * 1024.0;

void print_memory(const train::ExperimentConfig& config) {
  // A check touches no device: what it would hold follows from the config alone.
  const bool on_gpu = config.train.device.starts_with("cuda");
  const Device device = on_gpu ? Device{DeviceType::cuda, 0} : Device{};
  const train::MemoryPlan plan = train::plan_memory(config, {}, device);
  const bool large = static_cast<double>(plan.total()) >= kGib;
  const auto text = [&](int64_t bytes) {
    return fmt::format("{:.{}f}", static_cast<double>(bytes) * (large ? 1 : 1024) / kGib,
                       large ? 2 : 1);
  };
  const std::string parts =
      fmt::format("activations {}, optimizer {}, weights {}, gradients {}, batches {}, reserve {}",
                  text(plan.activations), text(plan.optimizer), text(plan.weights),
                  text(plan.gradients), text(plan.batches), text(plan.reserve));
  const double host = static_cast<double>(backend::cpu_memory_limit());
  const std::string room =
      on_gpu ? "on " + config.train.device : fmt::format("of {:.1f} GiB", host / kGib);
  std::printf("memory   %s %s %s: %s, checkpoint read back %s\n", text(plan.total()).c_str(),
              large ? "GiB" : "MiB", room.c_str(), parts.c_str(), text(plan.checkpoint).c_str());
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
  print_memory(config);
  if (whole) std::printf("\n%s", nn::summary_text(experiment.model()).c_str());
  std::printf("ok: nothing was started\n");
}

}  // namespace sing::apps
