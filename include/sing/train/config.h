#pragma once
#include <optional>
#include <string>
#include <vector>

#include "sing/config/schema.h"
#include "sing/core/export.h"
#include "sing/data/source.h"
#include "sing/metrics/metric.h"
#include "sing/nn/loss.h"
#include "sing/nn/model.h"
#include "sing/optim/optimizer.h"

namespace sing::train {

enum class Precision : uint8_t { f32, bf16 };
inline config::EnumNames<Precision> enum_names(Precision) {
  return {{"f32", Precision::f32}, {"bf16", Precision::bf16}};
}

/// What to do when the loss or a gradient is not finite.
enum class NonfinitePolicy : uint8_t {
  stop,      ///< end with code 5; weights stay those of the last good step
  skip,      ///< leave that update out, at most ten times
  rollback,  ///< back to the last checkpoint and past that window, at most three times
};
inline config::EnumNames<NonfinitePolicy> enum_names(NonfinitePolicy) {
  return {{"stop", NonfinitePolicy::stop},
          {"skip", NonfinitePolicy::skip},
          {"rollback", NonfinitePolicy::rollback}};
}

enum class SpikePolicy : uint8_t { warn, skip, rollback, stop };
inline config::EnumNames<SpikePolicy> enum_names(SpikePolicy) {
  return {{"warn", SpikePolicy::warn},
          {"skip", SpikePolicy::skip},
          {"rollback", SpikePolicy::rollback},
          {"stop", SpikePolicy::stop}};
}

enum class Recompute : uint8_t { none, automatic, all };
inline config::EnumNames<Recompute> enum_names(Recompute) {
  return {{"none", Recompute::none}, {"auto", Recompute::automatic}, {"all", Recompute::all}};
}

enum class GraphUse : uint8_t { automatic, off };
inline config::EnumNames<GraphUse> enum_names(GraphUse) {
  return {{"auto", GraphUse::automatic}, {"off", GraphUse::off}};
}

struct SpikeOptions {
  SpikePolicy policy = SpikePolicy::warn;
  double factor = 5;  ///< times the median of the last 100 steps
  static void describe(config::Fields<SpikeOptions>& f) {
    f("policy", &SpikeOptions::policy, "what a spike leads to; its batch is kept in any case");
    f("factor", &SpikeOptions::factor,
      "a spike is a loss above this times the median of the last 100 steps")
        .range(1, 1e9, config::Ends::high);
  }
};

struct TrainOptions {
  config::Duration duration = config::Duration::epochs(1);
  Precision precision = Precision::f32;
  std::string device = "auto";
  int64_t accumulate = 1;
  std::optional<int64_t> threads;
  std::optional<config::Duration> max_time;
  NonfinitePolicy on_nonfinite = NonfinitePolicy::stop;
  SpikeOptions spike;
  bool deterministic = true;
  Recompute recompute = Recompute::none;
  GraphUse graph = GraphUse::automatic;

  static void describe(config::Fields<TrainOptions>& f) {
    using Unit = config::Duration::Unit;
    f("duration", &TrainOptions::duration, "length of the run")
        .units({Unit::epochs, Unit::steps, Unit::samples, Unit::seconds})
        .positive()
        .required();
    f("precision", &TrainOptions::precision, "what layers compute in; weights stay f32");
    f("device", &TrainOptions::device, "auto, cpu, cuda or cuda:N");
    f("accumulate", &TrainOptions::accumulate, "micro-batches whose gradients make one update")
        .range(1, 1e6);
    f("threads", &TrainOptions::threads, "processor threads for numeric work")
        .range(1, 1024)
        .unset_word("auto");
    f("max_time", &TrainOptions::max_time,
      "wall-clock limit of one start of the program; it saves and ends with code 75")
        .units({Unit::seconds})
        .positive();
    f("on_nonfinite", &TrainOptions::on_nonfinite, "what a NaN or Inf leads to");
    f("spike", &TrainOptions::spike, "loss spikes");
    f("deterministic", &TrainOptions::deterministic,
      "the same bits on every run with the same build and thread count");
    f("recompute", &TrainOptions::recompute, "recompute block activations in the backward pass");
    f("graph", &TrainOptions::graph,
      "auto captures the step of a GPU after a few of equal shapes and replays it, off queues it "
      "op "
      "by op; the same numbers");
  }
};

enum class Mode : uint8_t { max, min };
inline config::EnumNames<Mode> enum_names(Mode) {
  return {{"max", Mode::max}, {"min", Mode::min}};
}

struct EvalOptions {
  config::Duration every = config::Duration::epochs(1);
  std::string split = "test";
  std::vector<config::Component<metrics::metric_kind>> metrics;
  std::optional<int64_t> batch_size;
  std::optional<int64_t> statistics_batches;

