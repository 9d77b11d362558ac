#pragma once
#include <array>
#include <optional>

#include "sing/optim/host.h"

namespace sing::optim {

struct AdamOptions : HostOptions {
  std::array<double, 2> betas{0.9, 0.999};
  double eps = 1e-8;
  bool amsgrad = false;
  std::optional<double> softplus_beta;

  static void describe(config::Fields<AdamOptions>& f) {
    f.base<HostOptions>();
    f("betas", &AdamOptions::betas, "decay of the two moments").range(0, 1, config::Ends::low);
    f("eps", &AdamOptions::eps, "added to the root of the second moment").non_negative();
    f("amsgrad", &AdamOptions::amsgrad, "divide by the largest second moment so far");
    f("softplus_beta", &AdamOptions::softplus_beta,
      "soft floor of the denominator instead of eps; null: plain eps")
        .positive();
  }
};

}  // namespace sing::optim
