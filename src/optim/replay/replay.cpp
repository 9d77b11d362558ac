#include "sing/optim/replay.h"

#include "sing/core/error.h"
#include "sing/core/utf8.h"

namespace sing::optim {
namespace {

constexpr std::string_view kPrefix = "optimizer/";

/// Copies what it is shown, in one dtype.
class StateCopy final : public StateVisitor {
 public:
  explicit StateCopy(DType dtype) : dtype_(dtype) {}
  void visit(const std::string& name, Tensor& tensor) override {
    add(name, tensor.contiguous().to(dtype_).clone());
  }
  void visit(const std::string& name, int64_t& value) override {
    add(name, Tensor::scalar(static_cast<double>(value), dtype_));
  }
  void visit(const std::string& name, double& value) override {
    add(name, Tensor::scalar(value, dtype_));
  }
  std::vector<NamedTensor> entries;

 private:
  void add(const std::string& name, Tensor tensor) {
    entries.push_back(
        {name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name, std::move(tensor)});
  }
  DType dtype_;
};

}  // namespace

Replay::Replay(const OptimizerConfig& config, const std::vector<NamedTensor>& initial,
               int64_t total_steps) {
  std::vector<nn::Parameter*> pointers;
  for (const NamedTensor& entry : initial) {
    auto& parameter = parameters_.emplace_back(std::make_unique<nn::Parameter>());
    parameter->name = entry.name;
    parameter->value = parameter->working = entry.tensor.contiguous().clone();
    pointers.push_back(parameter.get());
  }
  try {
    optimizer_ = std::make_unique<Optimizer>(config, pointers, RunLength{total_steps, 0, 0});
  } catch (const ConfigError& error) {
    if (error.code() == "E0222")
      throw ConfigError(error.what(), error.where(),
                        "a replay has no epochs and no samples: write it in steps (100st) or as a "
                        "share of the run (5%)",
                        "E0222");
    if (error.code() == "E0223")
      throw ConfigError(error.what(), error.where(),
                        "the schedule is as long as the recording; --total-steps says otherwise",
                        "E0223");
    throw;
  }
}

Replay::~Replay() = default;

void Replay::step(FunctionRef<Tensor(const std::string& name)> gradient_of) {
  ParamTable& table = optimizer_->table();
  optimizer_->zero_grad();
  for (size_t i = 0; i < table.size(); ++i) {
    const Tensor gradient = gradient_of(table.meta(i).name);
    table.set_present(i, gradient.defined());
    if (gradient.defined()) table.gradient(i).copy_from(gradient);
  }
  if (optimizer_->step({.step = steps_}) == StepStatus::nonfinite) {
    const int bad = optimizer_->statistics().first_nonfinite;
    throw DivergedError(
        "the gradient of '" + printable(table.meta(static_cast<size_t>(bad)).name, 512) +
            "' at step " + std::to_string(steps_ + 1) + " holds NaN or Inf",
        {}, "an optimizer leaves such a step out; leave the gradients of that step out of the file",
        "E0501");
  }
  ++steps_;
}

std::vector<NamedTensor> Replay::parameters() const {
  std::vector<NamedTensor> result;
  for (const auto& parameter : parameters_) result.push_back({parameter->name, parameter->value});
  return result;
}

std::vector<NamedTensor> Replay::state() {
  StateCopy copy(optimizer_->table().dtype());
  optimizer_->visit_state(copy);
  return std::move(copy.entries);
}

}  // namespace sing::optim
