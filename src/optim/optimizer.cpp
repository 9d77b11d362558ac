#include "sing/optim/optimizer.h"

#include <algorithm>

#include "optim/chain.h"
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
      schedule_(config_.schedule.make(run)),
      host_(config_.host.make()),
      slot_specs_(host_->slots()) {
  std::vector<std::unique_ptr<GradientTransform>> stages;
  bool sing = false;
  for (const auto& transform : config_.transforms) {
    stages.push_back(transform.make());
    sing = sing || transform.name() == "sing";
  }
  chain_ = std::make_unique<TransformChain>(std::move(stages), table_, !config_.fused);

  const HostOptions& common = host_->common();
  decoupled_ = common.decoupled.value_or(sing || host_->decoupled_by_default());
  const size_t n = table_.size();
  for (size_t i = 0; i < n; ++i) {
    const TensorMeta& meta = table_.meta(i);
    const GroupRule& group = table_.group(meta.group);
    const DecayFilter filter = group.decay.value_or(
        common.decay.value_or(sing ? DecayFilter::matrices : DecayFilter::all));
    const bool decays = filter == DecayFilter::all || meta.rank() > 1;
    weight_decay_.push_back(decays ? group.weight_decay.value_or(common.weight_decay) : 0);
    for (int64_t begin = 0; begin < meta.numel(); begin += kPiece)
      pieces_.push_back({i, begin, std::min(begin + kPiece, meta.numel())});
  }
  // The last gradients measured are the first used: they are still in cache.
  std::ranges::reverse(pieces_);
  for (const SlotSpec& slot : slot_specs_) {
    slots_.push_back(table_.make_buffer());
    if (slot.initial != 0) slots_.back().flat.fill(slot.initial);
  }
  if (config_.lookahead) post_steps_.push_back(make_lookahead(*config_.lookahead, table_));
  if (config_.ema) {
    post_steps_.push_back(make_ema(*config_.ema, table_));
    averages_ = post_steps_.back().get();
  }
  steps_.resize(n);
  coming_steps_.resize(n);
  ranges_.resize(n);
  working_.resize(n);
  statistics_.norms.resize(n);
}

Optimizer::~Optimizer() = default;

double Optimizer::learning_rate(int64_t step) const {
  return schedule_->at(host_->common().lr, step);
}

StepStatus Optimizer::step(const StepContext& context) {
  if (averages_in_use_)
    throw InternalError("Optimizer::step while the averaged weights are in place");
  if (!chain_->run(statistics_)) return StepStatus::nonfinite;
  for (size_t i = 0; i < steps_.size(); ++i)
    coming_steps_[i] = chain_->source(i) != nullptr ? steps_[i] + 1 : 0;
  for (const auto& post : post_steps_) post->begin_step();
  host_->begin_step(table_, coming_steps_);
  fill_ranges(learning_rate(context.step) * context.lr_factor);
  update();
  for (const auto& post : post_steps_) post->end_step();
  for (size_t i = 0; i < steps_.size(); ++i) steps_[i] = std::max(steps_[i], coming_steps_[i]);
  return StepStatus::applied;
}

void Optimizer::fill_ranges(double rate) {
  for (size_t i = 0; i < ranges_.size(); ++i) {
    nn::Parameter& parameter = table_.parameter(i);
    UpdateRange& r = ranges_[i];
    r.index = i;
    r.dtype = table_.dtype();
    r.begin = 0;
    r.end = table_.meta(i).numel();
    r.value = parameter.value.mutable_raw();
    r.gradient = chain_->source(i);
    for (size_t slot = 0; slot < slots_.size(); ++slot)
      r.slots[slot] = slots_[slot].slices[i].mutable_raw();
    r.affine = chain_->map(i);
    r.step = coming_steps_[i];
    r.lr = rate * table_.group(table_.meta(i).group).lr_scale;
    r.coupled = decoupled_ ? 0 : weight_decay_[i];
    r.decay = decoupled_ ? r.lr * weight_decay_[i] : 0;
    Tensor& working = parameter.working;
    const bool narrow = working.dtype() == DType::bf16 && r.dtype == DType::f32;
    working_[i] = narrow ? working.mutable_raw() : nullptr;
  }
}

void Optimizer::update() {
  const bool elementwise = host_->elementwise();
  if (!elementwise)
    for (const UpdateRange& range : ranges_)
      if (range.step > 0) host_->update(range);
  parallel_for(static_cast<int64_t>(pieces_.size()), [&](int64_t index) {
    const Piece& piece = pieces_[static_cast<size_t>(index)];
    UpdateRange range = ranges_[piece.tensor];
    range.begin = piece.begin;
    range.end = piece.end;
    if (elementwise && range.step > 0) host_->update(range);
    for (const auto& post : post_steps_)
      post->apply({piece.tensor, range.dtype, range.value, range.begin, range.end});
    refresh_working(piece.tensor, piece.begin, piece.end);
  });
  for (size_t i = 0; i < ranges_.size(); ++i) {
    nn::Parameter& parameter = table_.parameter(i);
    if (working_[i] == nullptr && parameter.working.raw() != parameter.value.raw())
      parameter.working.copy_from(parameter.value);
  }
}

void Optimizer::refresh_working(size_t i, int64_t begin, int64_t end) const {
  if (working_[i] == nullptr) return;
  run_best<NarrowBody>(NarrowBody::Args{static_cast<const float*>(ranges_[i].value),
                                        static_cast<uint16_t*>(working_[i]), begin, end});
}

void Optimizer::use_averages(bool on) {
  if (averages_ == nullptr || on == averages_in_use_) return;
  averages_->swap_averages();
  averages_in_use_ = on;
  for (size_t i = 0; i < table_.size(); ++i) {
    nn::Parameter& parameter = table_.parameter(i);
    if (parameter.working.raw() != parameter.value.raw())
      parameter.working.copy_from(parameter.value);
  }
}

void Optimizer::visit_state(StateVisitor& visitor) {
  if (averages_in_use_)
    throw InternalError("Optimizer::visit_state while the averaged weights are in place");
  for (size_t i = 0; i < table_.size(); ++i) {
    const std::string prefix = "optimizer/" + table_.meta(i).name + "/";
    visitor.visit(prefix + "step", steps_[i]);
    for (size_t slot = 0; slot < slots_.size(); ++slot)
      visitor.visit(prefix + slot_specs_[slot].name, slots_[slot].slices[i]);
  }
  chain_->visit_state(visitor);
  host_->visit_state(visitor);
  for (const auto& post : post_steps_) post->visit_state(visitor);
}

}  // namespace sing::optim
