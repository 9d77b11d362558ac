#pragma once
// What the hosts with a first and a second moment share.
#include <cmath>
#include <limits>

#include "optim/elementwise.h"

namespace sing::optim {

/// Decays of the two moments and the corrections of their start at zero, for one tensor at one
/// step; in double.
struct MomentNumbers {
  double beta1, beta2;
  double c1, c2;  // 1 - beta^t
  MomentNumbers(const std::array<double, 2>& betas, const UpdateRange& r)
      : beta1(r.momentum.value_or(betas[0])),
        beta2(betas[1]),
        c1(1 - std::pow(beta1, static_cast<double>(r.step))),
        c2(1 - std::pow(beta2, static_cast<double>(r.step))) {}
  /// sqrt(c2) / c1: what the rate of the older form of Adam is multiplied with.
  double rate() const { return std::sqrt(c2) / c1; }
};

/// m <- beta1 m + (1 - beta1) first, v <- beta2 v + (1 - beta2) g^2.
template <class T>
struct Moments {
  T beta1, weight1, beta2, weight2;
  explicit Moments(const MomentNumbers& n)
      : beta1(static_cast<T>(n.beta1)),
        weight1(static_cast<T>(1 - n.beta1)),
        beta2(static_cast<T>(n.beta2)),
        weight2(static_cast<T>(1 - n.beta2)) {}
  SING_ALWAYS_INLINE T first(T m, T first) const { return beta1 * m + weight1 * first; }
  SING_ALWAYS_INLINE T second(T v, T g) const { return beta2 * v + weight2 * (g * g); }
};

/// An epsilon that keeps 0 / (0 + eps) zero when the config says 0.
template <class T>
T nonzero(double eps) {
  return std::max(static_cast<T>(eps), std::numeric_limits<T>::min());
}

/// Keys of the hosts that have two moments, an eps and nothing that softplus could replace.
struct MomentOptions : HardHostOptions {
  std::array<double, 2> betas{0.9, 0.999};
  double eps = 1e-8;

  static void describe(config::Fields<MomentOptions>& f) {
    f.base<HardHostOptions>();
    f("betas", &MomentOptions::betas, "decay of the two moments").range(0, 1, config::Ends::low);
    f("eps", &MomentOptions::eps, "added to the root of the second moment").non_negative();
  }
};

/// Their state; with `largest` also the largest second moment so far (AMSGrad).
inline std::vector<SlotSpec> moment_slots(bool largest) {
  if (largest) return {{"m"}, {"v"}, {"v_max"}};
  return {{"m"}, {"v"}};
}

/// Squares of the gradient, weight decay included, for the norm of a tensor.
template <class T>
struct GradientSquares {
  using Element = T;
  static constexpr int kSlots = 0;
  static constexpr int kSums = 1;
  SING_ALWAYS_INLINE void terms(T, T g, T, T*, double* out) const {
    out[0] = static_cast<double>(g) * static_cast<double>(g);
  }
};

/// Options, defaults and slots of such hosts.
template <class Options>
class MomentHost : public HostOptimizer {
 public:
  explicit MomentHost(const Options& options) : o_(options) {}
  const HostOptions& common() const override { return o_; }
  std::vector<SlotSpec> slots() const override { return moment_slots(false); }
  bool has_momentum() const override { return true; }

 protected:
  Options o_;
};

}  // namespace sing::optim
