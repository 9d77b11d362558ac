#include "sing/train/experiment.h"

#include <algorithm>
#include <cmath>

#include "sing/backend/memory.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/core/file_system.h"
#include "sing/nn/load.h"
#include "sing/tensor/safetensors.h"
#include "sing/train/session.h"

namespace sing::train {
namespace {

/// What the data set tells the model about its samples.
nn::DataShape data_shape(const data::Source& source) {
  nn::DataShape shape;
  const std::vector<data::Field> fields = source.fields();
  for (const data::Field& field : fields) {
    if (field.name == "inputs" && field.shape.rank() == 3) {
      shape.channels = field.shape[0];
      shape.height = field.shape[1];
      shape.width = field.shape[2];
    }
    if (field.name == "targets") {
      const bool image = field.shape.rank() == 3;
      shape.head = image ? nn::Head::image_to_image : nn::Head::classifier;
      shape.outputs = image ? field.shape[0] : field.classes;
    }
  }
  return shape;
}

/// Parameters of the right names and shapes without memory: one element, stretched.
std::vector<nn::Parameter> stretched_parameters(const nn::Model& model) {
  std::vector<nn::Parameter> parameters;
  for (const nn::Module::Description& d : model.describe()) {
    nn::Parameter parameter;
    parameter.name = d.name;
    parameter.tags = d.tags;
    parameter.trainable = d.trainable;
    parameter.value = Tensor::zeros({}).expand(d.shape);
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

}  // namespace

Experiment::Experiment(const ExperimentConfig& config) : config_(config) {
  source_ = config_.data.make();
  const nn::DataShape shape = data_shape(*source_);
  model_ = config_.model.make(shape);
  loss_ = config_.loss.make();
  loss_->check(model_->shape().head);
  for (const auto& metric : config_.eval.metrics) {
    measures_.push_back(metric.make());
    measure_names_.push_back(metric.name());
  }
  check_groups();
}

Experiment::~Experiment() = default;

Experiment::Frozen Experiment::frozen_by_groups() const {
  Frozen frozen;
  for (const nn::Parameter& parameter : stretched_parameters(*model_)) {
    const auto rule = std::ranges::find_if(
        config_.optimizer.groups, [&](const auto& r) { return r.match.matches(parameter); });
    if (!parameter.trainable || rule == config_.optimizer.groups.end() || !rule->freeze) continue;
    ++frozen.tensors;
    frozen.elements += parameter.value.numel();
  }
  return frozen;
}

void Experiment::check_groups() const {
  const std::vector<nn::Parameter> parameters = stretched_parameters(*model_);
  for (const optim::GroupRule& rule : config_.optimizer.groups) {
    bool found = false;
    for (const nn::Parameter& parameter : parameters) found |= rule.match.matches(parameter);
    if (!found)
      throw ConfigError(
          "optimizer.groups: " + rule.match.to_string() + " matches no parameter of the model", {},
          "'sing summary' lists the parameters with their tags", "E0241");
  }
}

int64_t Experiment::steps_per_epoch() const {
  const int64_t samples = source_->size(data::Split::train);
  const int64_t batch = batches().batch_size;
  const int64_t micro = batches().drop_last ? samples / batch : (samples + batch - 1) / batch;
  return (micro + config_.train.accumulate - 1) / config_.train.accumulate;
}

int64_t Experiment::total_steps() const {
  const config::Duration& d = config_.train.duration;
  using Unit = config::Duration::Unit;
  switch (d.unit) {
    case Unit::epochs:
      return std::llround(d.value * static_cast<double>(steps_per_epoch()));
    case Unit::steps:
      return std::llround(d.value);
    case Unit::samples:
      return std::llround(std::ceil(d.value / static_cast<double>(run_length().samples_per_step)));
    default:
      return 0;
  }
}

std::optional<double> Experiment::total_seconds() const {
  const config::Duration& d = config_.train.duration;
  if (d.unit != config::Duration::Unit::seconds) return std::nullopt;
  return d.value;
}

double Experiment::total_epochs() const {
  return static_cast<double>(total_steps()) / static_cast<double>(steps_per_epoch());
}

optim::RunLength Experiment::run_length() const {
  optim::RunLength run;
  run.steps_per_epoch = steps_per_epoch();
  run.samples_per_step = batches().batch_size * config_.train.accumulate;
  if (config_.train.duration.unit != config::Duration::Unit::samples)
    run.total_steps = total_steps();
  else
    run.total_steps = std::llround(
        std::ceil(config_.train.duration.value / static_cast<double>(run.samples_per_step)));
  return run;
}

void Experiment::place(Device device) {
  device_ = device;
  if (model_->initialized()) model_->to(device);
}

void Experiment::initialize_model() {
  model_->initialize(static_cast<uint64_t>(config_.seed));
  model_->to(device_);
  model_->set_recompute(config_.train.recompute == Recompute::all);
  // A key of the model's own options; models that cannot start from a file do not have it.
  const config::Value complete = config::to_value(config_);
  const config::Value* init_from = complete.find_path("model.init_from");
  if (init_from == nullptr || init_from->is_null()) return;
  std::string file = init_from->text;
  // A run or checkpoint stands for the weights in it.
  if (!file.ends_with(".safetensors")) file = find_checkpoint(file).folder + "/model.safetensors";
  const nn::LoadReport report =
      nn::load_parameters(*model_, load_tensors(file), nn::LoadMode::partial);
  if (report.loaded.empty())
    throw ConfigError("model.init_from: no tensor of " + file + " fits the model", {},
                      report.text(), "E0245");
  init_report_ = "weights from " + file + ": " + std::to_string(report.loaded.size()) + " tensors" +
                 (report.complete() ? "" : "\n" + report.text());
}

std::unique_ptr<optim::Optimizer> Experiment::make_optimizer() {
  const backend::MemoryScope memory(backend::MemoryPurpose::optimizer);
  const std::vector<nn::Parameter*> parameters = model_->parameters();
  auto optimizer = std::make_unique<optim::Optimizer>(config_.optimizer, parameters, run_length());
  if (precision() == Precision::bf16) model_->set_precision(DType::bf16);
  return optimizer;
}

Precision Experiment::precision(std::string* notice) const {
  if (config_.train.precision == Precision::bf16 && device_.type == DeviceType::cpu &&
      !backend::cpu_has_bf16()) {
    if (notice)
      *notice = "this processor has no bf16 units: computing in f32, which is no less exact";
    return Precision::f32;
  }
  return config_.train.precision;
}

Device resolve_device(const std::string& text, std::string* notice) {
  if (text == "cpu") return {};
  const bool cuda = text == "cuda" || text.starts_with("cuda:");
  if (!cuda && text != "auto")
    throw ConfigError("train.device must be auto, cpu, cuda or cuda:N, not '" + text + "'", {}, {},
                      "E0251");
  int16_t index = 0;
  if (text.starts_with("cuda:")) {
    const std::string number = text.substr(5);
    if (number.empty() || number.size() > 3 ||
        number.find_first_not_of("0123456789") != std::string::npos)
      throw ConfigError("train.device must be auto, cpu, cuda or cuda:N, not '" + text + "'", {},
                        {}, "E0251");
    index = static_cast<int16_t>(std::stoi(number));
  }
  const Device device{DeviceType::cuda, index};
  try {
    backend::runtime(device);
    return device;
  } catch (const DeviceError& error) {
    if (cuda) throw;
    if (notice) {
      // Where it was looked for is in `sing doctor`; the fall-back is one short line.
      const std::string reason = error.what();
      *notice = reason.substr(0, reason.find(" (")) + "; training on cpu (" +
                backend::runtime({}).description() + ")";
    }
    return {};
  }
}

}  // namespace sing::train
