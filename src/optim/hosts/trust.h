#pragma once
// What the hosts that scale a step to the length of its weights share: LAMB and LARS.
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

/// Weight decay of these hosts is a part of what is scaled, with `sing` as well; decoupled decay
/// comes first, and the lengths are those after it.
template <class Options>
class TrustHost : public HostOptimizer {
 public:
  explicit TrustHost(const Options& options) : o_(options) {}
  const HostOptions& common() const override { return o_; }
  bool decoupled_by_default(bool) const override { return false; }
  bool decays_itself() const override { return !o_.decoupled.value_or(false); }
  bool has_momentum() const override { return true; }

 protected:
  bool adapts(const UpdateRange& r) const { return r.weight_decay != 0 || o_.always_adapt; }
  /// Factor on theta in what is scaled.
  double inside(const UpdateRange& r) const { return decays_itself() ? r.weight_decay : 0; }

  Options o_;
};

}  // namespace sing::optim
