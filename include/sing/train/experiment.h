#pragma once
#include <memory>
#include <string>
#include <vector>

#include "sing/config/load.h"
#include "sing/core/export.h"
#include "sing/data/source.h"
#include "sing/metrics/metric.h"
#include "sing/nn/loss.h"
#include "sing/nn/model.h"
#include "sing/optim/optimizer.h"
#include "sing/train/config.h"

namespace sing::train {

using LoadedConfig = config::Loaded<ExperimentConfig>;

/// The parts a config names, made in steps, so that a check needs no memory for the model and an
/// evaluation no optimizer.
class SING_API Experiment {
 public:
  /// Makes data source, model, loss and metrics; checks that they fit each other, and that group
  /// patterns match. Takes no memory for weights. Throws ConfigError.
  explicit Experiment(const ExperimentConfig& config);
  ~Experiment();

  const ExperimentConfig& config() const { return config_; }
  const data::Source& source() const { return *source_; }
  const data::BatchOptions& batches() const { return source_->batches(); }
  nn::Model& model() { return *model_; }
  const nn::Loss& loss() const { return *loss_; }
  const std::vector<std::unique_ptr<metrics::Metric>>& measures() const { return measures_; }
  const std::vector<std::string>& measure_names() const { return measure_names_; }

  int64_t steps_per_epoch() const;
  int64_t total_steps() const;  ///< 0 when the length is wall-clock time
  std::optional<double> total_seconds() const;
  double total_epochs() const;  ///< 0 when not known
  /// What the optimizer needs to resolve durations.
  optim::RunLength run_length() const;

  /// Where the model lives once it is initialised, and with it the optimizer and the passes; the
  /// CPU at first. Moves a model that is initialised; before its optimizer is made.
  void place(Device device);
  Device device() const { return device_; }

  /// Weights from the seed, then from `model.init_from` when set; the report of the latter in
  /// `init_report`.
  void initialize_model();
  const std::string& init_report() const { return init_report_; }
  std::unique_ptr<optim::Optimizer> make_optimizer();
  /// f32 or bf16 as the device can; `notice` says when it is not what the config asks for.
  Precision precision(std::string* notice = nullptr) const;

  /// What rules of `optimizer.groups` take out of training; needs no memory for weights.
  struct Frozen {
    int64_t tensors = 0, elements = 0;
  };
  Frozen frozen_by_groups() const;

 private:
  void check_groups() const;
  ExperimentConfig config_;
  Device device_;
  std::unique_ptr<data::Source> source_;
  std::unique_ptr<nn::Model> model_;
  std::unique_ptr<nn::Loss> loss_;
  std::vector<std::unique_ptr<metrics::Metric>> measures_;
  std::vector<std::string> measure_names_;
  std::string init_report_;
};

/// Throws DeviceError E0250 when the device cannot be used; resolves "auto".
SING_API Device resolve_device(const std::string& text, std::string* notice = nullptr);

}  // namespace sing::train