  static void describe(config::Fields<EvalOptions>& f) {
    using Unit = config::Duration::Unit;
    f("every", &EvalOptions::every, "how often; the end of the run always counts")
        .units({Unit::epochs, Unit::steps})
        .positive();
    f("split", &EvalOptions::split, "which samples").one_of({"train", "val", "test"});
    f("metrics", &EvalOptions::metrics, "what to measure");
    f("batch_size", &EvalOptions::batch_size, "samples of one forward pass")
        .range(1, 1e9)
        .default_note("data.batch_size");
    f("statistics_batches", &EvalOptions::statistics_batches,
      "training batches from which batch-norm statistics are made anew for averaged weights (swa, "
      "schedulefree_adamw); 0 keeps those of training")
        .range(0, 1e9)
        .unset_word("all");
  }
};

struct KeepBest {
  std::string metric;
  Mode mode = Mode::max;
  static void describe(config::Fields<KeepBest>& f) {
    f("metric", &KeepBest::metric, "name as in metrics.jsonl: eval/<split>/<metric>").required();
    f("mode", &KeepBest::mode, "whether larger or smaller is better");
  }
};

struct CheckpointOptions {
  config::Duration every = config::Duration::minutes(15);
  int64_t keep_last = 2;
  std::optional<KeepBest> keep_best;
  std::optional<config::Duration> keep_every;

  static void describe(config::Fields<CheckpointOptions>& f) {
    using Unit = config::Duration::Unit;
    f("every", &CheckpointOptions::every, "how often a checkpoint is written")
        .units({Unit::epochs, Unit::steps, Unit::seconds})
        .positive();
    f("keep_last", &CheckpointOptions::keep_last, "newest checkpoints that stay").range(2, 1e6);
    f("keep_best", &CheckpointOptions::keep_best, "keep the best one by a metric");
    f("keep_every", &CheckpointOptions::keep_every,
      "checkpoints at multiples of this stay for ever")
        .units({Unit::epochs, Unit::steps})
        .positive();
  }
};

struct LogOptions {
  config::Duration every = config::Duration::steps(10);
  int64_t samples = 4;
  std::optional<config::Duration> tensors_every = config::Duration::steps(100);

  static void describe(config::Fields<LogOptions>& f) {
    f("every", &LogOptions::every, "distance of the training records in metrics.jsonl")
        .units({config::Duration::Unit::steps})
        .at_least(1);
    f("samples", &LogOptions::samples,
      "rows of the prediction panel written at each evaluation (models that make images)")
        .range(0, 64);
    f("tensors_every", &LogOptions::tensors_every,
      "distance of the records of sing/raw_norm/<tensor>, the gradient norm of each tensor before "
      "the transforms; null: none")
        .units({config::Duration::Unit::steps})
        .at_least(1);
  }
};

/// A band the final metrics are expected in, for rows of a published table.
struct Expect {
  std::string metric;
  double low = 0, high = 0;
  bool diverge = false;
  static void describe(config::Fields<Expect>& f) {
    f("metric", &Expect::metric, "name as in metrics.jsonl");
    f("low", &Expect::low, "lower end of the band");
    f("high", &Expect::high, "upper end of the band").allow_infinite();
    f("diverge", &Expect::diverge, "no finite, useful result is expected");
  }
};

/// One YAML file describes a run completely.
struct ExperimentConfig {
  int64_t version = 1;
  std::string name;  ///< of the run folder; the file's stem when empty
  int64_t seed = 1;
  config::Component<nn::model_kind> model;
  config::Component<data::dataset_registry> data;
  config::Component<nn::loss_kind> loss;
  optim::OptimizerConfig optimizer;
  TrainOptions train;
  EvalOptions eval;
  CheckpointOptions checkpoint;
  LogOptions log;
  std::optional<Expect> expect;

  static void describe(config::Fields<ExperimentConfig>& f) {
    f("version", &ExperimentConfig::version, "of the config format").range(1, 1).required();
    f.reserved("extends", "file or files this one starts from, relative to it");
    f("name", &ExperimentConfig::name, "of the run folder").default_note("the file's name");
    f("seed", &ExperimentConfig::seed, "of everything random").non_negative();
    f("model", &ExperimentConfig::model, "the network");
    f("data", &ExperimentConfig::data, "the samples");
    f("loss", &ExperimentConfig::loss, "what training minimises");
    f("optimizer", &ExperimentConfig::optimizer, "gradient transforms, host and what follows it");
    f("train", &ExperimentConfig::train, "the run");
    f("eval", &ExperimentConfig::eval, "evaluation");
    f("checkpoint", &ExperimentConfig::checkpoint, "what is kept on disk");
    f("log", &ExperimentConfig::log, "what is recorded");
    f("expect", &ExperimentConfig::expect, "published result this run is compared with");
  }
};

}  // namespace sing::train
