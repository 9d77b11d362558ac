#pragma once
#include <memory>
#include <span>
#include <vector>

#include "optim/statistics.h"
#include "sing/optim/optimizer.h"

namespace sing::optim {

/// The stages ahead of the host: measures the gradients and says how each becomes g'. Runs of
/// affine stages collapse; only a stage that is not affine, or needs other rows than those before
/// it (or `plain`), needs g' written out.
class TransformChain {
 public:
  TransformChain(std::vector<std::unique_ptr<GradientTransform>> stages, const ParamTable& table,
                 bool plain);
  /// False when a gradient is not finite; `statistics` says which.
  bool run(GradientStatistics& statistics);
  /// What the host reads of tensor i, nullptr when it has no gradient; and how.
  const void* source(size_t i) const { return sources_[i]; }
  const Affine& map(size_t i) const { return maps_[i]; }
  void visit_state(StateVisitor& visitor);

 private:
  struct Pass {
    std::vector<GradientTransform*> stages;  // affine ones
    std::vector<std::optional<RowRequest>> requests;
    std::unique_ptr<StatisticsPass> measure;  // none where nothing is asked
    GradientTransform* last = nullptr;        // one that is not
    bool write = false;                       // g' behind it is written out
  };
  void add(GradientTransform* stage);
  void report(const StatisticsPass& measured, GradientStatistics& statistics) const;
  void write_out();

  const ParamTable& table_;
  std::vector<std::unique_ptr<GradientTransform>> stages_;
  std::vector<Pass> passes_;
  bool plain_;
  std::vector<const void*> sources_;
  std::vector<Affine> maps_;
  ParamTable::Buffer scratch_;
};

}  // namespace sing::optim
