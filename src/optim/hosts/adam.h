#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "sing/optim/host.h"

namespace sing::optim {

/// Where eps is added: to the corrected root, or as older libraries did to the root before the
/// correction, which then multiplies the rate.
enum class EpsMode : uint8_t { torch, legacy };
inline config::EnumNames<EpsMode> enum_names(EpsMode) {
  return {{"torch", EpsMode::torch}, {"legacy", EpsMode::legacy}};
}

struct AdamOptions : HostOptions {
  std::array<double, 2> betas{0.9, 0.999};
  double eps = 1e-8;
  EpsMode eps_mode = EpsMode::torch;
  bool decay_last = false;
  bool amsgrad = false;
  std::optional<double> softplus_beta;

  static void describe(config::Fields<AdamOptions>& f) {
    f.base<HostOptions>();
    f("betas", &AdamOptions::betas, "decay of the two moments").range(0, 1, config::Ends::low);
    f("eps", &AdamOptions::eps, "added to the root of the second moment").non_negative();
    f("eps_mode", &AdamOptions::eps_mode,
      "torch: eps joins the corrected root; legacy: the root before correction");
    f("decay_last", &AdamOptions::decay_last, "decoupled weight decay after the update");
    f("amsgrad", &AdamOptions::amsgrad, "divide by the largest second moment so far");
    f("softplus_beta", &AdamOptions::softplus_beta,
      "soft floor of the denominator instead of eps; null: plain eps")
        .positive();
    f.check([](const AdamOptions& o, config::Checker& c) {
      if (o.eps_mode == EpsMode::legacy && o.softplus_beta)
        c.fail("eps_mode", "with softplus_beta no eps is added anywhere", "remove one of them");
      if (o.decay_last && o.decoupled == false)
        c.fail("decay_last", "weight decay that is part of the gradient has no place after it",
               "set decoupled: true");
    });
  }
};

}  // namespace sing::optim
