#include "sing/optim/optimizer.h"

#include <algorithm>
#include <map>

#include "optim/chain.h"
#include "optim/optimizer_parts.h"
#include "optim/target.h"
#include "sing/config/bind.h"
#include "sing/core/thread_pool.h"

namespace sing::optim {
namespace {

constexpr int64_t kPiece = 16384;  // elements: four or five streams of it fit a 1 MiB L2

/// Checks a config made in code as one that was read would be.
OptimizerConfig checked(const OptimizerConfig& config) {
  return config::bind<OptimizerConfig>(config::to_value(config));
}

struct NarrowBody {
  struct Args {
    const float* from;
    uint16_t* to;
    int64_t begin, end;
  };
  SING_ALWAYS_INLINE static void run(const Args& a) {
    const float* const from = a.from;
    uint16_t* const to = a.to;
#pragma GCC ivdep
    for (int64_t i = a.begin; i < a.end; ++i) to[i] = bfloat16(from[i]).bits;
  }
};

}  // namespace

Optimizer::Optimizer(const OptimizerConfig& config, std::span<nn::Parameter* const> parameters,
                     const RunLength& run)
    : config_(checked(config)),
      table_(parameters, config_.groups),
      schedule_(config_.schedule.make(run)) {
  bool sing = false;
  for (const auto& transform : config_.transforms) {
    stages_.push_back(transform.make());
    stages_.back()->attach(table_);
    sing = sing || transform.name() == "sing";
  }
  const bool on_cpu = table_.device().type == DeviceType::cpu;
  if (on_cpu) chain_ = std::make_unique<TransformChain>(stages_, table_, !config_.fused);
  assign_hosts(sing);
  if (schedule_->momentum_at(0) && !hosts_[0]->host->has_momentum())
    throw ConfigError("optimizer.schedule.cycle_momentum: " + config_.host.name() +
                          " has no momentum that could cycle",
                      {}, "remove cycle_momentum, or give the host a momentum");
  if (config_.lookahead) post_steps_.push_back(make_lookahead(*config_.lookahead, table_));
  if (config_.ema) post_steps_.push_back(make_ema(*config_.ema, table_));
  if (config_.swa) post_steps_.push_back(make_swa(*config_.swa, table_, run));
  if (config_.ema || config_.swa) averages_ = post_steps_.back().get();
  const size_t n = table_.size();
  steps_.resize(n);
  coming_steps_.resize(n);
  places_.resize(n);
  statistics_.norms.resize(n);
  if (!on_cpu) start_device();
}

Optimizer::~Optimizer() = default;

size_t Optimizer::add_host(const config::Component<host_kind>& component, bool sing) {
  std::unique_ptr<HostOptimizer> host = make_host(component);
  auto use = std::make_unique<HostUse>();
  use->decoupled = host->common().decoupled.value_or(host->decoupled_by_default(sing));
  use->specs = host->slots();
  use->host = std::move(host);
  hosts_.push_back(std::move(use));
  return hosts_.size() - 1;
}

void Optimizer::assign_hosts(bool sing) {
  add_host(config_.host, sing);
  std::vector<size_t> by_group(table_.groups(), 0);
  for (size_t g = 1; g < table_.groups(); ++g)
    if (const auto& own = table_.group(static_cast<int>(g)).host)
      by_group[g] = add_host(*own, sing);
  std::map<size_t, size_t> auxiliaries;
  for (size_t i = 0; i < table_.size(); ++i) {
    const TensorMeta& meta = table_.meta(i);
    const GroupRule& group = table_.group(meta.group);
    size_t chosen = by_group[static_cast<size_t>(meta.group)];
    while (!hosts_[chosen]->host->takes(meta)) {
      const auto* auxiliary = hosts_[chosen]->host->auxiliary();
      SING_ASSERT(auxiliary != nullptr);
      const auto [it, added] = auxiliaries.try_emplace(chosen, 0);
      if (added) it->second = add_host(*auxiliary, sing);
      chosen = it->second;
    }
    HostUse& use = *hosts_[chosen];
    const HostOptions& common = use.host->common();
    const DecayFilter filter = group.decay.value_or(
        common.decay.value_or(sing ? DecayFilter::matrices : DecayFilter::all));
    const bool decays = filter == DecayFilter::all || meta.rank() > 1;
    use.weight_decay.push_back(decays ? group.weight_decay.value_or(common.weight_decay) : 0);
    use.tensors.push_back(i);
  }
  for (const auto& use : hosts_) make_slots(*use);
}

void Optimizer::make_slots(HostUse& use) {
  std::vector<uint8_t> wanted(table_.size(), 0);
  for (const size_t i : use.tensors) wanted[i] = 1;
  for (const SlotSpec& spec : use.specs) {
    std::vector<Tensor>& slots = use.slots.emplace_back();
    if (!spec.shape) {
      ParamTable::Buffer buffer = table_.make_buffer(wanted);
      if (spec.initial != 0) buffer.flat.fill(spec.initial);
      for (const size_t i : use.tensors) slots.push_back(buffer.slices[i]);
      continue;
    }
    for (const size_t i : use.tensors) {
      const std::optional<Shape> shape = spec.shape(table_.meta(i));
      Tensor& slot = slots.emplace_back();
      if (!shape) continue;
      // One number per tensor is the host's own business, wherever the tensor is.
      const bool scalar = spec.wide && shape->rank() == 0 && !spec.beside_tensor;
      slot = Tensor::zeros(*shape, {.dtype = spec.wide ? DType::f64 : table_.dtype(),
                                    .device = scalar ? Device{} : table_.device()});
      if (spec.initial != 0) slot.fill(spec.initial);
    }
  }
  // The last gradients measured are the first used: they are still in cache.
  for (size_t k = use.tensors.size(); k-- > 0;) {
    const int64_t numel = table_.meta(use.tensors[k]).numel();
    for (int64_t begin = (numel - 1) / kPiece * kPiece; begin >= 0; begin -= kPiece)
      use.pieces.push_back({use.tensors[k], begin, std::min(begin + kPiece, numel), {}});
  }
  use.ranges.reserve(use.tensors.size());
  use.totals.resize(use.tensors.size() + 1);
  use.results.resize(use.tensors.size());
  std::vector<const TensorMeta*> metas;
  for (const size_t i : use.tensors) metas.push_back(&table_.meta(i));
  use.host->attach(metas);
}

double Optimizer::learning_rate(int64_t step) const {
  return schedule_->at(hosts_[0]->host->common().lr, step);
}

StepStatus Optimizer::step(const StepContext& context) {
  prepare_step(context);
  launch_step();
  return finish_step();
}

StepStatus Optimizer::run_on_cpu(const StepContext& context) {
  if (!chain_->run(statistics_)) return StepStatus::nonfinite;
  for (size_t i = 0; i < steps_.size(); ++i)
    coming_steps_[i] = chain_->source(i) != nullptr ? steps_[i] + 1 : 0;
  for (const auto& post : post_steps_) post->begin_step();
  fill_ranges(context);
  for (const auto& use : hosts_) run_host(*use);
  refresh_other_copies();
  count_steps();
  return StepStatus::applied;
}

void Optimizer::count_steps() {
  for (const auto& post : post_steps_) post->end_step();
  for (size_t i = 0; i < steps_.size(); ++i) steps_[i] = std::max(steps_[i], coming_steps_[i]);
}

void Optimizer::fill_ranges(const StepContext& context) {
  const std::optional<double> momentum = schedule_->momentum_at(context.step);
  for (const auto& use : hosts_) {
    use->ranges.clear();
    const double base = use->host->common().lr;
    const double rate = schedule_->at(base, context.step) * context.lr_factor;
    for (size_t k = 0; k < use->tensors.size(); ++k) {
      const size_t i = use->tensors[k];
      nn::Parameter& parameter = table_.parameter(i);
      places_[i] = {parameter.value.mutable_raw(), nullptr, -1};
      Tensor& working = parameter.working;
      if (working.dtype() == DType::bf16 && table_.dtype() == DType::f32)
        places_[i].working = working.mutable_raw();
      if (coming_steps_[i] == 0) continue;
      places_[i].range = static_cast<int64_t>(use->ranges.size());
      UpdateRange& r = use->ranges.emplace_back();
      r.index = i;
      r.meta = &table_.meta(i);
      r.dtype = table_.dtype();
      r.end = r.meta->numel();
      r.value = places_[i].value;
      r.gradient = chain_ ? chain_->source(i) : device_->step->source(i);
      for (size_t slot = 0; slot < use->slots.size(); ++slot)
        if (Tensor& state = use->slots[slot][k]; state.defined())
          r.slots[slot] = state.mutable_raw();
      if (chain_) r.affine = chain_->map(i);
      r.step = coming_steps_[i];
      const double lr_scale = table_.group(table_.meta(i).group).lr_scale;
      r.lr = rate * lr_scale;
      r.base_lr = base * lr_scale;
      r.weight_decay = use->weight_decay[k];
      const bool itself = use->host->decays_itself();
      r.coupled = use->decoupled || itself ? 0 : r.weight_decay;
      r.decay = use->decoupled && !itself ? r.lr * r.weight_decay : 0;
      r.momentum = momentum;
      r.results = use->results[k].data();
    }
  }
}

void Optimizer::run_host(HostUse& use) {
  const HostOptimizer& host = *use.host;
  const bool elementwise = host.elementwise();
  use.host->begin_step(use.ranges);
  if (!elementwise)
    for (const UpdateRange& range : use.ranges) host.update(range);
  const int last = elementwise ? host.passes() - 1 : 0;
  for (int pass = 0; pass <= last; ++pass) {
    parallel_for(static_cast<int64_t>(use.pieces.size()), [&](int64_t index) {
      Piece& piece = use.pieces[static_cast<size_t>(index)];
      const Place& place = places_[piece.tensor];
      if (elementwise && place.range >= 0) {
        UpdateRange range = use.ranges[static_cast<size_t>(place.range)];
        range.begin = piece.begin;
        range.end = piece.end;
        range.pass = pass;
        piece.sums = {};
        range.sums = piece.sums.data();
        host.update(range);
      }
      if (pass < last) return;
      for (const auto& post : post_steps_)
        post->apply({piece.tensor, table_.dtype(), place.value, piece.begin, piece.end});
      refresh_working(place, piece.begin, piece.end);
    });
    if (pass < last) end_sums(use, pass);
  }
}

/// Behind a pass with sums: their totals, and what the host makes of them.
void Optimizer::end_sums(HostUse& use, int pass) {
  std::fill(use.totals.begin(), use.totals.end(), HostUse::Sums{});
  for (const Piece& piece : use.pieces) {
    const int64_t range = places_[piece.tensor].range;
    if (range < 0) continue;
    HostUse::Sums& totals = use.totals[static_cast<size_t>(range)];
    for (size_t k = 0; k < totals.size(); ++k) totals[k] += piece.sums[k];
  }
  HostUse::Sums& all = use.totals.back();
  for (size_t i = 0; i < use.ranges.size(); ++i)
    for (size_t k = 0; k < all.size(); ++k) all[k] += use.totals[i][k];
  for (size_t i = 0; i < use.ranges.size(); ++i) {
    UpdateRange ended = use.ranges[i];
    ended.pass = pass;
    ended.totals = use.totals[i].data();
    ended.all_totals = all.data();
    use.host->update(ended);
  }
}

/// Copies that are neither the values themselves nor bf16.
void Optimizer::refresh_other_copies() {
  for (size_t i = 0; i < table_.size(); ++i) {
    nn::Parameter& parameter = table_.parameter(i);
    if (places_[i].working == nullptr && parameter.working.raw() != parameter.value.raw())
      parameter.working.copy_from(parameter.value);
  }
}

void Optimizer::refresh_working(const Place& place, int64_t begin, int64_t end) const {
  if (place.working == nullptr) return;
  run_best<NarrowBody>(NarrowBody::Args{static_cast<const float*>(place.value),
                                        static_cast<uint16_t*>(place.working), begin, end});
}

bool Optimizer::has_averages() const {
  return averages_ != nullptr || std::ranges::any_of(hosts_, [](const auto& use) {
           return use->host->has_evaluation_weights();
         });
}

bool Optimizer::averages_ready() const {
  if (averages_ != nullptr) return averages_->has_averages();
  return has_averages() && std::ranges::any_of(steps_, [](int64_t steps) { return steps > 0; });
}

bool Optimizer::averages_want_statistics() const {
  return config_.swa || (has_averages() && averages_ == nullptr);
}

void Optimizer::use_averages(bool on) {
  settle();
  if (on == averages_in_use_ || !has_averages()) return;
  averages_in_use_ = on;
  if (averages_ != nullptr)
    averages_->swap_averages();
  else
    use_host_weights(on);
  for (size_t i = 0; i < table_.size(); ++i) {
    nn::Parameter& parameter = table_.parameter(i);
    if (parameter.working.raw() != parameter.value.raw())
      parameter.working.copy_from(parameter.value);
  }
}

void Optimizer::use_host_weights(bool on) {
  if (on) trained_ = table_.make_buffer();
  for (size_t u = 0; u < hosts_.size(); ++u) {
    const auto& use = hosts_[u];
    if (!use->host->has_evaluation_weights()) continue;
    if (on && device_) device_->step->begin(std::vector<uint8_t>(table_.size(), 0));
    for (size_t k = 0; k < use->tensors.size(); ++k) {
      const size_t i = use->tensors[k];
      Tensor& value = table_.parameter(i).value;
      if (!on) {
        value.copy_from(trained_.slices[i]);
        continue;
      }
      trained_.slices[i].copy_from(value);
      UpdateRange range;
      range.index = i;
      range.meta = &table_.meta(i);
      range.dtype = table_.dtype();
      range.end = range.meta->numel();
      range.value = value.mutable_raw();
      range.gradient = range.value;  // which the rule does not look at
      if (device_) range.recorder = &device_->step->recorder(u, 0);
      for (size_t slot = 0; slot < use->slots.size(); ++slot)
        if (Tensor& state = use->slots[slot][k]; state.defined())
          range.slots[slot] = state.mutable_raw();
      range.step = steps_[i];
      if (range.step > 0) use->host->evaluation_weights(range);
    }
    if (on && device_) device_->step->run_alone(u);
  }
  if (!on) trained_ = {};
}

void Optimizer::visit_state(StateVisitor& visitor) {
  if (averages_in_use_)
    throw InternalError("Optimizer::visit_state while the averaged weights are in place");
  settle();
  if (device_) device_->step->read_numbers();
  for (const auto& use : hosts_)
    for (size_t k = 0; k < use->tensors.size(); ++k) {
      const size_t i = use->tensors[k];
      const std::string prefix = "optimizer/" + table_.meta(i).name + "/";
      visitor.visit(prefix + "step", steps_[i]);
      for (size_t slot = 0; slot < use->slots.size(); ++slot)
        if (Tensor& state = use->slots[slot][k]; state.defined())
          visitor.visit(prefix + use->specs[slot].name, state);
    }
  for (const auto& stage : stages_) stage->visit_state(visitor);
  if (device_) device_->step->write_numbers();
  for (const auto& post : post_steps_) post->visit_state(visitor);
}

}  // namespace sing::optim
