#pragma once
// What the hosts that scale a step to the length of its weights share: LAMB and LARS.
#include <utility>

#include "optim/elementwise.h"

namespace sing::optim {

struct TrustOptions : HardHostOptions {
  bool always_adapt = false;
  bool trust_clip = false;

  static void describe(config::Fields<TrustOptions>& f) {
    f.base<HardHostOptions>();
    f("always_adapt", &TrustOptions::always_adapt,
      "scale tensors without weight decay too; false leaves them to the host's plain rule");
    f("trust_clip", &TrustOptions::trust_clip, "never lengthen a step");
  }
};

/// Coupled weight decay of these hosts is a part of what is scaled; decoupled decay, their default
/// with `sing`, comes first, and the lengths are those after it.
template <class Options>
class TrustHost : public HostOptimizer {
 public:
  explicit TrustHost(const Options& options) : o_(options) {}
  const HostOptions& common() const override { return o_; }
  bool has_momentum() const override { return true; }
  void begin_step(std::span<UpdateRange> tensors) override {
    for (UpdateRange& r : tensors) r.numbers[0] = std::exchange(r.coupled, 0);
  }

 protected:
  bool adapts(const UpdateRange& r) const { return r.weight_decay != 0 || o_.always_adapt; }
  /// Factor on theta in what is scaled.
  static double inside(const UpdateRange& r) { return r.numbers[0]; }

  Options o_;
};

}  // namespace sing::optim
