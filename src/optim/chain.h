#pragma once
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "optim/statistics.h"
#include "sing/optim/optimizer.h"

namespace sing::optim {

/// Stages that share one measuring pass.
struct StagePlan {
  std::vector<GradientTransform*> stages;           // affine ones
  std::vector<std::optional<RowRequest>> requests;  // by tensor
  GradientTransform* last = nullptr;                // one that is not, behind them
  bool write = false;                               // g' behind it is written out
};

/// Runs of affine stages collapse; only a stage that is not affine, or needs other rows than those
/// before it (or `plain`), needs g' written out.
std::vector<StagePlan> plan_stages(std::span<const std::unique_ptr<GradientTransform>> stages,
                                   const ParamTable& table, bool plain);

/// The stages ahead of the host: measures the gradients and says how each becomes g'. On the CPU.
class TransformChain {
 public:
  TransformChain(std::span<const std::unique_ptr<GradientTransform>> stages,
                 const ParamTable& table, bool plain);
  /// False when a gradient is not finite; `statistics` says which.
  bool run(GradientStatistics& statistics);
  /// What the host reads of tensor i, nullptr when it has no gradient; and how.
  const void* source(size_t i) const { return sources_[i]; }
  const Affine& map(size_t i) const { return maps_[i]; }

 private:
  struct Pass : StagePlan {
    std::unique_ptr<StatisticsPass> measure;  // none where nothing is asked
  };
  void report(const StatisticsPass& measured, GradientStatistics& statistics) const;
  void write_out();

  const ParamTable& table_;
  std::vector<Pass> passes_;
  std::vector<const void*> sources_;
  std::vector<Affine> maps_;
  ParamTable::Buffer scratch_;
};

}  // namespace sing::optim
