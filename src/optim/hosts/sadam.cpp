// SAdam (Tong et al. 2019): the denominator is softplus of the uncorrected root. SING's softplus is
// another one: behind the correction (softplus_beta of adam and adamw).
#include "optim/hosts/moments.h"
#include "optim/softplus.h"

namespace sing::optim {
namespace {

struct SAdamOptions : HardHostOptions {
  std::array<double, 2> betas{0.9, 0.999};
  double beta = 50;
  bool amsgrad = false;

  static void describe(config::Fields<SAdamOptions>& f) {
    f.base<HardHostOptions>();
    f("betas", &SAdamOptions::betas, "decay of the two moments").range(0, 1, config::Ends::low);
    f("beta", &SAdamOptions::beta, "sharpness of softplus").positive();
    f("amsgrad", &SAdamOptions::amsgrad, "divide by the largest second moment so far");
  }
};

template <class T, bool kAmsgrad>
struct SAdamStep {
  using Element = T;
  static constexpr int kSlots = kAmsgrad ? 3 : 2;
  Moments<T> moments;
  T rate;
  Softplus<T> soft;
  SING_ALWAYS_INLINE T operator()(T theta, T g, T first, T* s) const {
    s[0] = moments.first(s[0], first);
    s[1] = moments.second(s[1], g);
    T v = s[1];
    if constexpr (kAmsgrad) v = s[2] = s[2] > v ? s[2] : v;
    return theta - soft.divide(rate * s[0], std::sqrt(v));
  }
};

class SAdam final : public MomentHost<SAdamOptions> {
 public:
  using MomentHost::MomentHost;
  std::vector<SlotSpec> slots() const override { return moment_slots(o_.amsgrad); }
  void update(const UpdateRange& r) const override {
    const MomentNumbers n(o_.betas, r);
    with_element(r.dtype, [&]<class T>() {
      with_flags(
          [&]<bool kAmsgrad>() {
            run_update(r, SAdamStep<T, kAmsgrad>{Moments<T>(n), static_cast<T>(r.lr * n.rate()),
                                                 Softplus<T>(o_.beta)});
          },
          o_.amsgrad);
    });
  }
};

const bool registered =
    add_host<SAdamOptions>("sadam", "Adam that divides by softplus of the root",
                           [](const SAdamOptions& o) { return std::make_unique<SAdam>(o); });

}  // namespace
}  // namespace sing::optim
