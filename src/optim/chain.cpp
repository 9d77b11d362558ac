#include "optim/chain.h"

#include <cmath>
#include <utility>

#include "optim/elementwise.h"
#include "sing/core/thread_pool.h"

namespace sing::optim {
namespace {

constexpr int64_t kPiece = 16384;

}  // namespace

std::vector<StagePlan> plan_stages(std::span<const std::unique_ptr<GradientTransform>> stages,
                                   const ParamTable& table, bool plain) {
  std::vector<StagePlan> passes(1);
  passes[0].requests.resize(table.size());
  const auto next_pass = [&] {
    passes.back().write = true;
    passes.emplace_back().requests.resize(table.size());
  };
  for (const auto& stage : stages) {
    if (!stage->affine()) {
      passes.back().last = stage.get();
      next_pass();
      continue;
    }
    const auto fits = [&](size_t i) {
      const auto wanted = stage->rows(table.meta(i));
      const auto& have = passes.back().requests[i];
      return !wanted || !have || wanted->scope == have->scope;
    };
    for (size_t i = 0; i < table.size(); ++i)
      if (!fits(i)) {
        next_pass();
        break;
      }
    passes.back().stages.push_back(stage.get());
    for (size_t i = 0; i < table.size(); ++i) {
      auto& have = passes.back().requests[i];
      const auto wanted = stage->rows(table.meta(i));
      if (wanted) have = {wanted->scope, wanted->centre || (have && have->centre)};
    }
  }
  passes.back().write = passes.back().write || plain;
  return passes;
}

TransformChain::TransformChain(std::span<const std::unique_ptr<GradientTransform>> stages,
                               const ParamTable& table, bool plain)
    : table_(table) {
  for (StagePlan& plan : plan_stages(stages, table, plain)) {
    Pass& pass = passes_.emplace_back();
    static_cast<StagePlan&>(pass) = std::move(plan);
  }
  for (Pass& pass : passes_)
    if (&pass == &passes_[0] || !pass.stages.empty())
      pass.measure = std::make_unique<StatisticsPass>(table, pass.requests);
  sources_.resize(table.size());
  maps_.resize(table.size());
  if (passes_[0].write) scratch_ = table.make_buffer();
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
    for (GradientTransform* stage : pass.stages)
      stage->finish(table_, pass.measure->results(), maps_);
    if (pass.write) write_out();
    if (pass.last != nullptr)
      for (size_t i = 0; i < sources_.size(); ++i)
        if (sources_[i] != nullptr) pass.last->apply(i, table_.meta(i), scratch_.slices[i]);
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
    whole.value = const_cast<void*>(sources_[i]);  // read, times a weight decay of 0
    const double first_moment = std::exchange(maps_[i].first_moment, 1.0);
    whole.affine = maps_[i];
    void* const out = scratch_.slices[i].mutable_raw();
    parallel_ranges(table_.meta(i).numel(), kPiece, [&](int64_t begin, int64_t end) {
      with_element(whole.dtype, [&]<class T>() {
        load_gradient(whole, begin, end, static_cast<T*>(out) + begin);
      });
    });
    sources_[i] = out;
    maps_[i] = Affine{.first_moment = first_moment};
  }
}

}  // namespace sing::optim
