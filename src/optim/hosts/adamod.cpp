// AdaMod (Ding et al. 2019): the rate of each element may not exceed the average of its past. The
// average starts at 0 and is not corrected, so that first steps are very small.
#include "optim/hosts/moments.h"

namespace sing::optim {
namespace {

struct AdaModOptions : MomentOptions {
  double beta3 = 0.999;

  static void describe(config::Fields<AdaModOptions>& f) {
    f.base<MomentOptions>();
    f("beta3", &AdaModOptions::beta3, "decay of the average rate").range(0, 1, config::Ends::low);
  }
};

template <class T>
struct AdaModStep {
  using Element = T;
  static constexpr int kSlots = 3;
  Moments<T> moments;
  T beta3, weight3, rate, eps;
  SING_ALWAYS_INLINE T operator()(T theta, T g, T first, T* s) const {
    s[0] = moments.first(s[0], first);
    s[1] = moments.second(s[1], g);
    const T own = rate / (std::sqrt(s[1]) + eps);
    s[2] = beta3 * s[2] + weight3 * own;
    return theta - (own < s[2] ? own : s[2]) * s[0];
  }
};

class AdaMod final : public MomentHost<AdaModOptions> {
 public:
  using MomentHost::MomentHost;
  bool decoupled_by_default(bool) const override { return true; }
  std::vector<SlotSpec> slots() const override { return {{"m"}, {"v"}, {"rate"}}; }
  void update(const UpdateRange& r) const override {
    const MomentNumbers n(o_.betas, r);
    with_element(r.dtype, [&]<class T>() {
      run_update(
          r, AdaModStep<T>{Moments<T>(n), static_cast<T>(o_.beta3), static_cast<T>(1 - o_.beta3),
                           static_cast<T>(r.lr * n.rate()), nonzero<T>(o_.eps)});
    });
  }
};

const bool registered =
    add_host<AdaModOptions>("adamod", "Adam whose rates are bounded by their average",
                            [](const AdaModOptions& o) { return std::make_unique<AdaMod>(o); });

}  // namespace
}  // namespace sing::optim
