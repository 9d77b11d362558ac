// Steps of tensors on a device: the host counts and writes numbers, the backend does the rest.
#include <algorithm>

#include "optim/optimizer_parts.h"
#include "sing/config/type.h"
#include "sing/core/error.h"

namespace sing::optim {

SING_DEFINE_SLOT(optim_host, DeviceHostArgs)
SING_DEFINE_SLOT(optim_step, DeviceStepArgs)

DeviceStep::~DeviceStep() = default;

std::unique_ptr<HostOptimizer> Optimizer::make_host(
    const config::Component<host_kind>& component) const {
  const Device device = table_.device();
  if (device.type == DeviceType::cpu) return component.make();
  const config::ComponentEntry& entry = host_kind().get(component.name());
  const config::Value options =
      config::write_struct(entry.schema(), component.options(host_kind()));
  std::unique_ptr<HostOptimizer> host;
  optim_host(device.type, {component.name(), options, host});
  if (!host)
    throw NotImplementedError("host " + component.name() + " does not run on " +
                              name_of(device.type) + "; train on the CPU or take another host");
  return host;
}

void Optimizer::start_device() {
  if (table_.dtype() != DType::f32)
    throw NotImplementedError("on " + to_string(table_.device()) +
                              " values are trained in f32, not " +
                              std::string(name_of(table_.dtype())));
  device_ = std::make_unique<OnDevice>();
  DevicePlan plan{table_, plan_stages(stages_, table_, !config_.fused), {}, {}};
  for (const auto& use : hosts_) plan.uses.push_back({use->tensors, use->host->passes()});
  for (const auto& post : post_steps_) plan.post_steps.push_back(post.get());
  optim_step(table_.device().type, {plan, device_->step});
  device_->present.resize(table_.size());
  for (const auto& use : hosts_)
    for (size_t s = 0; s < use->specs.size(); ++s)
      for (Tensor& slot : use->slots[s])
        if (slot.defined() && slot.device().type == DeviceType::cpu)
          device_->scalars.push_back(slot.mutable_data<double>());
  for (OnDevice::Undo& undo : device_->undo) {
    undo.steps.resize(steps_.size());
    undo.scalars.resize(device_->scalars.size());
  }
}

void Optimizer::prepare_step(const StepContext& context) {
  if (averages_in_use_)
    throw InternalError("Optimizer::step while the averaged weights are in place");
  if (!device_) {
    context_ = context;
    return;
  }
  if (device_->pending == OnDevice::kPending) settle();
  OnDevice::Undo& undo = device_->undo[device_->pending];
  undo.steps = steps_;
  for (size_t k = 0; k < device_->scalars.size(); ++k) undo.scalars[k] = *device_->scalars[k];
  for (size_t i = 0; i < steps_.size(); ++i) {
    if (!context.same_gradients) device_->present[i] = table_.present(i);
    coming_steps_[i] = device_->present[i] != 0 ? steps_[i] + 1 : 0;
  }
  for (const auto& post : post_steps_) post->begin_step();
  device_->step->begin(device_->present);
  fill_ranges(context);
  for (size_t u = 0; u < hosts_.size(); ++u) {
    HostUse& use = *hosts_[u];
    use.host->begin_step(use.ranges);
    for (int pass = 0; pass < use.host->passes(); ++pass)
      for (UpdateRange& range : use.ranges) {
        range.pass = pass;
        range.recorder = &device_->step->recorder(u, pass);
        use.host->update(range);
      }
  }
  device_->step->upload();
  count_steps();
  ++device_->pending;
}

void Optimizer::launch_step() {
  if (!device_) {
    status_ = run_on_cpu(context_);
    return;
  }
  device_->step->launch_chain();
  for (size_t u = 0; u < hosts_.size(); ++u) {
    if (hosts_[u]->tensors.empty()) continue;
    const HostOptimizer& host = *hosts_[u]->host;
    for (int pass = 0; pass < host.passes(); ++pass) {
      if (pass > 0) host.between(pass - 1, device_->step->pass(u, pass - 1));
      device_->step->launch_pass(u, pass);
    }
  }
  refresh_other_copies();
}

StepStatus Optimizer::finish_step() {
  left_out_ = 0;
  if (!device_) return status_;
  settle();
  return std::exchange(device_->status, StepStatus::applied);
}

/// Waits for the steps under way and takes back those that were left out.
void Optimizer::settle() {
  if (!device_ || device_->pending == 0) return;
  const auto applied = static_cast<size_t>(device_->step->finish(statistics_));
  const size_t made = std::exchange(device_->pending, 0);
  if (applied == made) return;
  const OnDevice::Undo& undo = device_->undo[applied];
  steps_ = undo.steps;
  for (size_t k = 0; k < device_->scalars.size(); ++k) *device_->scalars[k] = undo.scalars[k];
  for (size_t k = applied; k < made; ++k)
    for (const auto& post : post_steps_) post->undo_step();
  left_out_ += static_cast<int64_t>(made - applied);
  device_->status = StepStatus::nonfinite;
}

uint64_t Optimizer::launch_signature() const {
  return device_ ? device_->step->signature() : 0;
}

}  // namespace sing::optim
