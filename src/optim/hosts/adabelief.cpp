// AdaBelief (Zhuang et al. 2020) as in the authors' package 0.2.1: the second moment is of the
// distance between gradient and first moment, eps goes into it and stays there. With `rectify` no
// division by it until its variance is bounded (at least 5 steps' worth). With softplus_beta the
// denominator is softplus of the corrected root (SING).
#include "optim/hosts/moments.h"
#include "optim/hosts/rectification.h"
#include "optim/softplus.h"

namespace sing::optim {
namespace {

struct AdaBeliefOptions : HostOptions {
  std::array<double, 2> betas{0.9, 0.999};
  double eps = 1e-16;
  bool rectify = true;
  std::optional<double> softplus_beta;

  static void describe(config::Fields<AdaBeliefOptions>& f) {
    f.base<HostOptions>();
    f("betas", &AdaBeliefOptions::betas, "decay of the two moments").range(0, 1, config::Ends::low);
    f("eps", &AdaBeliefOptions::eps, "added to the second moment, and to its root").non_negative();
    f("rectify", &AdaBeliefOptions::rectify, "wait for the second moment as RAdam does");
    f("softplus_beta", &AdaBeliefOptions::softplus_beta,
      "soft floor of the denominator instead of eps; null: plain eps")
        .positive();
  }
};

enum class Divisor : uint8_t { none, root, softplus };

template <class T, Divisor kDivisor>
struct AdaBeliefStep {
  using Element = T;
  static constexpr int kSlots = 2;
  Moments<T> moments;
  T rate, root_correction, eps_inside, eps;
  Softplus<T> soft;
  SING_ALWAYS_INLINE T operator()(T theta, T g, T first, T* s) const {
    s[0] = moments.first(s[0], first);
    s[1] = moments.second(s[1], g - s[0]) + eps_inside;
    const T moment = rate * s[0];
    if constexpr (kDivisor == Divisor::none) return theta - moment;
    const T root = std::sqrt(s[1]) * root_correction;
    if constexpr (kDivisor == Divisor::root) return theta - moment / (root + eps);
    return theta - soft.divide(moment, root);
  }
};

class AdaBelief final : public MomentHost<AdaBeliefOptions> {
 public:
  using MomentHost::MomentHost;
  bool decoupled_by_default(bool) const override { return true; }
  void update(const UpdateRange& r) const override {
    const MomentNumbers n(o_.betas, r);
    const Rectification rectification(n.beta2, r.step);
    double rate = r.lr / n.c1;
    double root_correction = 1 / std::sqrt(n.c2);
    Divisor divisor = o_.softplus_beta ? Divisor::softplus : Divisor::root;
    if (o_.rectify && rectification.rho < 5) {
      divisor = Divisor::none;
    } else if (o_.rectify) {
      rate *= rectification.factor;
      if (divisor == Divisor::root) {  // eps is added to the uncorrected root
        rate *= std::sqrt(n.c2);
        root_correction = 1;
      }
    }
    with_element(r.dtype, [&]<class T>() {
      const auto run = [&]<Divisor kDivisor>() {
        run_update(r, AdaBeliefStep<T, kDivisor>{Moments<T>(n), static_cast<T>(rate),
                                                 static_cast<T>(root_correction),
                                                 static_cast<T>(o_.eps), nonzero<T>(o_.eps),
                                                 Softplus<T>(o_.softplus_beta.value_or(1))});
      };
      if (divisor == Divisor::none) return run.template operator()<Divisor::none>();
      if (divisor == Divisor::root) return run.template operator()<Divisor::root>();
      run.template operator()<Divisor::softplus>();
    });
  }
};

const bool registered = add_host<AdaBeliefOptions>(
    "adabelief", "Adam that divides by how far gradients are from their mean",
    [](const AdaBeliefOptions& o) { return std::make_unique<AdaBelief>(o); });

}  // namespace
}  // namespace sing::optim
