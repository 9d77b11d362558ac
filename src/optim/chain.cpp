#include "optim/chain.h"

#include <cmath>

#include "optim/elementwise.h"
#include "sing/core/thread_pool.h"

namespace sing::optim {
namespace {

constexpr int64_t kPiece = 16384;

/// theta <- g: writes g' out.
template <class T>
struct Assign {
  using Element = T;
  static constexpr int kSlots = 0;
  SING_ALWAYS_INLINE T operator()(T, T g, T*) const { return g; }
};

std::vector<std::optional<Scope>> scopes_of(std::span<GradientTransform* const> stages,
                                            const ParamTable& table) {
  std::vector<std::optional<Scope>> scopes(table.size());
  for (size_t i = 0; i < table.size(); ++i)
    for (const GradientTransform* stage : stages)
      if (!scopes[i]) scopes[i] = stage->centres(table.meta(i));
  return scopes;
}

}  // namespace

TransformChain::TransformChain(std::vector<std::unique_ptr<GradientTransform>> stages,
                               const ParamTable& table, bool plain)
    : table_(table), stages_(std::move(stages)), passes_(1), plain_(plain) {
  for (const auto& stage : stages_) {
    if (stage->affine()) {
      passes_.back().stages.push_back(stage.get());
    } else {
      passes_.back().last = stage.get();
      passes_.emplace_back();
    }
  }
  for (Pass& pass : passes_)
    if (&pass == &passes_[0] || !pass.stages.empty())
      pass.measure = std::make_unique<StatisticsPass>(table, scopes_of(pass.stages, table));
  sources_.resize(table.size());
  maps_.resize(table.size());
  if (plain_ || passes_.size() > 1) scratch_ = table.make_buffer();
}

bool TransformChain::run(GradientStatistics& statistics) {
  for (size_t i = 0; i < sources_.size(); ++i)
    sources_[i] = table_.present(i) ? table_.gradient(i).raw() : nullptr;
  for (const Pass& pass : passes_) {
    std::fill(maps_.begin(), maps_.end(), Affine{});
    if (pass.measure) pass.measure->run(sources_);
    if (&pass == &passes_[0]) {
      report(*pass.measure, statistics);
      if (statistics.found_nonfinite) return false;
    }
    for (const GradientTransform* stage : pass.stages)
      stage->finish(table_.metas(), pass.measure->results(), maps_);
    if (pass.last != nullptr) {
      write_out();
      for (size_t i = 0; i < sources_.size(); ++i)
        if (sources_[i] != nullptr) pass.last->apply(i, table_.meta(i), scratch_.slices[i]);
    } else if (plain_) {
      write_out();
    }
  }
  return true;
}

void TransformChain::report(const StatisticsPass& measured, GradientStatistics& statistics) const {
  statistics.found_nonfinite = false;
  statistics.first_nonfinite = -1;
  statistics.tensors = 0;
  double squares = 0;
  const std::span<const TensorStatistics> results = measured.results();
  for (size_t i = 0; i < results.size(); ++i) {
    const double norm = results[i].present ? results[i].raw_norm : 0;
    statistics.norms[i] = norm;
    squares += norm * norm;
    if (!results[i].present) continue;
    ++statistics.tensors;
    if (!std::isfinite(norm) && !statistics.found_nonfinite) {
      statistics.found_nonfinite = true;
      statistics.first_nonfinite = static_cast<int>(i);
    }
  }
  statistics.global_norm = std::sqrt(squares);
}

void TransformChain::write_out() {
  for (size_t i = 0; i < sources_.size(); ++i) {
    if (sources_[i] == nullptr) continue;
    UpdateRange whole;
    whole.dtype = table_.dtype();
    whole.gradient = sources_[i];
    whole.affine = maps_[i];
    whole.value = scratch_.slices[i].mutable_raw();
    parallel_ranges(table_.meta(i).numel(), kPiece, [&](int64_t begin, int64_t end) {
      UpdateRange range = whole;
      range.begin = begin;
      range.end = end;
      with_element(range.dtype, [&]<class T>() { run_update(range, Assign<T>{}); });
    });
    sources_[i] = whole.value;
    maps_[i] = Affine{};
  }
}

void TransformChain::visit_state(StateVisitor& visitor) {
  for (const auto& stage : stages_) stage->visit_state(visitor);
}

}  // namespace sing::optim
